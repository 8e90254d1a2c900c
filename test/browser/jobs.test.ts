/** Jobs in a real browser: queues, wills and ends of sessions, done now or not at all. */
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import type { Locator, Page } from 'playwright-core'
import { describe, expect, onTestFinished, test, vi } from 'vitest'

import { startRedis, withLateOwner } from '../support/redis-server.ts'
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

describe('dead letters', () => {
  const foreign = '<img src=x onerror=alert(1)>'

  /** A plant on Redis whose wills and ends of sessions have failed as often as they may, and somebody else's job. */
  async function withDeadLetters(wills: readonly string[], ends: readonly string[]): Promise<Plant> {
    const redis = await startRedis()
    onTestFinished(() => redis.end())
    const store = { type: 'redis', url: redis.url, timeoutMs: 2_000 } as const
    const plant = await startPlant({ store, limits: { maxJobAttempts: 1 } })
    const will = { ...farewell.will, properties: { willDelayInterval: 1 } }
    for (const clientId of wills) await away(plant, clientId, 0, { ...farewell, will })
    for (const clientId of ends) await away(plant, clientId, 0, { ...kept, properties: { sessionExpiryInterval: 1 } })
    const connection = new Redis(redis.url, { maxRetriesPerRequest: null })
    const queue = new Queue('{jobs}', { prefix: 'statemq', connection })
    const failed = wills.length + ends.length
    const become = (counts: Record<string, number>): Promise<void> =>
      vi.waitFor(async () => expect(await queue.getJobCounts('delayed', 'failed')).toMatchObject(counts), {
        timeout: 15_000,
        interval: 10,
      })
    try {
      await become({ delayed: 2 * wills.length + ends.length })
      await withLateOwner(redis, () => become({ failed }))
      await queue.add('mail', { to: foreign }, { jobId: foreign })
      await become({ failed: failed + 1 })
    } finally {
      await queue.close()
      connection.disconnect()
    }
    return plant
  }

  const reason = 'a claim of an earlier term came late'

  test('say why they were given up; they are tried again, or dropped for good', async () => {
    const plant = await withDeadLetters(['sent', '<b>dropped</b>'], ['ended'])
    const witness = await plant.join('witness')
    await witness.subscribeAsync('site/lost', { qos: 1 })
    const heard: string[] = []
    witness.on('message', (topic, payload) => heard.push(`${topic} ${payload.toString()}`))
    const { page, go } = await visit(plant.url(), { at: '/jobs?kind=dead' })
    await reads(page.locator('.jobs-count'), /^4 jobs$/)
    const dialog = page.getByRole('dialog')
    const row = (text: string): Locator => rowOf(page, text)
    for (const clientId of ['sent', '<b>dropped</b>', 'ended'])
      await reads(row(clientId).locator('.cell-failure'), new RegExp(`^${reason}$`))
    expect(await row('sent').getByRole('button').allInnerTexts()).toEqual(['Try again …', 'Drop …'])
    // How long a session is kept was agreed on: its end can be tried again only.
    expect(await row('ended').getByRole('button').allInnerTexts()).toEqual(['Try again …'])

    await row('sent').getByRole('button', { name: 'Try again …' }).click()
    await reads(dialog, /^Try it again\? Client sent, topic site\/lost It was given up: a claim of an earlier term/)
    await dialog.getByRole('button', { name: 'Try again' }).click()
    await plant.happened('will.published', 'sent')
    await row('sent').waitFor({ state: 'detached' })
    await expect.poll(() => heard).toEqual(['site/lost gone'])

    await row('ended').getByRole('button').click()
    await dialog.getByRole('button', { name: 'Try again' }).click()
    await plant.happened('session.expired', 'ended')
    await row('ended').waitFor({ state: 'detached' })

    await row('<b>dropped</b>').getByRole('button', { name: 'Drop …' }).click()
    await reads(dialog, /The will is never published\./)
    await dialog.getByRole('button', { name: 'Drop it' }).click()
    await plant.happened('will.withheld', '<b>dropped</b>')
    await row('<b>dropped</b>').waitFor({ state: 'detached' })

    await reads(row('it is no job of a broker').locator('.cell-kind'), /^not this broker’s$/)
    await row('it is no job of a broker').getByRole('button', { name: 'Drop …' }).click()
    await reads(dialog, /^Drop it for good\? dead:<img src=x onerror=alert\(1\)> It was given up: it is no job/)
    await dialog.getByRole('button', { name: 'Drop it' }).click()
    await page.getByText('Nothing was given up').waitFor()
    expect(heard).toEqual(['site/lost gone'])
    await go('/jobs?kind=will')
    await page.getByText('No will waits for its time').waitFor()
  })

  test('that are gone meanwhile say so, and fit a narrow window', async () => {
    const plant = await withDeadLetters(['boiler-1', 'press-2'], ['conveyor-7'])
    const { page } = await visit(plant.url(), { at: '/jobs?kind=dead' })
    await reads(page.locator('.jobs-count'), /^4 jobs$/)
    await photograph(page, 'jobs-dead')
    await page.setViewportSize({ width: 340, height: 700 })
    expect(await sidewaysScroll(page)).toBe(0)
    const table = page.getByRole('grid')
    expect(await table.evaluate(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)).toBe(0)
    await photograph(page, 'jobs-dead-narrow')
    await rowOf(page, 'it is no job of a broker').getByRole('button', { name: 'Drop …' }).click()
    const { rows } = await plant.broker.inspection.jobs({ kind: 'dead', offset: 0, limit: 10 })
    for (const { id, kind } of rows) if (kind === 'unknown') await plant.broker.inspection.dropJob(id)
    await page.getByRole('dialog').getByRole('button', { name: 'Drop it' }).click()
    await reads(page.getByRole('dialog').getByRole('alert'), /it is not there any more SMQ_API_NOT_FOUND$/)
  })
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
