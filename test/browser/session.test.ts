/** The page of one session in a real browser, with clients of other people. */
import type { Page } from 'playwright-core'
import { describe, expect, test } from 'vitest'

import { extendSession, sessionSetup } from '../../machines/index.ts'
import { photograph, reads, sidewaysScroll, textOf, useBrowser, visit } from './visit.ts'
import { kept, readerToken, startPlant } from './scene.ts'

useBrowser()

const at = (clientId: string): string => `/session/${encodeURIComponent(clientId)}`

/** Notes which states of the top level are lit, whenever that changes. */
async function watchChart(page: Page): Promise<void> {
  await page.locator('.session-chart svg.chart').waitFor()
  await page.evaluate(() => {
    const seen: string[] = []
    Object.assign(globalThis, { seen })
    const look = (): void => {
      const lit = [...document.querySelectorAll('.chart [data-lit]:not([data-state*="."])')]
      const names = lit.map((box) => box.getAttribute('data-state')).join('+')
      if (names !== '' && seen.at(-1) !== names) seen.push(names)
    }
    new MutationObserver(look).observe(document.querySelector('.chart')!, { subtree: true, attributes: true })
    look()
  })
}

/** The states that were lit, once the last of them is. */
async function statesSeen(page: Page, last: string): Promise<string[]> {
  await page.waitForFunction((name) => (globalThis as unknown as { seen: string[] }).seen.at(-1) === name, last)
  return page.evaluate(() => (globalThis as unknown as { seen: string[] }).seen)
}

async function lit(page: Page, path: string): Promise<void> {
  await page.locator(`.chart [data-state="${path}"][data-lit]`).waitFor()
}

describe('the chart of a session', () => {
  test('shows connecting, authenticating, enhanced-auth, online, offline and expired in the order they happen', async () => {
    const plant = await startPlant()
    const { page } = await visit(plant.url(), { at: at('meter') })
    await page.getByText('Nothing is known of this client').waitFor()
    await watchChart(page)
    const client = await plant.join('meter', {
      username: 'meter-7',
      clean: false,
      properties: { sessionExpiryInterval: 2, authenticationMethod: 'HMAC-SHA-256' },
    })
    await statesSeen(page, 'online')
    client.stream.destroy()
    expect(await statesSeen(page, 'expired')).toEqual([
      'connecting',
      'authenticating',
      'enhanced-auth',
      'authenticating',
      'online',
      'offline',
      'expired',
    ])
    await reads(
      page.locator('.sentence-state'),
      /^No session lives under this client identifier\. The last one ended .* Why: 2 s without a connection\. deadline session expiry$/,
    )
    const events = await page.locator('.step-way .mono').allInnerTexts()
    expect(events).toEqual([
      'deadline.session',
      'connection.closed',
      'at once',
      'at once',
      'admission decided',
      'identity decided',
      'at once',
      'packet.auth',
      'identity decided',
      'at once',
      'packet.connect',
      'begins',
    ])
  })

  test('stays that of the living session while others pass by', async () => {
    const plant = await startPlant()
    const { page } = await visit(plant.url(), { at: at('press') })
    await plant.join('press', kept)
    await lit(page, 'online')
    await watchChart(page)
    await plant.refused('press', { username: 'eve' })
    await page.locator('.sentence-refusal').waitFor()
    // Its steps are shown one by one: the session stays lit all the while.
    await page.locator('.step.refused').waitFor()
    expect(await statesSeen(page, 'online')).toEqual(['online'])
  })

  test('shows the states that an embedder has added, lit as any other', async () => {
    const setup = sessionSetup.extend({
      guards: { isSuspect: ({ context }) => context.sessionAttributes['suspect'] === true },
    })
    const machine = extendSession(setup, {
      online: {
        states: {
          quarantine: {
            initial: 'free',
            states: { free: { always: { guard: 'isSuspect', target: 'held' } }, held: {} },
          },
        },
      },
    })
    const plant = await startPlant({ machine })
    const { page } = await visit(plant.url(), { at: at('press') })
    await plant.join('press')
    await lit(page, 'online.quarantine.free')
    expect(await textOf(page.locator('.session-chart figcaption'))).toBe(
      'This broker runs an extended machine; its own states: online.quarantine, online.quarantine.free, online.quarantine.held.',
    )
    expect(await page.locator('.chart .own').count()).toBe(3)
    await plant.broker.sessions.setAttributes({ clientId: 'press' }, { suspect: true }, { scope: 'session' })
    await lit(page, 'online.quarantine.held')
    expect(await page.locator('.chart [data-state="online.quarantine.free"][data-lit]').count()).toBe(0)
    await photograph(page, 'session-extended')
  })
})

