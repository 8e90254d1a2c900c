/** A state of your own in the session's chart: who is in quarantine stays connected, and gets nothing until released. */
import assert from 'node:assert/strict'

import { filter, firstValueFrom } from 'rxjs'
import { createBroker, describeChart } from 'statemq'
import { extendSession, sessionSetup } from 'statemq/machines'

const setup = sessionSetup.extend({
  guards: {
    isQuarantined: ({ context }) => context.sessionAttributes['quarantine'] === true,
    isTrusted: ({ context }) => context.sessionAttributes['quarantine'] !== true,
  },
})

const machine = extendSession(setup, {
  online: {
    states: {
      // `online` is parallel, so this is one more region; the others go on as they do.
      quarantine: {
        initial: 'free',
        states: {
          free: { always: { guard: 'isQuarantined', target: 'held' } },
          held: {
            entry: 'suspendDelivery',
            exit: 'resumeDelivery',
            always: { guard: 'isTrusted', target: 'free' },
            // An event of your own: a last chance to let go of somebody without changing what is known of them.
            on: { 'custom.pardon': 'pardoned' },
          },
          pardoned: {},
        },
      },
    },
  },
})

// What is drawn is what runs: the inspector, /machines/session.svg and `describeChart` show it as any other state.
const chart = describeChart(machine)
assert.deepEqual(Object.keys(chart.states?.['online']?.states ?? {}), [
  'authority',
  'reauthentication',
  'delivery',
  'quarantine',
])

const broker = createBroker({ machine })
const device = await broker.client({ clientId: 'camera-7' })
const heard: string[] = []
device.messages('orders/#', { qos: 1 }).subscribe(({ payload }) => heard.push(payload.toString()))

/** Where its chart is, in that region. */
const quarantineOf = (clientId: string): string | undefined => {
  const { value } = broker.sessions.get(clientId)!.actorRef.getSnapshot()
  return typeof value === 'object' ? (value as { online?: { quarantine?: string } }).online?.quarantine : undefined
}
const order = (payload: string): Promise<number> => broker.publish({ topic: 'orders/camera-7', payload, qos: 1 })
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

await order('first')
await settle()
assert.deepEqual(heard, ['first'])

// What decides is data of the session: one call holds one client, or thousands by filter.
const outcomes = await broker.sessions.setAttributes(
  { filter: '$ClientId like "camera-*"' },
  { quarantine: true },
  { scope: 'session' },
)
assert.equal(outcomes.length, 1)
assert.equal(quarantineOf('camera-7'), 'held')
await order('second')
await settle()
assert.deepEqual(heard, ['first'])
// It is online like anybody: it may publish, and its pings are answered.
const own = firstValueFrom(broker.messages('alarms'))
await device.publish({ topic: 'alarms', payload: 'let me out', qos: 1 })
assert.equal((await own).publisher, 'camera-7')

await broker.sessions.setAttributes({ clientId: 'camera-7' }, { quarantine: null }, { scope: 'session' })
assert.equal(quarantineOf('camera-7'), 'free')
await settle()
assert.deepEqual(heard, ['first', 'second'])

await broker.sessions.setAttributes({ clientId: 'camera-7' }, { quarantine: true }, { scope: 'session' })
broker.sessions.get('camera-7')!.actorRef.send({ type: 'custom.pardon' })
assert.equal(quarantineOf('camera-7'), 'pardoned')

// Where a state has no use for an event of yours, you hear of it.
const ignored = firstValueFrom(broker.events$.pipe(filter(({ type }) => type === 'session.ignored')))
broker.sessions.get('camera-7')!.actorRef.send({ type: 'custom.pardon' })
await ignored
await broker.close()
