/** Jobs in a real browser: queues, wills and ends of sessions, done now or not at all. */
import type { Locator, Page } from 'playwright-core'
import { describe, expect, test } from 'vitest'

import { kept, readerToken, startPlant } from './scene.ts'
import { photograph, reads, sidewaysScroll, useBrowser, visit } from './visit.ts'

useBrowser()

type Plant = Awaited<ReturnType<typeof startPlant>>

const rowOf = (page: Page, clientId: string): Locator =>
  page.getByRole('row').filter({ has: page.getByText(clientId, { exact: true }) })

/** A client that was there, and for which messages wait. */
async function away(plant: Plant, clientId: string, messages: number, options = kept): Promise<void> {
  const client = await plant.join(clientId, options)
  await client.subscribeAsync(`site/${clientId}`, { qos: 1 })
  client.stream.destroy()
  await plant.happened('session.offline', clientId)
  for (let number = 0; number < messages; number += 1)
    await plant.broker.publish({ topic: `site/${clientId}`, payload: `${number}`, qos: 1 })
}

const farewell = {
  ...kept,
  will: {
    topic: 'site/lost',
    payload: Buffer.from('gone'),
    qos: 1 as const,
    retain: false,
    properties: { willDelayInterval: 50 },
  },
}

describe('offline queues', () => {
  test('are listed, the longest first, and emptied when one is sure', async () => {
    const plant = await startPlant()
    await away(plant, 'pump', 2)
    await away(plant, '<b>valve</b>', 5)
    const { page } = await visit(plant.url(), { at: '/jobs' })
    await expect
      .poll(() => page.locator('.virtual-space .cell-client').allInnerTexts())
      .toEqual(['<b>valve</b>', 'pump'])
    await reads(rowOf(page, 'pump').locator('.cell-messages'), /^2$/)
    await reads(rowOf(page, 'pump').locator('.cell-due'), /^in \d+ s$/)
    await rowOf(page, 'pump').getByRole('button', { name: 'Empty …' }).click()
    await reads(page.getByRole('dialog'), /^Empty this queue\? Client pump 2 messages will not be delivered\./)
    await page.getByRole('dialog').getByRole('button', { name: 'Give up 2' }).click()
    await rowOf(page, 'pump').waitFor({ state: 'detached' })
    expect(plant.broker.sessions.get('pump')?.queuedMessages).toBe(0)
    expect(plant.broker.sessions.get('<b>valve</b>')?.queuedMessages).toBe(5)
    expect(await page.locator('main b').count()).toBe(0)
  })

  test('that are gone meanwhile say so', async () => {
    const plant = await startPlant()
    await away(plant, 'pump', 1)
    const { page } = await visit(plant.url(), { at: '/jobs' })
    await rowOf(page, 'pump').getByRole('button', { name: 'Empty …' }).click()
    await page.getByRole('dialog').waitFor()
    const { rows } = await plant.broker.inspection.jobs({ kind: 'offline-queue', offset: 0, limit: 1 })
    await plant.broker.inspection.dropJob(rows[0]!.id)
    await page.getByRole('dialog').getByRole('button', { name: 'Give up 1' }).click()
    await reads(
      page.getByRole('dialog').getByRole('alert'),
      /That did not work: .*: it is not there any more SMQ_API_NOT_FOUND$/,
    )
  })
})

test('a will is sent now, another one never', async () => {
  const plant = await startPlant()
  const witness = await plant.join('witness')
  await witness.subscribeAsync('site/lost', { qos: 1 })
  const heard: string[] = []
  witness.on('message', (topic, payload) => heard.push(`${topic} ${payload.toString()}`))
  await away(plant, 'early', 0, farewell)
  await away(plant, 'late', 0, farewell)
  const { page } = await visit(plant.url(), { at: '/jobs?kind=will' })
  await reads(rowOf(page, 'early').locator('.cell-topic'), /^site\/lost$/)
  await rowOf(page, 'early').getByRole('button', { name: 'Send now …' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Send it now' }).click()
  await plant.happened('will.published', 'early')
  await rowOf(page, 'early').waitFor({ state: 'detached' })
  await rowOf(page, 'late').getByRole('button', { name: 'Drop …' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Drop it' }).click()
  await plant.happened('will.withheld', 'late')
  await page.getByText('No will waits for its time').waitFor()
  await expect.poll(() => heard).toEqual(['site/lost gone'])
})

test('a session that would end later ends now, and cannot be kept for ever', async () => {
  const plant = await startPlant()
  await away(plant, 'pump', 0)
  const { page } = await visit(plant.url(), { at: '/jobs?kind=session-expiry' })
  await rowOf(page, 'pump').waitFor()
  expect(await rowOf(page, 'pump').getByRole('button').allInnerTexts()).toEqual(['End now …'])
  await rowOf(page, 'pump').getByRole('button').click()
  await page.getByRole('dialog').getByRole('button', { name: 'End it now' }).click()
  await page.getByText('No session is about to end').waitFor()
  expect(plant.broker.sessions.get('pump')).toBeUndefined()
})

test('there is nothing to do with jobs for whoever may only look', async () => {
  const plant = await startPlant()
  await away(plant, 'pump', 1)
  const { page } = await visit(plant.url(readerToken), { at: '/jobs' })
  await reads(rowOf(page, 'pump').locator('.cell-messages'), /^1$/)
  expect(await page.getByRole('grid').getByRole('button').count()).toBe(0)
  await page.getByRole('link', { name: 'Dead letters' }).click()
  await page.getByText('Nothing was given up').waitFor()
})

test.each(['light', 'dark'] as const)('pictures of the %s theme, and no window is too narrow', async (colorScheme) => {
  const plant = await startPlant()
  for (const [clientId, messages] of Object.entries({ 'boiler-1': 12, 'press-2': 40, 'conveyor-7': 3 }))
    await away(plant, clientId, messages, farewell)
  const { page, go } = await visit(plant.url(), { at: '/jobs', colorScheme })
  await reads(rowOf(page, 'press-2').locator('.cell-messages'), /^40$/)
  await photograph(page, `jobs-${colorScheme}`)
  await page.setViewportSize({ width: 340, height: 700 })
  for (const kind of ['offline-queue', 'will', 'session-expiry']) {
    await go(`/jobs?kind=${kind}`)
    await rowOf(page, 'press-2').waitFor()
    expect(await sidewaysScroll(page)).toBe(0)
    const table = page.getByRole('grid')
    expect(await table.evaluate(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)).toBe(0)
  }
})