describe('why a session is as it is', () => {
  test('a refused takeover explains itself', async () => {
    const plant = await startPlant()
    const { page } = await visit(plant.url(), { at: at('press') })
    await plant.join('press', kept)
    await plant.refused('press', { username: 'eve' })
    await reads(
      page.locator('.sentence-refusal'),
      /^A connection under this client identifier was refused .* Why: takeover is same-principal: the session is another principal's\. the chart’s guard mayTakeOver · 0x87 not authorized$/,
    )
    await reads(page.locator('.sentence-state'), /^Online for .*it was let in as anna\. authenticator plant-users$/)
    await photograph(page, 'session-refused-takeover')
  })

  test('who was never let in reads why', async () => {
    const plant = await startPlant()
    await plant.refused('intruder', { username: 'mallory' })
    const { page } = await visit(plant.url(), { at: at('intruder') })
    await reads(
      page.locator('.sentence-refusal'),
      /Why: mallory is on the list\. authenticator plant-users · 0x87 not authorized$/,
    )
    await lit(page, 'expired')
  })

  test('offline: because its network broke, and for how much longer it is kept', async () => {
    const plant = await startPlant()
    const client = await plant.join('press', kept)
    client.stream.destroy()
    await plant.happened('session.offline', 'press')
    const { page } = await visit(plant.url(), { at: at('press') })
    await lit(page, 'offline')
    await reads(
      page.locator('.sentence-state'),
      /^Offline for .*Its session is kept for another \d+ s\. Why: the connection ended without DISCONNECT\. the network$/,
    )
  })

  test('revoked: by whom, and what that means', async () => {
    const plant = await startPlant()
    await plant.join('press', kept)
    await plant.broker.sessions.revoke({ clientId: 'press' }, 'stolen on Tuesday')
    const { page } = await visit(plant.url(), { at: at('press') })
    await reads(
      page.locator('.sentence-standing'),
      /^Its grant was revoked: it has no right, and its will is never sent\. Why: stolen on Tuesday\./,
    )
  })
})

