/** Sessions that nobody has needed since the start have no actor yet, and nobody can tell. */
import { onTestFinished, expect, test } from 'vitest'

import { allow, type Authenticator, type BrokerOptions } from '../../src/index.ts'
import { DormantChart } from '../../src/session/dormant.ts'
import { tempFolder } from '../support/temp-files.ts'
import { startBroker, type TestBroker } from '../support/test-broker.ts'

const people: Authenticator = {
  name: 'people',
  authenticate: ({ username }) =>
    allow({ principal: username ?? 'nobody', roles: ['reader'], properties: { team: 'red\n"' } }),
}
const roles = { reader: { permissions: [{ topic: 'a/#', allow: ['subscribe', 'publish'] as const }] } }
const persistent = { username: 'alice', cleanStart: false, properties: { sessionExpiryInterval: 3600 } } as const

/** A broker whose store an earlier one has left an offline session in, closed in order. */
async function afterRestart(options: BrokerOptions = {}): Promise<{ later: TestBroker; before: unknown }> {
  const directory = tempFolder()
  const all = { authenticators: [people], roles, store: { type: 'lmdb', directory } } as const
  const first = startBroker(all)
  await first.broker.ready
  const client = await first.connect({ clientId: 'c\n1', ...persistent })
  await client.subscribe([['a/b', { qos: 1 }]])
  client.drop()
  await first.settle()
  await first.broker.sessions.setAttributes({ clientId: 'c\n1' }, { note: 'seen' }, { scope: 'session' })
  const before = first.broker.sessions.get('c\n1')!.context
  await first.close()
  const later = startBroker({ ...all, ...options })
  onTestFinished(() => later.close())
  await later.broker.ready
  return { later, before }
}

/** How many charts are read from their records. */
function countReads(): { reads: number } {
  const counted = { reads: 0 }
  const { context } = DormantChart.prototype
  DormantChart.prototype.context = function read() {
    counted.reads++
    return context.call(this)
  }
  onTestFinished(() => {
    DormantChart.prototype.context = context
  })
  return counted
}

test('messages, roles and filters find one without its chart being made', async () => {
  const counted = countReads()
  const { later } = await afterRestart()
  const { sessions } = later.broker
  expect(await later.broker.publish({ topic: 'a/b', payload: 'x', qos: 1 })).toBe(1)
  expect(sessions.count('hasRoles ["reader"] and $Principal is "alice" and $State is "offline"')).toBe(1)
  expect(sessions.get('c\n1')).toMatchObject({ state: 'offline', queuedMessages: 1, grant: { principal: 'alice' } })
  expect(counted.reads).toBe(0)
  const client = await later.connect({ clientId: 'c\n1', ...persistent })
  expect(client.connack).toMatchObject({ sessionPresent: true })
  expect(counted.reads).toBe(1)
})

test('its chart is what it was', async () => {
  const { later, before } = await afterRestart()
  expect(later.broker.sessions.get('c\n1')!.context).toEqual({ ...(before as object), connectionAttributes: {} })
})

test('it expires in time, and closing the broker makes no chart', async () => {
  const counted = countReads()
  const { later } = await afterRestart()
  expect(later.broker.sessions.size).toBe(1)
  later.clock.advance(3_601_000)
  await later.settle()
  expect(later.broker.sessions.size).toBe(0)
  expect(counted.reads).toBe(1)
  const { later: another } = await afterRestart()
  await another.close()
  expect(counted.reads).toBe(1)
})

test('who begins to look at charts sees it offline, and then its own steps only', async () => {
  const { later } = await afterRestart()
  const seen: string[] = []
  later.broker.inspection.transitions$.subscribe(({ from, to, clientId }) => {
    if (clientId === 'c\n1') seen.push(`${from.join()} > ${to.join()}`)
  })
  expect(later.broker.inspection.census()).toEqual({ offline: 1 })
  expect(later.broker.sessions.get('c\n1')!.context.epoch).toBe(1)
  await later.settle()
  expect(seen).toEqual([])
  await later.broker.sessions.expire({ clientId: 'c\n1' })
  await later.settle()
  expect(seen).toEqual(['offline > expired'])
})
