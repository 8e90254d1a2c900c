/** The overview in a real browser, with clients of other people. */
import { once } from 'node:events'
import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'

import { photograph, reads, sidewaysScroll, textOf, useBrowser, visit } from './visit.ts'
import { kept, startPlant } from './scene.ts'

useBrowser()

/** What lies between a browser and a broker: it can be cut, and mended. */
async function cableTo(target: number) {
  const sockets = new Set<Socket>()
  let isCut = false
  const server = createServer((near) => {
    const far = createConnection(target, '127.0.0.1')
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => undefined).on('close', () => (near.destroy(), far.destroy()))
    }
    if (isCut) near.destroy()
    near.pipe(far).pipe(near)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const drop = (): void => sockets.forEach((socket) => socket.destroy())
  onTestFinished(() => (server.close(), drop()))
  return {
    port: (server.address() as AddressInfo).port,
    cut: () => {
      isCut = true
      drop()
    },
    mend: () => {
      isCut = false
    },
  }
}

describe('the live chart', () => {
  test('counts the sessions in each state, and shows what flows between them', async () => {
    const plant = await startPlant()
    const { page } = await visit(plant.url())
    const count = (path: string) => page.locator(`.live-chart [data-state="${path}"] .box-count`)
    await reads(count('online'), /^0$/)
    const clients = await Promise.all(['a', 'b', 'c'].map((id) => plant.join(id, kept)))
    await reads(count('online'), /^3$/)
    await reads(count('online.delivery.flowing'), /^3$/)
    await reads(page.locator('[data-arrow="connecting>authenticating"] .arrow-rate'), /^0\.\d+\/s$|^\d(\.\d+)?\/s$/)
    clients[0]!.stream.destroy()
    await reads(count('offline'), /^1$/)
    await reads(count('online'), /^2$/)
    await reads(page.locator('h1'), /^2 clients online, 1 session waits for its client\./)
    expect(await page.locator('.live-chart svg').getAttribute('aria-label')).toMatch(
      /^Sessions in the states of the session machine: 0 connecting, 0 authenticating, 0 enhanced-auth, 2 online, 1 offline\./,
    )
  })

  test('is there as a list too', async () => {
    const plant = await startPlant()
    await plant.join('a')
    const { page } = await visit(plant.url())
    await page.getByText('The same as a list').click()
    const states = page.getByRole('table', { name: 'Sessions in each state' })
    await reads(states.getByRole('row', { name: /^online\.delivery\.flowing/ }), /^online\.delivery\.flowing 1$/)
    await page.getByRole('row', { name: /^online → offline .*connection\.closed/ }).waitFor()
  })

  test('moves for those who like motion, and stands still for others', async () => {
    const plant = await startPlant()
    const moving = await visit(plant.url(), { reducedMotion: 'no-preference' })
    const still = await visit(plant.url(), { reducedMotion: 'reduce' })
    await Promise.all([moving, still].map(({ page }) => page.locator('.live-chart svg').waitFor()))
    const animation = async ({ page }: typeof moving): Promise<string> => {
      const flow = page.locator('[data-arrow="connecting>authenticating"] .arrow-flow')
      await flow.waitFor({ state: 'attached' })
      return flow.evaluate((path) => getComputedStyle(path).animationName)
    }
    const seen = Promise.all([animation(moving), animation(still)])
    await plant.join('a')
    expect(await seen).toEqual(['flow', 'none'])
  })
})

describe('numbers', () => {
  test('messages in and out, what is held and what was dropped, with reasons', async () => {
    const plant = await startPlant({
      roles: { device: { permissions: [{ allow: ['publish', 'subscribe'], topic: '#' }] } },
    })
    const away = await plant.join('away', kept)
    await away.subscribeAsync({ 'site/#': { qos: 1 }, 'loose/#': { qos: 0 } })
    away.stream.destroy()
    await plant.happened('session.offline', 'away')
    const press = await plant.join('press')
    const { page } = await visit(plant.url())
    await page.locator('.ledger').waitFor()
    await Promise.all(
      Array.from({ length: 20 }, (_, index) => press.publishAsync('site/temp', String(index), { qos: 1 })),
    )
    await press.publishAsync('loose/temp', '1', { qos: 0 })
    const line = (name: string) => page.locator('.line', { has: page.getByText(name, { exact: true }) })
    await reads(line('Messages in'), /^Messages in [\d.]+\/s 21 in all$/)
    await reads(line('Waiting'), /^Waiting 20 messages [\d.]+ k?B$/)
    await reads(line('QoS 0, and the client was offline'), / 1$/)
    await reads(line('Memory'), /^Memory \d+ MB [\d.]+ MB heap$/)
    await reads(line('Event loop delay'), /^Event loop delay [\d.]+ m?s at most [\d.]+ m?s$/)
  })

  test('who lets messages wait longest', async () => {
    const plant = await startPlant()
    const slow = await plant.join('slow', { properties: { receiveMaximum: 1 } })
    // Takes the first and never acknowledges it.
    slow.handleMessage = () => undefined
    await slow.subscribeAsync('site/#', { qos: 1 })
    for (let i = 0; i < 5; i++) await plant.broker.publish({ topic: 'site/temp', payload: String(i), qos: 1 })
    const { page } = await visit(plant.url())
    await reads(page.getByRole('row', { name: /^slow/ }), /^slow .* 4$/)
    await page.getByRole('link', { name: 'slow' }).click()
    await page.waitForFunction(() => location.hash === '#/session/slow')
    const inflight = page.locator('section.section', { has: page.getByRole('heading', { name: 'In flight' }) })
    await reads(inflight, /1 of at most 1 not acknowledged .*waits for PUBACK/)
  })

  test('the last hour is drawn, and read by the arrow keys', async () => {
    const plant = await startPlant()
    await plant.join('a')
    const { page } = await visit(plant.url())
    const chart = page.getByRole('slider', { name: /^Sessions in the last hour\. online: now 1, at most 1\./ })
    await chart.waitFor({ timeout: 40_000 })
    await chart.focus()
    await page.keyboard.press('Home')
    await page.keyboard.press('ArrowRight')
    expect(await chart.getAttribute('aria-valuetext')).toMatch(/^\d\d:\d\d:\d\d: online \d, offline 0$/)
    expect(await page.locator('.time-series canvas').count()).toBe(6)
  })
})

