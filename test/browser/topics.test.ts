/** Retained messages as a tree and messages as they pass, in a real browser. */
import type { Locator, Page } from 'playwright-core'
import { describe, expect, test } from 'vitest'

import { kept, readerToken, startPlant } from './scene.ts'
import { photograph, reads, sidewaysScroll, textOf, useBrowser, visit } from './visit.ts'

useBrowser()

const everything = { device: { permissions: [{ allow: ['publish', 'subscribe'], topic: '#' }] } } as const

type Plant = Awaited<ReturnType<typeof startPlant>>

async function keep(plant: Plant, messages: Readonly<Record<string, string | Uint8Array>>): Promise<void> {
  for (const [topic, payload] of Object.entries(messages)) await plant.broker.publish({ topic, payload, retain: true })
}

/** Lines of the tree as they read. */
function lines(page: Page): Promise<string[]> {
  return page
    .getByRole('treeitem')
    .evaluateAll((items) => items.map((item) => (item as HTMLElement).innerText.replace(/\s+/g, ' ').trim()))
}

async function showsLines(page: Page, expected: readonly string[]): Promise<void> {
  await expect.poll(() => lines(page), { timeout: 15_000 }).toEqual(expected)
}

const payload = (page: Page): Locator => page.locator('.payload')

describe('retained messages', () => {
  test('are a tree that is opened level by level with keys, and shown', async () => {
    const plant = await startPlant({ roles: everything })
    await keep(plant, {
      'home/kitchen/lamp': '{"on":true,"level":9007199254740993}',
      'home/attic': 'dark',
      garage: 'x',
    })
    const client = await plant.join('lamp')
    await client.publishAsync('home/kitchen/lamp', '{"on":true,"level":9007199254740993}', {
      qos: 1,
      retain: true,
      properties: { contentType: 'application/json', userProperties: { room: 'kitchen' } },
    })
    const { page } = await visit(plant.url(), { at: '/topics' })
    await showsLines(page, ['garage 1 B', 'home'])
    await page.getByRole('tree').focus()
    for (const key of ['ArrowDown', 'ArrowRight']) await page.keyboard.press(key)
    await showsLines(page, ['garage 1 B', 'home', 'attic 4 B', 'kitchen'])
    for (const key of ['ArrowDown', 'ArrowDown', 'ArrowRight']) await page.keyboard.press(key)
    await showsLines(page, ['garage 1 B', 'home', 'attic 4 B', 'kitchen', 'lamp 36 B'])
    for (const key of ['ArrowRight', 'Enter']) await page.keyboard.press(key)
    await reads(page.locator('.message'), /QoS 1 Came .* Publisher lamp Content type application\/json room kitchen/)
    // Every digit is as it was sent.
    expect(await payload(page).innerText()).toBe('{\n  "on": true,\n  "level": 9007199254740993\n}')
    await page.getByRole('button', { name: 'Hex' }).click()
    await reads(payload(page), /^000000 7b 22 6f 6e 22 3a 74 72/)
    await page.getByRole('button', { name: 'Text' }).click()
    expect(await payload(page).innerText()).toBe('{"on":true,"level":9007199254740993}')
    await page.keyboard.press('Shift+Tab')
    await page.getByRole('tree').focus()
    for (const key of ['ArrowLeft', 'ArrowLeft']) await page.keyboard.press(key)
    await showsLines(page, ['garage 1 B', 'home', 'attic 4 B', 'kitchen'])
  })

  test('are found by an address, with the tree opened above them', async () => {
    const plant = await startPlant()
    await keep(plant, { '/site//lamp/state': 'on', 'site/other': 'off' })
    const { page } = await visit(plant.url(), { at: `/topics?topic=${encodeURIComponent('/site//lamp/state')}` })
    await reads(page.locator('.message h2'), /^\/site\/\/lamp\/state$/)
    await showsLines(page, ['(empty level)', 'site', '(empty level)', 'lamp', 'state 2 B', 'site'])
    expect(await page.getByRole('treeitem', { selected: true }).innerText()).toMatch(/^state/)
    await page.getByRole('textbox', { name: 'Topic' }).fill('site/other')
    await page.getByRole('button', { name: 'Show' }).click()
    await reads(payload(page), /^off$/)
    await page.getByRole('textbox', { name: 'Topic' }).fill('site/nothing')
    await page.getByRole('button', { name: 'Show' }).click()
    await page.getByText('Nothing is retained here').waitFor()
  })

  test('with hostile topics, payloads and properties are text', async () => {
    const plant = await startPlant({ roles: everything })
    const topic = '<img src=x onerror=alert(1)>/\u202Egpj.exe'
    const client = await plant.join('"><script>alert(2)</script>')
    await client.publishAsync(topic, '<script>alert(3)</script>\n\u2066hidden\u2069\n</pre><img src=x>', {
      qos: 1,
      retain: true,
      properties: { contentType: 'text/html', userProperties: { '<b>name</b>': '<svg onload=alert(4)>' } },
    })
    const { page } = await visit(plant.url(), { at: `/topics?topic=${encodeURIComponent(topic)}` })
    await reads(page.locator('.message h2'), /^<img src=x onerror=alert\(1\)>\/RLOgpj\.exe$/)
    await showsLines(page, ['<img src=x onerror=alert(1)>', 'RLOgpj.exe 56 B'])
    expect((await payload(page).innerText()).split('\n')).toEqual([
      '<script>alert(3)</script>',
      'LRIhiddenPDI',
      '</pre><img src=x>',
    ])
    await reads(
      page.locator('.facts'),
      /Publisher "><script>alert\(2\)<\/script> Content type text\/html <b>name<\/b> <svg onload=alert\(4\)>$/,
    )
    expect(await page.locator('main img, main script, main b, main svg[onload]').count()).toBe(0)
  })

  test('bytes that are no text are shown byte by byte', async () => {
    const plant = await startPlant()
    await keep(plant, { bin: Uint8Array.of(0xff, 0x00, 0x41, 0x80) })
    const { page } = await visit(plant.url(), { at: '/topics?topic=bin' })
    await reads(payload(page), /^000000 ff 00 41 80 ··A·$/)
    expect(await page.getByRole('button', { name: 'Text' }).isDisabled()).toBe(true)
    await reads(page.locator('.payload-head'), /4 B, not UTF-8$/)
  })

  test('are deleted when one is sure, and not otherwise', async () => {
    const plant = await startPlant()
    await keep(plant, { 'site/old': 'x', 'site/new': 'y' })
    const { page } = await visit(plant.url(), { at: '/topics?topic=site%2Fold' })
    await page.getByRole('button', { name: 'Delete …' }).click()
    await reads(page.getByRole('dialog'), /^Delete this retained message\? site\/old, 1 B/)
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
    expect(plant.broker.inspection.retainedMessage('site/old')).toMatchObject({ payloadBytes: 1 })
    await page.getByRole('button', { name: 'Delete …' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Delete it' }).click()
    await page.getByText('Nothing is retained here').waitFor()
    await showsLines(page, ['site', 'new 1 B'])
    expect(plant.broker.inspection.retainedMessage('site/old')).toBeUndefined()
    const reader = await visit(plant.url(readerToken), { at: '/topics?topic=site%2Fnew' })
    await reads(payload(reader.page), /^y$/)
    expect(await reader.page.getByRole('button', { name: 'Delete' }).count()).toBe(0)
  })

  test('of a level with hundreds of others are fetched in steps', async () => {
    const plant = await startPlant()
    await keep(plant, Object.fromEntries(Array.from({ length: 450 }, (_, index) => [`m/${1_000 + index}`, 'x'])))
    const { page } = await visit(plant.url(), { at: '/topics' })
    await page.getByRole('treeitem', { name: 'm' }).click()
    await expect.poll(() => page.getByRole('treeitem').count()).toBe(202)
    await page.getByRole('treeitem', { name: '250 more levels' }).click()
    await page.getByRole('treeitem', { name: '50 more levels' }).click()
    await page.getByRole('treeitem', { name: '1449' }).waitFor()
    expect(await page.getByRole('treeitem').count()).toBe(451)
  })
})

describe('the tap', () => {
  const topics = (page: Page): Promise<string[]> => page.locator('.tap-topic').allInnerTexts()

  test('shows messages as they pass, and nothing that does not match', async () => {
    const plant = await startPlant({ roles: everything })
    const client = await plant.join('pump')
    const { page } = await visit(plant.url(), { at: '/topics?tap=' })
    await page.getByRole('textbox', { name: 'Topic filter' }).fill('site/+/state')
    await page.getByRole('button', { name: 'Start' }).click()
    await page.getByText('No message yet').waitFor()
    await reads(page.locator('.live'), /^live/)
    await client.publishAsync('site/1/state', 'on', { qos: 1 })
    await client.publishAsync('site/1/other', 'no', { qos: 1 })
    await client.publishAsync('site/2/state', 'off', { qos: 1, retain: true })
    await expect.poll(() => topics(page)).toEqual(['site/2/state', 'site/1/state'])
    await reads(page.locator('.tap-row').first(), /^\d\d:\d\d:\d\d\.\d{3} site\/2\/state QoS 1, retained off 3 B$/)
    expect(new URL(page.url()).hash).toBe('#/topics?tap=site%2F%2B%2Fstate')
    await page.getByRole('button', { name: 'Stop' }).click()
    await page.getByText('Nothing is tapped').waitFor()
  })

  test('says what it left out, and can be paused', async () => {
    const plant = await startPlant()
    const { page } = await visit(plant.url(), { at: '/topics?tap=%23&rate=5' })
    await page.getByText('No message yet').waitFor()
    await reads(page.locator('.live'), /^live/)
    for (let number = 0; number < 40; number += 1)
      await plant.broker.publish({ topic: `burst/${number}`, payload: 'x' })
    await reads(page.locator('.tap-left-out'), /^3\d left out: there were more than 5 a second$/)
    const shown = await topics(page)
    expect(shown.length).toBeLessThanOrEqual(10)
    expect(shown).toContain('burst/0')
    await page.getByRole('button', { name: 'Pause' }).click()
    await plant.broker.publish({ topic: 'later', payload: 'x' })
    await reads(page.locator('.tap-notes'), /paused, 1 came since/)
    expect(await topics(page)).toEqual(shown)
    await page.getByRole('button', { name: 'Go on' }).click()
    await expect.poll(() => topics(page)).toEqual(['later', ...shown])
  })

  test('stands still for whoever reads a message', async () => {
    const plant = await startPlant({ roles: everything })
    const client = await plant.join('<i>pump</i>')
    const { page } = await visit(plant.url(), { at: '/topics?tap=%23' })
    await page.getByText('No message yet').waitFor()
    await reads(page.locator('.live'), /^live/)
    await client.publishAsync('a/<script>alert(1)</script>', '{"x":[1,2]}', { qos: 1 })
    await page.locator('.tap-row').click()
    await reads(page.locator('.tap-open'), /^From <i>pump<\/i> to a\/<script>alert\(1\)<\/script>/)
    expect(await payload(page).innerText()).toBe('{\n  "x": [\n    1,\n    2\n  ]\n}')
    await page.getByRole('button', { name: 'Go on' }).waitFor()
    await client.publishAsync('b', 'x', { qos: 1 })
    await reads(page.locator('.tap-notes'), /paused, 1 came since/)
    expect(await page.locator('main script, main i:not(.quiet)').count()).toBe(0)
  })

  test('does not start on a filter that is none', async () => {
    const plant = await startPlant()
    const { page } = await visit(plant.url(), { at: '/topics?tap=' })
    const box = page.getByRole('textbox', { name: 'Topic filter' })
    await box.fill('site/#/state')
    await reads(page.locator('#tap-fault'), /^# stands alone, and at the end: a\/b\/#$/)
    expect(await page.getByRole('button', { name: 'Start' }).isDisabled()).toBe(true)
    await box.fill('site/+state')
    await reads(page.locator('#tap-fault'), /^\+ stands alone between two slashes: a\/\+\/b$/)
  })
})

test.each(['light', 'dark'] as const)('pictures of the %s theme, and no window is too narrow', async (colorScheme) => {
  const plant = await startPlant({ roles: everything })
  for (const area of ['north', 'south'])
    for (const machine of ['boiler', 'conveyor', 'press'])
      await keep(plant, {
        [`site/${area}/${machine}/state`]: JSON.stringify({ temperature: 81.5, running: true, tags: ['a', 'b'] }),
        [`site/${area}/${machine}/firmware`]: Uint8Array.from({ length: 96 }, (_, index) => index * 37),
      })
  const { page, go } = await visit(plant.url(), { at: '/topics?topic=site%2Fnorth%2Fboiler%2Fstate', colorScheme })
  await reads(payload(page), /"temperature": 81\.5/)
  await photograph(page, `topics-${colorScheme}`)
  await go('/topics?tap=site%2F%23')
  await page.getByText('No message yet').waitFor()
  await reads(page.locator('.live'), /^live/)
  const client = await plant.join('meter', kept)
  for (let number = 0; number < 12; number += 1)
    await client.publishAsync(`site/north/boiler-${number}/live`, JSON.stringify({ t: 20 + number / 4 }), { qos: 1 })
  await expect.poll(() => page.locator('.tap-row').count()).toBe(12)
  await photograph(page, `tap-${colorScheme}`)
  for (const [width, at] of [
    [340, '/topics?tap=%23'],
    [340, '/topics?topic=site%2Fnorth%2Fboiler%2Fstate'],
  ] as const) {
    await page.setViewportSize({ width, height: 700 })
    await go(at)
    await page.getByRole('navigation', { name: 'Ways to look at topics' }).waitFor()
    expect(await sidewaysScroll(page)).toBe(0)
  }
  expect(await textOf(page.locator('h1'))).toBe('Topics')
})