test('shows what a session holds: grant, properties, subscriptions, messages with their ages', async () => {
  const plant = await startPlant()
  const press = await plant.join('press', kept)
  await press.subscribeAsync({ 'site/#': { qos: 1 }, 'audit/+': { qos: 2 } }).catch(() => undefined)
  press.stream.destroy()
  await plant.happened('session.offline', 'press')
  await plant.broker.publish({ topic: 'site/hall/temp', payload: '21', qos: 1 })
  const { page } = await visit(plant.url(), { at: at('press') })
  const section = (name: string) =>
    page.locator('section.section', { has: page.getByRole('heading', { name, exact: true }) })
  await reads(section('Grant'), /^Grant Principal anna Standing holds Roles device Decided by plant-users/)
  await reads(section('Properties'), /plant north the authenticator/)
  await reads(section('Subscriptions'), /site\/# QoS 1 QoS 1/)
  await reads(section('Waiting'), /^Waiting 1 message, \d+ B, the oldest for .* site\/hall\/temp 1 2 B/)
  await reads(section('Last connection'), /Address 127\.0\.0\.1 .*Protocol MQTT 5/)
})

test('the will says what would become of it now', async () => {
  const plant = await startPlant()
  const will = (topic: string) => ({ topic, payload: Buffer.from('gone'), qos: 1 as const, retain: false })
  await plant.join('press', { ...kept, will: will('site/press/gone') })
  const { page } = await visit(plant.url(), { at: at('press') })
  const now = page.getByText('If it fired now it would be')
  await reads(now, /^If it fired now it would be published: /)
  await plant.broker.sessions.changeRoles({ clientId: 'press' }, { remove: ['device'] })
  await page.getByText('withheld', { exact: true }).waitFor()
  await reads(now, /^If it fired now it would be withheld: /)
})

test('answers what the client may do, by the rule that decides', async () => {
  const plant = await startPlant()
  await plant.join('press')
  const { page } = await visit(plant.url(), { at: at('press') })
  await page.getByRole('textbox', { name: 'Topic' }).fill('site/hall/temp')
  await page.getByRole('button', { name: 'Ask' }).click()
  const answer = page.locator('.answer')
  await reads(answer, /^Yes.*role device, permission 1: allow site\/# · roles device/)
  await page.getByRole('textbox', { name: 'Topic' }).fill('secret/x')
  await page.getByRole('button', { name: 'Ask' }).click()
  await page.locator('.answer .bad').waitFor()
  await reads(answer, /^No: /)
})

describe('what an operator does', () => {
  test('asks before it disconnects, and tells what came of it', async () => {
    const plant = await startPlant()
    const client = await plant.join('press', kept)
    const { page } = await visit(plant.url(), { at: at('press') })
    await page.getByRole('button', { name: 'Disconnect' }).click()
    const dialog = page.getByRole('dialog', { name: 'Disconnect this client?' })
    await dialog.getByRole('button', { name: 'Leave it' }).click()
    await dialog.waitFor({ state: 'detached' })
    expect(client.connected).toBe(true)
    await page.getByRole('button', { name: 'Disconnect' }).click()
    await dialog.getByLabel('Reason').fill('maintenance')
    const told = new Promise<number | undefined>((resolve) => {
      client.once('disconnect', ({ reasonCode }) => resolve(reasonCode))
    })
    await dialog.getByRole('button', { name: 'Disconnect' }).click()
    expect(await told).toBe(0x98)
    await page.getByText('It was disconnected.').waitFor()
    await lit(page, 'offline')
    await reads(page.locator('.sentence-state'), /Why: maintenance\. operator olga · 0x98 administrative action$/)
  })

  test('changes roles, which hold at once', async () => {
    const plant = await startPlant()
    await plant.join('press')
    const { page } = await visit(plant.url(), { at: at('press') })
    await page.getByRole('button', { name: 'Roles' }).click()
    await page.getByLabel('auditor').check()
    await page.getByLabel('device').uncheck()
    await page.getByRole('button', { name: 'Change roles' }).click()
    await page.getByText('Its roles were changed.').waitFor()
    expect(plant.broker.sessions.get('press')?.context.grant?.roles).toEqual(['auditor'])
  })

  test('has a client traced in the log', async () => {
    const plant = await startPlant()
    await plant.join('press')
    const { page } = await visit(plant.url(), { at: at('press') })
    await page.getByRole('button', { name: 'Trace for 5 min' }).click()
    await page.getByText(/^It is traced in the log until \d\d:\d\d:\d\d\.$/).waitFor()
    expect(plant.broker.traces().map(({ target }) => target)).toEqual([{ clientId: 'press' }])
  })

  test('ends a session', async () => {
    const plant = await startPlant()
    await plant.join('press', kept)
    const { page } = await visit(plant.url(), { at: at('press') })
    await page.getByRole('button', { name: 'Expire' }).click()
    await page.getByRole('button', { name: 'End it' }).click()
    await lit(page, 'expired')
    await page.getByText('No session lives under this client identifier.').waitFor()
    expect(plant.broker.sessions.get('press')).toBeUndefined()
  })

  test('is not offered to who may only read', async () => {
    const plant = await startPlant()
    await plant.join('press')
    const { page } = await visit(plant.url(readerToken), { at: at('press') })
    await lit(page, 'online')
    expect(await page.getByRole('button').allInnerTexts()).toEqual(['Log out', '', 'Ask'])
  })
})

describe('text of clients', () => {
  const markup = '<img src=x onerror=alert(1)>'
  const script = '"><script>alert(2)</script>'
  const turned = 'gate\u202Eevil\u2066\u200B'

  test('is text, whatever it looks like, and what is invisible in it is named', async () => {
    const plant = await startPlant({
      roles: { device: { permissions: [{ allow: ['publish', 'subscribe'], topic: '#' }] } },
    })
    const client = await plant.join(markup, {
      ...kept,
      username: script,
      will: { topic: `${markup}/will`, payload: Buffer.from(script), qos: 0, retain: false },
      properties: { sessionExpiryInterval: 60, userProperties: { [script]: markup, agent: turned } },
    })
    await client.subscribeAsync(`${markup}/+`, { qos: 1 })
    await client.subscribeAsync(`$share/${script}/${turned}`, { qos: 0 })
    const { page, go } = await visit(plant.url(), { at: at(markup) })
    await page.getByRole('heading', { level: 1, name: markup, exact: true }).waitFor()
    await page.locator('dd', { hasText: script }).first().waitFor()
    expect(await page.locator('main img, main script, main iframe').count()).toBe(0)
    await page.locator('td', { hasText: `${markup}/+` }).waitFor()
    expect(await page.locator('.odd-character[data-name="RLO"]').count()).toBeGreaterThan(0)

    await plant.join(turned)
    await go(at(turned))
    await lit(page, 'online')
    expect(await textOf(page.getByRole('heading', { level: 1 }))).toBe('gateRLOevilLRIZWSP')
    expect(await page.locator('h1 bdi').evaluate((bdi) => getComputedStyle(bdi).unicodeBidi)).toBe('isolate')
    await photograph(page, 'session-hostile')
  })

  test('does not widen the page, however long', async () => {
    const plant = await startPlant()
    const long = 'x'.repeat(plant.broker.limits.maxClientIdBytes)
    await plant.join(long)
    const { page } = await visit(plant.url(), { at: at(long), viewport: { width: 360, height: 740 } })
    await lit(page, 'online')
    expect(await sidewaysScroll(page)).toBe(0)
  })
})

test('a narrow window scrolls down only', async () => {
  const plant = await startPlant()
  const client = await plant.join('press', kept)
  await client.subscribeAsync('site/#', { qos: 1 })
  await plant.refused('press', { username: 'eve' })
  const { page } = await visit(plant.url(), { at: at('press'), viewport: { width: 360, height: 740 } })
  await lit(page, 'online')
  await page.locator('.step').first().waitFor()
  expect(await sidewaysScroll(page)).toBe(0)
  await photograph(page, 'session-narrow')
})

test('by keyboard only: into a dialog, out of it, and back to where one was', async () => {
  const plant = await startPlant()
  await plant.join('press', kept)
  const { page } = await visit(plant.url(), { at: at('press') })
  await lit(page, 'online')
  const focused = (): Promise<string> => page.evaluate(() => (document.activeElement as HTMLElement).innerText.trim())
  const tabTo = async (name: string): Promise<void> => {
    for (let presses = 0; presses < 30; presses++) {
      await page.keyboard.press('Tab')
      if ((await focused()) === name) return
    }
    throw new Error(`no way to "${name}" by keyboard`)
  }
  await tabTo('Expire')
  await page.keyboard.press('Enter')
  await page.getByRole('dialog', { name: 'End this session?' }).waitFor()
  expect(await focused()).toBe('End it')
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  expect(await focused()).toBe('Expire')
  await tabTo('Ask')
})
