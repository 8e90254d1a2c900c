/** The table of sessions in a real browser: search, order, keys, a hundred thousand rows, actions and what came of them. */
import type { IDisconnectPacket } from 'mqtt'
import type { Locator, Page } from 'playwright-core'
import { describe, expect, test } from 'vitest'

import { allow } from '../../src/index.ts'
import { kept, readerToken, startPlant } from './scene.ts'
import { photograph, reads, sidewaysScroll, textOf, useBrowser, visit } from './visit.ts'

useBrowser()

/** Client identifiers of the rows in the document, in order. */
function clients(page: Page): Promise<string[]> {
  return page.locator('.virtual-space .cell-client').allInnerTexts()
}

async function showsClients(page: Page, expected: readonly string[]): Promise<void> {
  await expect.poll(() => clients(page), { timeout: 15_000 }).toEqual(expected)
}

function rowOf(page: Page, clientId: string): Locator {
  return page.getByRole('row').filter({ has: page.getByText(clientId, { exact: true }) })
}

const filterBox = (page: Page): Locator => page.getByRole('combobox', { name: /^Filter/ })

describe('the table', () => {
  test('follows clients as they come and go, and leads to each of them', async () => {
    const plant = await startPlant()
    const { page } = await visit(plant.url(), { at: '/sessions' })
    await page.getByText('Nobody is here yet').waitFor()
    const pump = await plant.join('pump', kept)
    await plant.join('valve')
    await showsClients(page, ['pump', 'valve'])
    await pump.subscribeAsync('site/pump/#', { qos: 1 })
    pump.stream.destroy()
    await plant.happened('session.offline', 'pump')
    await plant.broker.publish({ topic: 'site/pump/order', payload: 'go', qos: 1 })
    await reads(rowOf(page, 'pump').locator('.cell-state'), /^offline$/)
    await reads(rowOf(page, 'pump').locator('.cell-queue'), /^1$/)
    await reads(rowOf(page, 'valve').locator('.cell-principal'), /^anna$/)
    await reads(page.locator('.sessions-count'), /^2 sessions$/)
    await page.getByRole('link', { name: 'pump' }).click()
    await reads(page.getByRole('heading', { level: 1 }), /pump/)
  })

  test('is sorted by its heads, and the address says how', async () => {
    const plant = await startPlant()
    const first = await plant.join('a', { username: 'zoe' })
    await plant.join('b', { username: 'yan' })
    await first.subscribeAsync(['site/1', 'site/2'])
    const { page } = await visit(plant.url(), { at: '/sessions' })
    await showsClients(page, ['a', 'b'])
    await page.getByRole('button', { name: 'Principal' }).click()
    await showsClients(page, ['b', 'a'])
    const head = page.getByRole('columnheader', { name: 'Principal' })
    expect(await head.getAttribute('aria-sort')).toBe('ascending')
    // Numbers begin with the largest.
    await page.getByRole('button', { name: 'Subscriptions' }).click()
    await showsClients(page, ['a', 'b'])
    expect(new URL(page.url()).hash).toBe('#/sessions?sort=subscriptions&down=yes')
    await page.reload()
    await showsClients(page, ['a', 'b'])
    expect(await page.getByRole('columnheader', { name: 'Subscriptions' }).getAttribute('aria-sort')).toBe('descending')
  })

  test('is gone through with keys alone', async () => {
    const plant = await startPlant()
    for (let number = 0; number < 60; number += 1)
      await plant.broker.client({ clientId: `c${String(number).padStart(2, '0')}`, username: 'x' })
    const { page } = await visit(plant.url(), { at: '/sessions', viewport: { width: 1000, height: 600 } })
    const table = page.getByRole('grid', { name: 'Sessions' })
    await table.focus()
    const active = async (): Promise<string> => {
      const id = await table.getAttribute('aria-activedescendant')
      return textOf(page.locator(`[id="${id}"] .cell-client`))
    }
    await page.keyboard.press('ArrowDown')
    expect(await active()).toBe('c01')
    await page.keyboard.press(' ')
    await page.keyboard.press('Shift+ArrowDown')
    await page.keyboard.press('Shift+ArrowDown')
    await reads(page.locator('.selection-bar output'), /^3 sessions chosen$/)
    await page.keyboard.press('End')
    await expect.poll(active).toBe('c59')
    await page.locator('[role=row][aria-rowindex="61"]').waitFor()
    await page.keyboard.press('Home')
    await expect.poll(active).toBe('c00')
    await page.keyboard.press('Escape')
    await page.locator('.selection-bar').waitFor({ state: 'detached' })
    await page.keyboard.press('PageDown')
    await page.keyboard.press('Enter')
    await page.waitForURL(/#\/session\/c\d\d$/)
  })

  test('shows who calls itself by a script, a name that reads backwards or none that can be seen as what it is', async () => {
    const plant = await startPlant()
    const hostile = [
      '<img src=x onerror=alert(1)>',
      '"><script>alert(2)</script>',
      'a\u202Etxt.exe',
      'zero\u200Bwidth',
      '${alert(3)}{{alert(4)}}',
    ]
    for (const clientId of hostile) await plant.broker.client({ clientId, username: clientId })
    const { page } = await visit(plant.url(), { at: '/sessions' })
    await showsClients(page, [
      '"><script>alert(2)</script>',
      '${alert(3)}{{alert(4)}}',
      '<img src=x onerror=alert(1)>',
      'aRLOtxt.exe',
      'zeroZWSPwidth',
    ])
    for (const box of await page.locator('.virtual-space').getByRole('checkbox').all()) await box.check()
    await page.getByRole('button', { name: 'Disconnect' }).click()
    await reads(page.getByRole('dialog').locator('.which'), /<img src=x onerror=alert\(1\)>/)
    await page.getByRole('dialog').getByRole('button', { name: 'Disconnect 5 sessions' }).click()
    await reads(page.getByRole('dialog').locator('.outcomes tbody'), /"><script>alert\(2\)<\/script>/)
    expect(await page.locator('main img, main script, dialog img, dialog script').count()).toBe(0)
  })

  test.each([
    [360, 'client state queue'],
    [700, 'client state principal since queue'],
    [1400, 'client state principal roles address since subscriptions inflight queue'],
  ])('fits a window of %i pixels', async (width, columns) => {
    const plant = await startPlant()
    await plant.join('pump'.repeat(40), kept)
    const { page } = await visit(plant.url(), { at: '/sessions', viewport: { width, height: 700 } })
    await page.locator('.virtual-space .cell-client bdi').waitFor()
    const shown = await page
      .locator('.virtual-space .cell:visible')
      .evaluateAll((cells) =>
        cells.flatMap((cell) => [...cell.classList].flatMap((name) => /^cell-(?!choice)(\w+)$/.exec(name)?.[1] ?? [])),
      )
    expect(shown.join(' ')).toBe(columns)
    expect(await sidewaysScroll(page)).toBe(0)
    const table = page.getByRole('grid')
    expect(await table.evaluate(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)).toBe(0)
  })
})

describe('the filter', () => {
  test('is completed with keys, and selects', async () => {
    const plant = await startPlant()
    await plant.join('pump')
    await plant.join('valve')
    const { page } = await visit(plant.url(), { at: '/sessions' })
    await showsClients(page, ['pump', 'valve'])
    const box = filterBox(page)
    await box.click()
    await box.pressSequentially('cli')
    await page.getByRole('option', { name: /^\$ClientId/ }).waitFor()
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Enter')
    expect(await box.inputValue()).toBe('$ClientId ')
    await box.pressSequentially('li')
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Tab')
    await box.pressSequentially('"pu*"')
    expect(await box.inputValue()).toBe('$ClientId like "pu*"')
    await showsClients(page, ['pump'])
    await reads(page.locator('.sessions-count'), /^1 matching session$/)
    expect(new URLSearchParams(new URL(page.url()).hash.split('?')[1]).get('filter')).toBe('$ClientId like "pu*"')
    await page.getByRole('button', { name: 'Clear the filter' }).click()
    await showsClients(page, ['pump', 'valve'])
  })

  test('offers the roles that are defined', async () => {
    const plant = await startPlant()
    const { page } = await visit(plant.url(), { at: '/sessions' })
    await filterBox(page).click()
    await filterBox(page).pressSequentially('hasRoles [')
    expect(await page.getByRole('option').allInnerTexts()).toEqual(['"device"\nrole', '"auditor"\nrole'])
    await page.getByRole('option', { name: /auditor/ }).click()
    expect(await filterBox(page).inputValue()).toBe('hasRoles ["auditor" ')
  })

  test('that cannot be read says what is wrong, under the very characters', async () => {
    const plant = await startPlant()
    await plant.join('pump')
    const { page } = await visit(plant.url(), { at: '/sessions' })
    await showsClients(page, ['pump'])
    const text = 'hasRoles ["device"] and $Countri is "UK"'
    await filterBox(page).fill(text)
    await reads(
      page.locator('.filter-fault'),
      /^At character 25: there is no fixed property \$Countri, did you mean \$Country\?$/,
    )
    expect(await filterBox(page).getAttribute('aria-invalid')).toBe('true')
    const mark = page.locator('.filter-mark mark')
    expect([await mark.textContent(), await mark.getAttribute('data-offset')]).toEqual(['$Countri', '24'])
    // Where the same text stands in the box itself, by the box's own font.
    const expected = await filterBox(page).evaluate(
      (input, before) => {
        const style = getComputedStyle(input)
        const context = document.createElement('canvas').getContext('2d')!
        context.font = style.font
        const left = input.getBoundingClientRect().left + Number.parseFloat(style.borderLeftWidth)
        return left + Number.parseFloat(style.paddingLeft) + context.measureText(before).width
      },
      text.slice(0, 24),
    )
    const { x } = (await mark.boundingBox())!
    expect(Math.abs(x - expected)).toBeLessThan(1.5)
    // What shows is what the last filter that could be read selects.
    await showsClients(page, ['pump'])
    await filterBox(page).fill('hasRoles ["device"')
    await reads(page.locator('.filter-fault'), /^At character 19: expected \]/)
  })
})

describe('actions', () => {
  test('ask how many and which, do it, and say for each what came of it', async () => {
    const plant = await startPlant()
    const pump = await plant.join('pump', kept)
    await plant.join('valve', kept)
    await plant.join('meter', kept)
    await plant.join('bystander', kept)
    const { page } = await visit(plant.url(), { at: '/sessions' })
    await showsClients(page, ['bystander', 'meter', 'pump', 'valve'])
    for (const clientId of ['meter', 'pump', 'valve']) await rowOf(page, clientId).getByRole('checkbox').check()
    await page.getByRole('button', { name: 'Disconnect' }).click()
    const dialog = page.getByRole('dialog', { name: 'Disconnect 3 sessions?' })
    await reads(dialog.locator('.which'), /^meter pump valve$/)
    // One is gone by the time that it is done.
    plant.broker.sessions.get('meter')!.expire()
    const farewell = new Promise<IDisconnectPacket>((resolve) => pump.once('disconnect', resolve))
    await dialog.getByRole('combobox').selectOption({ label: '0x89 server busy' })
    await dialog.getByRole('textbox').fill('maintenance')
    await dialog.getByRole('button', { name: 'Disconnect 3 sessions' }).click()
    const outcomes = page.getByRole('dialog', { name: 'Disconnected: what came of it' })
    await reads(outcomes.getByRole('status'), /^Done for 2\. Failed for 1\.$/)
    expect((await outcomes.getByRole('row').allInnerTexts()).map((row) => row.replace(/\s+/g, ' ').trim())).toEqual([
      'Client Outcome Why',
      'meter failed no such session SMQ_SESSION_UNKNOWN',
      'pump done',
      'valve done',
    ])
    const packet = await farewell
    expect([packet.reasonCode, packet.properties?.reasonString]).toEqual([0x89, 'maintenance'])
    await outcomes.getByRole('button', { name: 'Close' }).click()
    await reads(rowOf(page, 'pump').locator('.cell-state'), /^offline$/)
    await reads(rowOf(page, 'bystander').locator('.cell-state'), /^online$/)
  })

  test('are done to everybody that matches, whoever is in sight', async () => {
    const plant = await startPlant()
    for (let number = 0; number < 250; number += 1)
      await plant.broker.client({ clientId: `pump-${number}`, username: 'x' })
    await plant.join('valve')
    const { page } = await visit(plant.url(), {
      at: `/sessions?filter=${encodeURIComponent('$ClientId like "pump-*"')}`,
    })
    await page.getByRole('checkbox', { name: 'Choose all' }).check()
    await reads(page.locator('.selection-bar output'), /^Everything that matches: 250 sessions$/)
    await page.getByRole('button', { name: 'Change roles' }).click()
    const dialog = page.getByRole('dialog')
    await reads(
      dialog,
      /This is about every session that matches \$ClientId like "pump-\*" right before its turn: 250 now\./,
    )
    const confirm = dialog.getByRole('button', { name: 'Change roles of 250 sessions' })
    expect(await confirm.isDisabled()).toBe(true)
    await dialog.getByLabel(/^Roles to add/).fill('auditor')
    await dialog.getByLabel('Roles to remove').fill('auditor')
    expect(await confirm.isDisabled()).toBe(true)
    await dialog.getByLabel('Roles to remove').fill('device')
    await confirm.click()
    await reads(page.getByRole('dialog').getByRole('status'), /^Done for 250\.$/)
    expect(plant.broker.sessions.count('hasRoles ["auditor"] and not hasRoles ["device"]')).toBe(250)
    expect(plant.broker.sessions.get('valve')?.grant?.roles).toEqual(['device'])
  })

  test('that are cancelled do nothing', async () => {
    const plant = await startPlant()
    await plant.join('pump')
    const { page } = await visit(plant.url(), { at: '/sessions' })
    await rowOf(page, 'pump').getByRole('checkbox').check()
    for (const name of ['Revoke', 'End']) {
      await page.getByRole('button', { name: `${name} …` }).click()
      await page.getByRole('dialog').waitFor()
      await page.keyboard.press('Escape')
      await page.getByRole('dialog').waitFor({ state: 'detached' })
    }
    expect(plant.broker.sessions.get('pump')?.state).toBe('online')
    expect(plant.broker.sessions.get('pump')?.context.standing).toBe('valid')
  })

  test('are not offered to whoever may only look', async () => {
    const plant = await startPlant()
    await plant.join('pump')
    const { page } = await visit(plant.url(readerToken), { at: '/sessions' })
    await showsClients(page, ['pump'])
    expect(await page.getByRole('checkbox').count()).toBe(0)
    await page.getByRole('grid').focus()
    await page.keyboard.press(' ')
    expect(await page.locator('.selection-bar').count()).toBe(0)
  })
})

test('100,000 sessions are scrolled through', { timeout: 600_000 }, async () => {
  const plant = await startPlant({
    authenticators: [{ name: 'all', authenticate: () => allow({ principal: 'device', roles: ['device'] }) }],
    limits: { maxConnectsPerSecond: Infinity, maxConnections: Infinity },
    history: false,
  })
  const total = 100_000
  const nameOf = (number: number): string => `device-${String(number).padStart(6, '0')}`
  for (let at = 0; at < total; at += 1_000) {
    await Promise.all(
      Array.from({ length: 1_000 }, (_, index) =>
        plant.broker.client({ clientId: nameOf(((at + index) * 7_919) % total) }),
      ),
    )
  }
  const { page } = await visit(plant.url())
  await page.getByRole('navigation', { name: 'Pages' }).waitFor()
  const startedAtMs = performance.now()
  await page.getByRole('link', { name: 'Sessions' }).click()
  await page.getByRole('link', { name: nameOf(0) }).waitFor()
  const firstRowsMs = Math.round(performance.now() - startedAtMs)
  await reads(page.locator('.sessions-count'), /^100,000 sessions$/)
  // Scrolling through all of it: never more in the document than a few screens, and a frame after the other.
  const seen = await page.evaluate(async () => {
    const table = document.querySelector<HTMLElement>('.virtual')!
    const frames: number[] = []
    let most = 0
    let last = await new Promise<number>(requestAnimationFrame)
    const room = table.scrollHeight - table.clientHeight
    for (let frame = 1; frame <= 240; frame += 1) {
      table.scrollTop = (room * frame) / 240
      const now = await new Promise<number>(requestAnimationFrame)
      frames.push(now - last)
      last = now
      most = Math.max(most, table.querySelectorAll('.virtual-space > .virtual-row').length)
    }
    frames.sort((a, b) => a - b)
    return { most, medianMs: frames[120]!, p95Ms: frames[228]!, worstMs: frames[239]! }
  })
  expect(seen.most).toBeLessThan(60)
  await page.getByRole('link', { name: nameOf(total - 1) }).waitFor()
  // From there to places in between, as whoever drags the bar does.
  for (const share of [0.5, 0.123, 0.999]) {
    await page.getByRole('grid').evaluate((table, part) => {
      table.scrollTop = table.scrollHeight * part
    }, share)
    const first = Math.ceil((total * 36 * share) / 36) + 5
    await page.getByRole('link', { name: nameOf(Math.min(first, total - 3)) }).waitFor()
  }
  await page.getByRole('grid').focus()
  await page.keyboard.press('End')
  await page.keyboard.press(' ')
  await reads(page.locator('.selection-bar output'), /^1 session chosen$/)
  console.log(
    `100,000 sessions: first rows ${firstRowsMs} ms; frames while scrolling: median ${seen.medianMs.toFixed(1)}, ` +
      `95 % ${seen.p95Ms.toFixed(1)}, worst ${seen.worstMs.toFixed(1)} ms; at most ${seen.most} rows in the document`,
  )
})

test.each(['light', 'dark'] as const)('pictures of the %s theme', async (colorScheme) => {
  const plant = await startPlant()
  for (const clientId of ['boiler-1', 'boiler-2', 'conveyor-1', 'press-1', 'press-2']) await plant.join(clientId, kept)
  const { page } = await visit(plant.url(), { at: '/sessions', colorScheme })
  for (const clientId of ['boiler-2', 'press-1']) await rowOf(page, clientId).getByRole('checkbox').check()
  await photograph(page, `sessions-${colorScheme}`)
  await page.getByRole('button', { name: 'Change roles' }).click()
  await page
    .getByRole('dialog')
    .getByLabel(/^Roles to add/)
    .fill('auditor')
  await photograph(page, `sessions-action-${colorScheme}`)
  expect(await page.evaluate(() => document.documentElement.dataset['theme'])).toBe(colorScheme)
})
