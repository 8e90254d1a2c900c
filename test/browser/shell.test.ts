/** What is around every page: logging in and out, themes, addresses, and what a browser is told about the page. */
import { expect, test } from 'vitest'

import { photograph, reads, textOf, useBrowser, visit } from './visit.ts'
import { operatorToken, readerToken, startPlant } from './scene.ts'

useBrowser()

test('asks who one is, takes a token, and stays logged in over a reload', async () => {
  const plant = await startPlant()
  const { page } = await visit(new URL(plant.url()).origin)
  await page.getByLabel('Token').fill('not a token at all, but long enough')
  await page.getByRole('button', { name: 'Log in' }).click()
  await reads(page.getByRole('alert'), /^The broker does not know this token\.$/)
  await photograph(page, 'login')
  await page.getByLabel('Token').fill(readerToken)
  await page.getByRole('button', { name: 'Log in' }).click()
  await reads(page.locator('.account'), /^ron · read Log out$/)
  await page.reload()
  await reads(page.locator('.account'), /^ron · read Log out$/)
  await page.getByRole('button', { name: 'Log out' }).click()
  await page.getByLabel('Token').waitFor()
  await page.reload()
  await page.getByLabel('Token').waitFor()
})

test('a token in the address is used once: it is in neither the address, the history nor what scripts can read', async () => {
  const plant = await startPlant()
  const { page } = await visit(plant.url())
  await page.getByRole('navigation').waitFor()
  expect(page.url()).toBe(`${new URL(plant.url()).origin}/#/`)
  const kept = await page.evaluate(() =>
    JSON.stringify([document.cookie, Object.entries(localStorage), Object.entries(sessionStorage)]),
  )
  expect(kept).not.toContain(operatorToken)
  expect(JSON.parse(kept)).toEqual(['', [], []])
  expect(await page.evaluate(() => history.length)).toBeLessThanOrEqual(2)
})

test('somebody whose login was ended is asked again', async () => {
  const plant = await startPlant()
  const { page, go } = await visit(plant.url(), { expected: /^401 \/(api|machines)\// })
  await page.getByRole('navigation').waitFor()
  await page.context().clearCookies()
  await go('/session/x')
  await page.getByLabel('Token').waitFor()
})

test('the theme follows the machine until one chooses, and stays chosen', async () => {
  const plant = await startPlant()
  const { page } = await visit(plant.url(), { colorScheme: 'dark' })
  const theme = () => page.evaluate(() => document.documentElement.dataset['theme'])
  await page.getByRole('navigation').waitFor()
  expect(await theme()).toBe('dark')
  await page.emulateMedia({ colorScheme: 'light' })
  await page.waitForFunction(() => document.documentElement.dataset['theme'] === 'light')
  await page.getByRole('button', { name: 'Theme: system. Change to light' }).click()
  await page.getByRole('button', { name: 'Theme: light. Change to dark' }).click()
  expect(await theme()).toBe('dark')
  await page.reload()
  await page.getByRole('button', { name: 'Theme: dark. Change to system' }).waitFor()
  expect(await theme()).toBe('dark')
})

test('an address that leads nowhere says so', async () => {
  const plant = await startPlant()
  const { page } = await visit(plant.url(), { at: '/nowhere' })
  await reads(page.locator('main'), /^There is no such page To the overview$/)
  expect(await page.title()).toBe('Not found · statemq')
})

test('the browser lets nothing in that is not the page: an inline script and a style are refused', async () => {
  const plant = await startPlant()
  const { page, problems } = await visit(plant.url())
  await page.getByRole('navigation').waitFor()
  const refused = await page.evaluate(async () => {
    const told = new Promise<string[]>((resolve) => {
      const directives: string[] = []
      document.addEventListener('securitypolicyviolation', ({ effectiveDirective }) => {
        directives.push(effectiveDirective)
        if (directives.length === 3) resolve(directives.toSorted())
      })
    })
    document.body.insertAdjacentHTML('beforeend', '<p style="color: red" onclick="alert(1)">x</p>')
    const script = document.createElement('script')
    script.textContent = 'alert(2)'
    document.body.append(script)
    return told
  })
  expect(refused).toEqual(['script-src-attr', 'script-src-elem', 'style-src-attr'])
  // That the browser told of these, and of nothing else, is what the test is about.
  expect(problems.filter((problem) => !/Content Security Policy/.test(problem))).toEqual([])
  ;(problems as string[]).length = 0
})

test('headings, landmarks and names are there for who listens to the page', async () => {
  const plant = await startPlant()
  const { page } = await visit(plant.url())
  await page.locator('.ledger').waitFor()
  expect(await page.locator('h1').count()).toBe(1)
  expect(await textOf(page.getByRole('navigation', { name: 'Pages' }))).toMatch(/^Overview Sessions Topics Jobs/)
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll('button, a[href], input, select, [role="slider"], svg[role="img"]')]
      .filter((element) => {
        const label = element.getAttribute('aria-label') ?? (element as HTMLInputElement).labels?.[0]?.textContent
        return (label ?? element.textContent ?? '').trim() === ''
      })
      .map((element) => element.outerHTML),
  )
  expect(nameless).toEqual([])
})
