/** A bridge to another broker with MQTT.js, both ways: acknowledged here only when the other side has acknowledged. */
import assert from 'node:assert/strict'
import { connect as connectSocket } from 'node:net'
import type { Duplex } from 'node:stream'

import { MqttClient, type IClientOptions, type IPublishPacket } from 'mqtt'
import { filter as having, firstValueFrom } from 'rxjs'
import { createBroker, memoryPair, next, type Broker, type Hooks } from 'statemq'

/** One way of a bridge. */
interface Way {
  /** Unique among all bridges that either broker has; the same for both ways of this one. */
  readonly bridge: string
  readonly direction: 'up' | 'down'
  readonly open: { readonly from: () => Duplex; readonly to: () => Duplex }
  readonly filter: string
  readonly rename: (topic: string) => string
  /** A message that the other side refuses is acknowledged and told of here: sent again it would be refused again. */
  readonly onRefused: (topic: string, error: unknown) => void
}

/** Messages carry the names of the bridges that they have crossed, and cross none twice, however brokers are joined. */
const PATH = 'bridge-path'

function pathOf({ properties }: IPublishPacket): string[] {
  return [properties?.userProperties?.[PATH] ?? []].flat()
}

/** Starts one way, and gives what ends it. */
async function forward({ bridge, direction, open, filter, rename, onRefused }: Way): Promise<() => Promise<void>> {
  const common: IClientOptions = { protocolVersion: 5, clean: false, reconnectPeriod: 200, resubscribe: false }
  const name = `${bridge}-${direction}`
  const writer = new MqttClient(open.to, { ...common, clientId: `${name}-writer`, keepalive: 20 })
  writer.on('error', () => {})

  const pass = async (topic: string, payload: Buffer, packet: IPublishPacket): Promise<void> => {
    const path = pathOf(packet)
    if (path.includes(bridge)) return
    const { contentType, responseTopic, correlationData, messageExpiryInterval, userProperties } =
      packet.properties ?? {}
    const given = { contentType, responseTopic, correlationData, messageExpiryInterval }
    const properties = {
      ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
      userProperties: { ...userProperties, [PATH]: [...path, bridge] },
    }
    await writer.publishAsync(rename(topic), payload, { qos: packet.qos, retain: packet.retain, properties })
  }

  /** A message of QoS 1, answered when the other side has answered. */
  const settle = async (topic: string, payload: Buffer, packet: IPublishPacket, done: (code: number) => void) => {
    try {
      await pass(topic, payload, packet)
    } catch (error) {
      // Not refused but cut off: unacknowledged, it comes again.
      if (writer.disconnecting) return
      onRefused(topic, error)
    }
    done(0)
  }
  const reader = new MqttClient(open.from, {
    ...common,
    clientId: `${name}-reader`,
    // While a message is on its way over MQTT.js reads nothing else, pings' answers included; see below.
    keepalive: 0,
    properties: { sessionExpiryInterval: 7 * 24 * 3600, receiveMaximum: 100 },
    customHandleAcks: (topic, payload, packet, done) => void settle(topic, payload, packet as IPublishPacket, done),
  })
  reader.on('error', () => {})
  reader.on('message', (topic, payload, packet) => {
    if (packet.qos === 0) void pass(topic, payload, packet).catch(() => {})
  })
  // The writer's keepalive finds out for both that a network is gone.
  writer.on('close', () => reader.stream.destroy())
  // With retained messages once, not after every interruption; what the session has waits in its broker.
  await reader.subscribeAsync(filter, { qos: 1, rap: true, rh: 1 })
  return async () => {
    await Promise.all([reader.endAsync(true), writer.endAsync(true)])
  }
}

// ---- Two brokers. The other one could be any that speaks MQTT 5; here a hook makes it slow, and refuses some topics.

