/** Bans in a real browser: who may not connect and why, lifted and added by people. */
import type { Locator, Page } from 'playwright-core'
import { expect, test } from 'vitest'

import { kept, readerToken, startPlant } from './scene.ts'
import { photograph, reads, sidewaysScroll, useBrowser, visit } from './visit.ts'

useBrowser()

const rowOf = (page: Page, text: string): Locator =>
  page.getByRole('row').filter({ has: page.getByText(text, { exact: true }) })

const hostile = '<img src=x onerror=alert(1)>\u202e'

test('who may not connect is seen with why and until when, and let in again', async () => {
  const plant = await startPlant({ bans: [{ principal: 'eve', reason: 'left the company' }] })
  const { bans } = plant.broker
  bans.add({ clientId: hostile, reason: '<script>alert(2)</script>', seconds: 3_600 })
  bans.add({ address: '203.0.113.0/24' })
  const { page } = await visit(plant.url(), { at: '/bans' })
  await reads(page.locator('.bans-count'), /^3 bans$/)
  // The latest first.
  await expect
    .poll(() => page.locator('.virtual-space .cell-who').allInnerTexts())
    .toEqual([
      expect.stringMatching(/^everybody from\s+203\.0\.113\.0\/24$/),
      expect.stringMatching(/^client\s+<img src=x onerror=alert\(1\)>\s*RLO$/),
      expect.stringMatching(/^principal\s+eve$/),
    ])
  const row = rowOf(page, 'eve')
  await reads(row.locator('.cell-why'), /^left the company$/)
  await reads(row.locator('.cell-by'), /^the configuration$/)
  await reads(row.locator('.cell-until'), /^when lifted$/)
  await reads(rowOf(page, '<script>alert(2)</script>').locator('.cell-until'), /^in (1 h|59 min.*)$/)
  expect(await page.locator('main img, main script').count()).toBe(0)

  const refusal = await plant.refused('laptop', { username: 'eve' })
  expect(refusal).toMatchObject({ code: 0x8a })
  await row.getByRole('button', { name: 'Lift …' }).click()
  const dialog = page.getByRole('dialog')
  await reads(dialog, /^Lift this ban\? principal eve It was banned because: left the company It may connect again/)
  await dialog.getByRole('button', { name: 'Lift it' }).click()
  await row.waitFor({ state: 'detached' })
  await plant.join('laptop', { username: 'eve' })
})

test('one who flaps is banned by the broker, which says why and for how long', async () => {
  const plant = await startPlant({ limits: { maxFlapsPerMinute: 2, banSeconds: 600 } })
  for (let times = 1; times <= 2; times += 1) {
    const client = await plant.join('flapper')
    await client.endAsync()
    await plant.happened('session.expired', 'flapper', times)
  }
  const { page } = await visit(plant.url(), { at: '/bans' })
  await page.getByText('Nobody is banned').waitFor()
  plant.attempt('flapper')
  const row = rowOf(page, 'flapper')
  await reads(row.locator('.cell-why'), /^connected too often within a minute$/)
  await reads(row.locator('.cell-by'), /^the broker itself$/)
  await reads(row.locator('.cell-until'), /^in (10 min|9 min.*)$/)
  await reads(row.locator('.cell-who'), /^client\s*flapper\s*from\s*127\.0\.0\.1$/)
})

