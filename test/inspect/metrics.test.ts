/** The metrics as Prometheus gets them. */
import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'

import { deny, next, type BrokerOptions } from '../../src/index.ts'
import { metrics } from '../../src/observe/metric-table.ts'
import { startBroker } from '../support/test-broker.ts'
import { simulatedEpochMs } from '../support/simulated-clock.ts'

/** Values by metric and labels, as the text has them. */
function valuesOf(text: string): Record<string, number> {
  return Object.fromEntries(
    text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => {
        const space = line.lastIndexOf(' ')
        return [line.slice(0, space), Number(line.slice(space + 1))]
      }),
  )
}

const hostile = 'client"} 1\nstatemq_evil{x="'

/** A broker that something of everything has happened to, to clients whose names are hostile. */
async function eventful(options: BrokerOptions = {}) {
  const t = startBroker({
    limits: { maxQueuedMessages: 1 },
    hooks: { onPublish: ({ message }) => (message.topic === 'no' ? deny(0x87, 'no') : next()) },
    ...options,
  })
  const away = await t.connect({ clientId: hostile, properties: { sessionExpiryInterval: 60 } })
  await away.subscribe([[`${hostile}/#`, { qos: 1 }], '$share/g/b'])
  away.drop()
  await t.settle()
  const writer = await t.connect({ clientId: 'writer' })
  for (let count = 0; count < 3; count++)
    await writer.publish({ topic: `${hostile}/a`, payload: 'x'.repeat(10), qos: 1, retain: true })
  await writer.publish({ topic: 'no', payload: 'x'.repeat(10), qos: 1 })
  return t
}

test('Prometheus’ own checker finds no fault with them', async () => {
  const { text } = await (await eventful()).broker.metrics()
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })
  expect({ status, said: stdout + stderr }).toEqual({ status: 0, said: '' })
})

test('tell what happened', async () => {
  const t = await eventful()
  const { contentType, text } = await t.broker.metrics()
  expect(contentType).toBe('text/plain; version=0.0.4; charset=utf-8')
  const { counters, retainedBytes, queuedBytes } = t.broker.inspection.stats()
  const own = Object.entries(valuesOf(text)).filter(([name]) => name.startsWith('statemq_'))
  expect(Object.fromEntries(own)).toEqual({
    'statemq_info{version="0.1.0",store="memory"}': 1,
    statemq_start_time_seconds: simulatedEpochMs / 1000,
    statemq_running: 1,
    statemq_store_up: 1,
    'statemq_bytes_total{direction="received"}': counters.bytesReceived,
    'statemq_bytes_total{direction="sent"}': counters.bytesSent,
    'statemq_packets_total{direction="received"}': 7,
    'statemq_packets_total{direction="sent"}': 7,
    'statemq_messages_total{direction="received"}': 4,
    'statemq_messages_total{direction="sent"}': 0,
    'statemq_payload_bytes_total{direction="received"}': 40,
    'statemq_payload_bytes_total{direction="sent"}': 0,
    'statemq_messages_dropped_total{reason="queue-full"}': 2,
    'statemq_messages_dropped_total{reason="expired"}': 0,
    'statemq_messages_dropped_total{reason="too-large"}': 0,
    'statemq_messages_dropped_total{reason="offline"}': 0,
    'statemq_messages_dropped_total{reason="denied"}': 1,
    'statemq_messages_dropped_total{reason="store-full"}': 0,
    'statemq_messages_dropped_total{reason="retained-full"}': 0,
    'statemq_messages_dropped_total{reason="observer-slow"}': 0,
    'statemq_messages_dropped_total{reason="session-ended"}': 0,
    'statemq_messages_dropped_total{reason="administrative"}': 0,
    statemq_queued_messages: 1,
    statemq_queued_bytes: queuedBytes,
    statemq_inflight_messages: 0,
    statemq_retained_messages: 1,
    statemq_retained_bytes: retainedBytes,
    'statemq_sessions{state="connecting"}': 0,
    'statemq_sessions{state="authenticating"}': 0,
    'statemq_sessions{state="enhanced-auth"}': 0,
    'statemq_sessions{state="online"}': 1,
    'statemq_sessions{state="offline"}': 1,
    'statemq_sessions{state="expired"}': 0,
    statemq_connections: 1,
    statemq_connections_opened_total: 2,
    statemq_connections_refused_total: 0,
    statemq_sessions_admitted_total: 2,
    statemq_session_takeovers_total: 0,
    statemq_sessions_expired_total: 0,
    statemq_subscriptions: 2,
    statemq_shared_subscriptions: 1,
    statemq_subscriptions_added_total: 2,
    statemq_subscriptions_removed_total: 0,
    'statemq_wills_total{outcome="published"}': 0,
    'statemq_wills_total{outcome="withheld"}': 0,
    'statemq_wills_total{outcome="cancelled"}': 0,
    statemq_pending_wills: 0,
    statemq_hooks_denied_total: 1,
    statemq_hooks_failed_total: 0,
  })
})

test('listeners and reason codes are labels where there are any', async () => {
  const t = startBroker({ authenticators: [{ name: 'shut', authenticate: () => deny(0x87, 'no') }] })
  const { port } = await t.listen({ transport: 'tcp', port: 0, name: 'front "door"' })
  const waiting = await t.tcp(port)
  await t
    .attach()
    .connect({ clientId: 'a' })
    .catch(() => {})
  const values = valuesOf((await t.broker.metrics()).text)
  waiting.drop()
  expect(values).toMatchObject({
    'statemq_sessions_refused_total{reason_code="135"}': 1,
    'statemq_listener_connections{listener="front \\"door\\"",transport="tcp"}': 1,
  })
})

test('no client chooses a label: its names are nowhere, and two brokers with other clients have the same series', async () => {
  const [one, other] = [await eventful(), startBroker()]
  const texts = [(await one.broker.metrics()).text, (await other.broker.metrics()).text] as const
  expect(texts[0]).not.toContain('evil')
  const series = texts.map((text) => Object.keys(valuesOf(text)).filter((name) => name.startsWith('statemq_')))
  expect(series[0]).toEqual(series[1])
})

test('those of the process come along, and looking begins nothing in the broker', async () => {
  const t = startBroker()
  const before = t.clock.pending
  const values = valuesOf((await t.broker.metrics()).text)
  expect(t.clock.pending).toBe(before)
  expect(values['process_resident_memory_bytes']).toBeGreaterThan(1_000_000)
  expect(values).toHaveProperty('nodejs_eventloop_lag_p99_seconds')
})

test('counters only rise, and a broker that has stopped says so', async () => {
  const t = await eventful()
  const before = valuesOf((await t.broker.metrics()).text)
  await (await t.connect({ clientId: 'more' })).publish({ topic: 'a', qos: 1 })
  await t.close()
  const after = valuesOf((await t.broker.metrics()).text)
  expect(after['statemq_running']).toBe(0)
  const names = metrics.filter(({ type }) => type === 'counter').map(({ name }) => name)
  const fallen = Object.keys(before).filter(
    (name) => names.includes(name.split('{')[0]!) && after[name]! < before[name]!,
  )
  expect(fallen).toEqual([])
  expect(after['statemq_sessions_admitted_total']).toBe(before['statemq_sessions_admitted_total']! + 1)
})