const gate = Promise.withResolvers<void>()
const slow: Hooks = {
  name: 'slow',
  onPublish: async ({ message }) => {
    if (message.topic === 'site-1/slow') await gate.promise
    return next()
  },
}
const here = createBroker()
const there = createBroker({
  hooks: slow,
  roles: {
    any: {
      permissions: [
        { deny: 'publish', topic: 'site-1/secret' },
        { allow: ['publish', 'subscribe'], topic: '#' },
      ],
    },
  },
  anonymousRoles: ['any'],
})
const { address } = await there.listen({ transport: 'tcp', port: 0 })
const port = 'port' in address ? address.port : 0

const toHere = (): Duplex => {
  const [near, far] = memoryPair()
  here.attach(far)
  return near
}
const sockets: Duplex[] = []
const toThere = (): Duplex => {
  const socket = connectSocket({ port, host: '127.0.0.1' })
  sockets.push(socket)
  return socket
}
const refused: string[] = []
const onRefused = (topic: string): void => void refused.push(topic)
const ends = await Promise.all([
  forward({
    bridge: 'site-1',
    direction: 'up',
    open: { from: toHere, to: toThere },
    filter: 'plant/#',
    rename: (topic) => topic.replace('plant/', 'site-1/'),
    onRefused,
  }),
  forward({
    bridge: 'site-1',
    direction: 'down',
    open: { from: toThere, to: toHere },
    filter: 'orders/#',
    rename: (topic) => topic,
    onRefused,
  }),
  // Both ways on the same topics: without the path in them messages would go round for ever.
  forward({
    bridge: 'news',
    direction: 'up',
    open: { from: toHere, to: toThere },
    filter: 'news',
    rename: (topic) => topic,
    onRefused,
  }),
  forward({
    bridge: 'news',
    direction: 'down',
    open: { from: toThere, to: toHere },
    filter: 'news',
    rename: (topic) => topic,
    onRefused,
  }),
])

const received = async (broker: Broker, topic: string): Promise<string> =>
  (await firstValueFrom(broker.messages(topic))).payload.toString()
const inflight = (): number | undefined => here.sessions.get('site-1-up-reader')?.inflightMessages

// There and back, retained messages as retained ones.
const arrived = received(there, 'site-1/press/heat')
await here.publish({ topic: 'plant/press/heat', payload: '180', qos: 1, retain: true })
assert.equal(await arrived, '180')
const ordered = received(here, 'orders/press')
await there.publish({ topic: 'orders/press', payload: 'stop', qos: 1 })
assert.equal(await ordered, 'stop')

// Once on each side, and no more: what comes back is known by its path.
const seen: string[] = []
here.messages('news').subscribe(() => seen.push('here'))
there.messages('news').subscribe(() => seen.push('there'))
const acknowledged = firstValueFrom(
  here.events$.pipe(having((event) => event.type === 'message.acknowledged' && event.clientId === 'news-up-reader')),
)
const returned = firstValueFrom(
  there.events$.pipe(having((event) => event.type === 'message.acknowledged' && event.clientId === 'news-down-reader')),
)
await here.publish({ topic: 'news', payload: 'rain', qos: 1 })
await Promise.all([acknowledged, returned])
assert.deepEqual(seen, ['here', 'there'])

// Acknowledged only when the other side has: until then it is this broker's to send again.
const underWay = firstValueFrom(here.messages('plant/slow'))
await here.publish({ topic: 'plant/slow', payload: '1', qos: 1 })
await underWay
assert.equal(inflight(), 1)
const late = received(there, 'site-1/slow')
// The network breaks in between; nothing is lost.
for (const socket of sockets) socket.destroy()
await firstValueFrom(there.events$.pipe(having(({ type }) => type === 'session.online')))
gate.resolve()
assert.equal(await late, '1')

// What the other side refuses does not block what follows.
const after = received(there, 'site-1/after')
await here.publish({ topic: 'plant/secret', qos: 1 })
await here.publish({ topic: 'plant/after', payload: 'goes on', qos: 1 })
assert.equal(await after, 'goes on')
assert.deepEqual(refused, ['plant/secret'])

for (const end of ends) await end()
await Promise.all([here.close(), there.close()])