describe('trouble', () => {
  test('a connection that breaks off is said, and taken up again', async () => {
    const plant = await startPlant()
    const cable = await cableTo(Number(new URL(plant.url()).port))
    const { page } = await visit(plant.url().replace(/:\d+\//, `:${cable.port}/`))
    await reads(page.locator('.live'), /^live/)
    cable.cut()
    await reads(page.locator('.live'), /^no connection, again in \d+ s/)
    await plant.join('a')
    cable.mend()
    await reads(page.locator('.live'), /^live/)
    await reads(page.locator('h1'), /^1 client online/)
  })

  test('messages that are dropped are said at the top, and why below', async () => {
    const plant = await startPlant()
    const away = await plant.join('away', kept)
    await away.subscribeAsync('site/#', { qos: 0 })
    away.stream.destroy()
    await plant.happened('session.offline', 'away')
    const { page } = await visit(plant.url())
    await page.locator('.ledger').waitFor()
    for (let i = 0; i < 10; i++) await plant.broker.publish({ topic: 'site/temp', payload: String(i) })
    await reads(page.locator('.troubles'), /Messages are dropped: [\d.]+ a second\./)
    await reads(page.locator('.ledger'), /QoS 0, and the client was offline 10 /)
  })
})

test.each(['light', 'dark'] as const)('a narrow window scrolls down only: %s', async (colorScheme) => {
  const plant = await startPlant()
  await plant.join('a')
  const { page } = await visit(plant.url(), { colorScheme, viewport: { width: 360, height: 740 } })
  await reads(page.locator('.live-chart [data-state="online"] .box-count'), /^1$/)
  expect(await sidewaysScroll(page)).toBe(0)
  expect(await page.evaluate(() => document.documentElement.dataset['theme'])).toBe(colorScheme)
  await photograph(page, `overview-narrow-${colorScheme}`)
})

test('by keyboard only: past the navigation into the page, and to another one', async () => {
  const plant = await startPlant()
  const { page } = await visit(plant.url())
  await page.locator('.ledger').waitFor()
  const focused = (): Promise<string> =>
    page.evaluate(() => document.activeElement?.textContent || document.activeElement?.getAttribute('aria-label') || '')
  await page.keyboard.press('Tab')
  expect(await focused()).toBe('Skip to the page')
  await page.keyboard.press('Enter')
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('main')
  await page.keyboard.press('Tab')
  expect(await focused()).toMatch(/clients online$/)
  await page.keyboard.press('Shift+Tab')
  expect(await focused()).toBe('Theme: system. Change to light')
  await page.keyboard.press('Shift+Tab')
  expect(await focused()).toBe('Log out')
  await page.getByRole('link', { name: 'Overview', exact: true }).focus()
  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  await page.waitForFunction(() => location.hash === '#/sessions')
  // Who cannot see the change is at the beginning of the new page.
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('main')
  expect(await page.title()).toBe('Sessions · statemq')
  expect(await textOf(page.locator('nav [aria-current="page"]'))).toBe('Sessions')
})

test.each(['light', 'dark'] as const)('a broker that is well drops nothing, in the %s theme', async (colorScheme) => {
  const plant = await startPlant({ limits: { maxConnectsPerSecond: Infinity } })
  const presses = await Promise.all(
    Array.from({ length: 40 }, (_, number) => plant.join(`press-${number}`, number < 6 ? kept : {})),
  )
  const [board, ...others] = presses.toReversed()
  await board!.subscribeAsync('site/#', { qos: 1 })
  for (const press of others.slice(-6, -2)) {
    await press.subscribeAsync('site/orders', { qos: 1 })
    press.stream.destroy()
    await plant.happened('session.offline', press.options.clientId!)
  }
  const online = others.slice(0, -6)
  const { page } = await visit(plant.url(), { colorScheme, viewport: { width: 1360, height: 900 } })
  const working = new AbortController()
  const work = (async () => {
    for (let round = 0; !working.signal.aborted; round += 1) {
      const press = online[round % online.length]!
      await press.publishAsync(`site/${press.options.clientId}/heat`, `${round}`, { qos: 1, retain: round < 60 })
      // No faster than the window draws: a broker that is well has time left.
      if (round % 3 === 0) await page.evaluate(() => new Promise(requestAnimationFrame))
      if (round % 30 === 0) await plant.broker.publish({ topic: 'site/orders', payload: `${round}`, qos: 1 })
      if (round % 100 === 0) await (await plant.join(`visitor-${round}`)).endAsync()
    }
  })()
  // Rates are known after some seconds of it, and come to the last hour's curves with a sample.
  await reads(page.locator('.headline'), /^3[67] clients online, 4 sessions wait for their clients\. \d/)
  await page.locator('[data-arrow="connecting>authenticating"] .arrow-flow').waitFor({ state: 'attached' })
  await photograph(page, `overview-${colorScheme}`, { fullPage: false })
  expect(await page.getByText('Messages are dropped').count()).toBe(0)
  await page.getByText('Nothing since the start.').waitFor()
  working.abort()
  await work
})