test('somebody is banned by keyboard alone, from the page of the session, and sent away', async () => {
  const plant = await startPlant()
  const client = await plant.join(hostile, kept)
  const gone = new Promise<number>((resolve) => client.once('disconnect', ({ reasonCode }) => resolve(reasonCode ?? 0)))
  const { page } = await visit(plant.url(), {
    at: `/session/${encodeURIComponent(hostile)}`,
    expected: /^400 \/api\/v1\/bans$/,
  })
  await page.getByRole('button', { name: 'Ban', exact: true }).focus()
  await page.keyboard.press('Enter')
  const dialog = page.getByRole('dialog', { name: 'Who may not connect?' })
  expect(await dialog.getByLabel('Client identifier', { exact: true }).inputValue()).toBe(hostile)
  await dialog.getByLabel(/^Address or range/).focus()
  await page.keyboard.type('not an address')
  await page.keyboard.press('Enter')
  await reads(dialog.getByRole('alert'), /address: "not an address" is neither an address nor a range/)
  await dialog.getByLabel(/^Address or range/).selectText()
  await page.keyboard.press('Delete')
  await page.keyboard.press('Tab')
  await page.keyboard.type('it talks too much')
  await page.keyboard.press('Enter')
  await dialog.waitFor({ state: 'detached' })
  expect(await gone).toBe(0x98)
  expect(plant.broker.bans.list()).toMatchObject([{ clientId: hostile, reason: 'it talks too much', by: 'operator' }])
  await reads(rowOf(page, 'it talks too much').locator('.cell-until'), /^in (1 h|59 min.*)$/)
  // The address is that of the page alone again: a reload asks nobody anything.
  expect(new URL(page.url()).hash).toBe('#/bans')
  // The table, its row and the row's button are reached by keys too.
  await page.getByRole('grid', { name: 'Bans' }).focus()
  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  await page.getByRole('dialog', { name: 'Lift this ban?' }).waitFor()
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  expect(plant.broker.bans.list()).toHaveLength(1)
})

test('one that was lifted meanwhile says so', async () => {
  const plant = await startPlant()
  const { id } = plant.broker.bans.add({ principal: 'eve' })
  const { page } = await visit(plant.url(), { at: '/bans', expected: /^404 \/api\/v1\/bans\?id=/ })
  await rowOf(page, 'eve').getByRole('button', { name: 'Lift …' }).click()
  plant.broker.bans.remove(id)
  await page.getByRole('dialog').getByRole('button', { name: 'Lift it' }).click()
  await reads(page.getByRole('dialog').getByRole('alert'), /there is no such ban SMQ_API_NOT_FOUND$/)
})

test('whoever may only look sees the bans, and nothing to do about them', async () => {
  const plant = await startPlant({ bans: [{ principal: 'eve' }] })
  const { page, go } = await visit(plant.url(readerToken), { at: '/bans' })
  await rowOf(page, 'eve').waitFor()
  await go('/bans?clientId=pump')
  await rowOf(page, 'eve').waitFor()
  expect(await page.locator('main').getByRole('button').count()).toBe(0)
  expect(await page.getByRole('dialog').count()).toBe(0)
})

test.each(['light', 'dark'] as const)('pictures of the %s theme, and no window is too narrow', async (colorScheme) => {
  const plant = await startPlant({ bans: [{ principal: 'eve', reason: 'left the company' }] })
  const { bans } = plant.broker
  bans.add({ address: '203.0.113.0/24', reason: 'a botnet', seconds: 86_400 })
  bans.add({ clientId: 'sensor-7', address: '198.51.100.4', reason: 'connects with an old firmware', seconds: 3_600 })
  const { page } = await visit(plant.url(), { at: '/bans', colorScheme, viewport: { width: 1280, height: 420 } })
  await reads(page.locator('.bans-count'), /^3 bans$/)
  await photograph(page, `bans-${colorScheme}`)
  await page.setViewportSize({ width: 1280, height: 900 })
  for (let number = 0; number < 200; number += 1) bans.add({ clientId: `old-${number}`, seconds: 600 })
  await reads(page.locator('.bans-count'), /^203 bans$/)
  // Far more than fit: only those in sight are in the document.
  expect(await page.locator('.virtual-space .virtual-row').count()).toBeLessThan(60)
  await page.getByRole('grid', { name: 'Bans' }).focus()
  await page.keyboard.press('End')
  await rowOf(page, 'eve').waitFor()
  await page.getByRole('button', { name: 'Ban …' }).click()
  await page.getByRole('dialog').waitFor()
  await photograph(page, `bans-dialog-${colorScheme}`)
  await page.keyboard.press('Escape')
  await page.setViewportSize({ width: 340, height: 700 })
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  await rowOf(page, 'eve').waitFor()
  expect(await sidewaysScroll(page)).toBe(0)
  const table = page.getByRole('grid', { name: 'Bans' })
  expect(await table.evaluate(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)).toBe(0)
  await photograph(page, `bans-narrow-${colorScheme}`)
})
