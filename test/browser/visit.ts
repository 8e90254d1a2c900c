import { chromium, type Browser, type BrowserContextOptions, type Locator, type Page } from 'playwright-core'
import { afterAll, expect, onTestFinished } from 'vitest'

/** What a browser does by itself (updates, QUIC, background requests) is not what is tested. */
const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

let browser: Promise<Browser> | undefined

/** One browser for each file of tests, started by its first visit. */
function theBrowser(): Promise<Browser> {
  browser ??= chromium.launch({ executablePath: '/usr/bin/chromium', headless: true, args: flags })
  return browser
}

/** To be called once in each file: the browser ends with its tests. */
export function useBrowser(): void {
  afterAll(async () => {
    await (await browser)?.close()
    browser = undefined
  })
}

/** What the broker answers on purpose: nobody is logged in yet, no session lives, nothing is retained. Browsers tell of it as an error. */
const expectedAnswers =
  /^(401 \/api\/v1\/login|404 \/api\/v1\/session\?clientId=.*|404 \/api\/v1\/retained\/message\?topic=.*|404 \/api\/v1\/jobs\/drop)$/

export interface VisitOptions extends Pick<BrowserContextOptions, 'viewport' | 'colorScheme' | 'reducedMotion'> {
  /** Where to, behind the `#`. Default: the overview. */
  readonly at?: string
  /** Answers that the test is about, as `404 /path`, besides those that always may come. */
  readonly expected?: RegExp
}

/** Somebody's window with the inspector in it, and everything that it should not have done. */
export interface Visit {
  readonly page: Page
  /** Errors and warnings of the console, uncaught errors, requests to anywhere else, breaches of the Content-Security-Policy. */
  readonly problems: readonly string[]
  /** Goes to a place behind the `#`. */
  go(at: string): Promise<void>
}

/** Opens the inspector at `url`, which may carry a token. The test fails at its end if the page did anything that it must not. */
export async function visit(url: string, options: VisitOptions = {}): Promise<Visit> {
  const { at, expected, ...contextOptions } = options
  const context = await (await theBrowser()).newContext({ viewport: { width: 1280, height: 900 }, ...contextOptions })
  const page = await context.newPage()
  const problems = watch(page, new URL(url).origin, expected)
  onTestFinished(async () => {
    await context.close()
    expect(problems).toEqual([])
  })
  await page.goto(url)
  const go = async (to: string): Promise<void> => {
    await page.evaluate((hash) => {
      location.hash = hash
    }, to)
  }
  if (at !== undefined) {
    await page.getByRole('navigation').waitFor()
    await go(at)
  }
  return { page, problems, go }
}

function watch(page: Page, origin: string, expected: RegExp | undefined): string[] {
  const problems: string[] = []
  page.on('console', (message) => {
    const { url } = message.location()
    const isAnswer = message.text().startsWith('Failed to load resource') && url.startsWith(origin)
    if (!isAnswer && ['error', 'warning'].includes(message.type())) problems.push(`console: ${message.text()}`)
  })
  page.on('pageerror', (error) => problems.push(`uncaught: ${error.message}`))
  page.on('request', (request) => {
    if (!request.url().startsWith(`${origin}/`)) problems.push(`request to elsewhere: ${request.url()}`)
  })
  page.on('response', (response) => {
    const path = response.url().slice(origin.length)
    const told = `${response.status()} ${path}`
    if (response.status() >= 400 && !expectedAnswers.test(told) && !expected?.test(told))
      problems.push(`answer: ${told}`)
  })
  page.on('dialog', (dialog) => {
    problems.push(`a script ran: ${dialog.message()}`)
    void dialog.dismiss()
  })
  return problems
}

/** How far the page can be scrolled sideways: it never should. */
export async function sidewaysScroll(page: Page): Promise<number> {
  return page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement
    return Math.max(0, scrollWidth - clientWidth)
  })
}

/** Saves a picture of the page for a person to look at, in a folder that `STATEMQ_SCREENSHOTS` names; otherwise does nothing. */
export async function photograph(page: Page, name: string, { fullPage = true } = {}): Promise<void> {
  const folder = process.env['STATEMQ_SCREENSHOTS']
  if (folder === undefined || folder === '') return
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage })
}

/** Text of the element, white space as people see it. */
export async function textOf(locator: Locator): Promise<string> {
  const text = await locator.evaluate((element) =>
    element instanceof HTMLElement ? element.innerText : element.textContent,
  )
  return (text ?? '').replace(/\s+/g, ' ').trim()
}

/** Waits until the element reads like this. */
export async function reads(locator: Locator, text: RegExp): Promise<void> {
  await locator.waitFor()
  await expect.poll(() => textOf(locator), { timeout: 15_000 }).toMatch(text)
}
