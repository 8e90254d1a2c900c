import { describe, expect, test } from 'vitest'

import type { RawClient } from '../support/raw-client.ts'
import { startBroker, type TestBroker } from '../support/test-broker.ts'
import {
  auth,
  connect,
  disconnect,
  frame,
  frameWithLength,
  hex,
  pingreq,
  property,
  puback,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  subscribe,
  u16,
  unsubscribe,
  utf8,
  varint,
  type Version,
} from '../support/wire.ts'

/** What rides behind the broken packet in the same chunk: it must never have been read. */
const after = publish({ topic: 'witness/after', payload: 'never' })
const will = { topic: 'witness/will', payload: 'gone' } as const

interface Fault {
  readonly name: string
  readonly bytes: Buffer | ((version: Version) => Buffer)
  /** Reason code of the DISCONNECT that MQTT 5 gets. */
  readonly code: number
  /** MQTT 5 only. */
  readonly only5?: boolean
}

const levels = (count: number): string => Array.from({ length: count }, () => 'l').join('/')
const pub5 = (...properties: Buffer[]): Buffer => publish({ topic: 't', properties })

const faults: readonly Fault[] = [
  { name: 'threat 31: a length of five bytes', bytes: hex('30 80 80 80 80 01'), code: 0x81 },
  { name: 'threat 31: a length longer than needed', bytes: frameWithLength(0xc0, varint(0, 2)), code: 0x81 },
  { name: 'threat 32: a topic longer than its packet', bytes: frame(0x30, u16(200), Buffer.from('short')), code: 0x81 },
  {
    name: 'threat 32: SUBSCRIBE that ends within a filter',
    bytes: frame(0x82, u16(1), u16(9), Buffer.from('a')),
    code: 0x81,
  },
  { name: 'threat 32: PINGREQ with a body', bytes: hex('c0 01 00'), code: 0x81 },
  {
    name: 'threat 32: properties beyond their packet',
    bytes: frame(0x30, utf8('t'), varint(100), hex('01 00')),
    code: 0x81,
    only5: true,
  },
  { name: 'threat 33: a second CONNECT', bytes: (version) => connect({ version, clientId: 'faulty' }), code: 0x82 },
  { name: 'threat 35: 256 MB', bytes: hex('30 ff ff ff 7f'), code: 0x95 },
  { name: 'threat 36: QoS 3', bytes: publish({ topic: 't', first: 0x36 }), code: 0x81 },
  {
    name: 'threat 36: SUBSCRIBE with wrong flags',
    bytes: (version) => subscribe({ version, filters: ['f'], first: 0x80 }),
    code: 0x81,
  },
  {
    name: 'threat 36: packet identifier 0',
    bytes: (version) => publish({ version, topic: 't', qos: 1, packetId: 0 }),
    code: 0x82,
  },
  { name: 'threat 36: PUBREL with wrong flags', bytes: hex('60 02 00 01'), code: 0x81 },
  { name: 'threat 37: a surrogate', bytes: (version) => publish({ version, topic: hex('ed a0 80') }), code: 0x81 },
  {
    name: 'threat 37: an overlong form',
    bytes: (version) => subscribe({ version, filters: [hex('c0 af')] }),
    code: 0x81,
  },
  { name: 'threat 37: U+0000', bytes: (version) => publish({ version, topic: 'a\0b' }), code: 0x81 },
  { name: 'threat 38: no topic and no alias', bytes: publish({ topic: '' }), code: 0x82, only5: true },
  { name: 'threat 38: a topic with a wildcard', bytes: (version) => publish({ version, topic: 'a/#' }), code: 0x90 },
  { name: 'threat 39: 129 levels', bytes: (version) => publish({ version, topic: levels(129) }), code: 0x90 },
  {
    name: 'threat 40: a property twice',
    bytes: pub5(property('contentType', 'a'), property('contentType', 'a')),
    code: 0x82,
    only5: true,
  },
  {
    name: 'threat 40: a property of another packet',
    bytes: pub5(property('receiveMaximum', 1)),
    code: 0x82,
    only5: true,
  },
  {
    name: 'threat 41: 10,000 user properties',
    bytes: publish({
      topic: 't',
      properties: { userProperties: Array.from({ length: 10_000 }, (_, n) => [`n${n}`, 'v'] as const) },
    }),
    code: 0x97,
    only5: true,
  },
  { name: 'threat 42: alias 0', bytes: pub5(property('topicAlias', 0)), code: 0x94, only5: true },
  { name: 'threat 42: an alias above the maximum', bytes: pub5(property('topicAlias', 11)), code: 0x94, only5: true },
  {
    name: 'threat 42: an alias never set',
    bytes: publish({ topic: '', properties: { topicAlias: 3 } }),
    code: 0x82,
    only5: true,
  },
]

async function witness({ connect }: TestBroker): Promise<RawClient> {
  const client = await connect({ clientId: 'witness' })
  await client.subscribe(['witness/#'])
  return client
}

describe.each([4, 5] as const)(
  'one connection ends, with its will and without what came behind, MQTT level %i',
  (version) => {
    const cases = faults.filter((fault) => version === 5 || !fault.only5)
    test.each(cases)('$name', async ({ bytes, code }) => {
      const running = startBroker()
      const other = await witness(running)
      const faulty = await running.connect({ version, clientId: 'faulty', will })
      const before = publish({ version, topic: 'witness/before', payload: 'read' })
      faulty.send(
        before,
        typeof bytes === 'function' ? bytes(version) : bytes,
        version === 5 ? after : publish({ version, topic: 'witness/after' }),
      )
      if (version === 5) await faulty.expectDisconnect(code)
      else await faulty.expectClosed()
      await other.expectPublish({ topic: 'witness/before', payload: 'read' })
      await other.expectPublish(will)
      await running.settle()
      await other.expectNothing()
      expect([running.state('faulty'), running.state('witness'), running.broker.sessions.size]).toEqual([
        undefined,
        'online',
        1,
      ])
    })
  },
)

describe('before CONNECT', () => {
  test.each([
    ['PINGREQ', pingreq()],
    ['PUBLISH', publish({ topic: 'witness/first' })],
    ['a server’s packet', hex('20 02 00 00')],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n')],
    ['256 MB (threat 34)', hex('10 ff ff ff 7f')],
    ['one byte over 64 KiB (threat 34)', frameWithLength(0x10, varint(65_536 + 1 - 4))],
  ])('threat 33: %s first: closed without a byte', async (_name, bytes) => {
    const running = startBroker()
    const other = await witness(running)
    await running.first(bytes, connect({ clientId: 'late' }), after).expectClosed()
    await running.settle()
    await other.expectNothing()
    expect(running.broker.sessions.size).toBe(1)
  })
})

describe('what SUBSCRIBE and UNSUBSCRIBE refuse filter by filter', () => {
  test('threat 38, 39: malformed filters get 0x8F and the others their QoS', async () => {
    const { connect } = startBroker()
    const client = await connect({ clientId: 'a' })
    const filters = ['a/#/b', 'a#', '+a', '$share/g', '$share//a', '$share/+/a', levels(129), 'fine/+/#', levels(128)]
    client.send(subscribe({ packetId: 7, filters: filters.map((filter) => [filter, { qos: 1 }] as const) }))
    const bad = 0x8f
    await client.expectPacket('suback', { packetId: 7, reasonCodes: [bad, bad, bad, bad, bad, bad, bad, 1, 1] })
    client.send(unsubscribe({ packetId: 8, filters: ['a/#/b', '$share/+/a', levels(129), 'fine/+/#', 'unknown'] }))
    await client.expectPacket('unsuback', { packetId: 8, reasonCodes: [bad, bad, bad, 0, 0x11] })
  })
})

test('threat 41: user properties are forwarded in their order, repetitions and odd names included', async () => {
  const { connect } = startBroker()
  const userProperties = Array.from(
    { length: 100 },
    (_, n) => [['b', 'a', '__proto__', 'a', ''][n % 5]!, `${n}`] as const,
  )
  const subscriber = await connect({ clientId: 's' })
  await subscriber.subscribe(['t'])
  const publisher = await connect({ clientId: 'p' })
  await publisher.publish({ topic: 't', properties: { userProperties } })
  await subscriber.expectPublish({ topic: 't', properties: { userProperties } })
})

test('threat 42: an alias never survives its connection', async () => {
  const { connect } = startBroker()
  const session = { clientId: 'a', cleanStart: false, properties: { sessionExpiryInterval: 60 } }
  const first = await connect(session)
  await first.publish({ topic: 't', qos: 1, properties: { topicAlias: 1 } })
  await first.publish({ topic: '', qos: 1, properties: { topicAlias: 1 } })
  const second = await connect(session)
  second.send(publish({ topic: '', properties: { topicAlias: 1 } }))
  await second.expectDisconnect(0x82)
})

/** A conversation that has every kind of packet in it. */
const conversation = Buffer.concat([
  connect({
    clientId: 'chunked',
    keepAlive: 30,
    properties: { sessionExpiryInterval: 5, userProperties: [['a', 'b']] },
  }),
  subscribe({ packetId: 1, filters: [['t/#', { qos: 2 }]], properties: { subscriptionIdentifiers: [5] } }),
  publish({ topic: 't/0', payload: 'x'.repeat(300), properties: { topicAlias: 2 } }),
  publish({ topic: '', payload: 'y', properties: { topicAlias: 2 } }),
  publish({ topic: 't/1', qos: 1, packetId: 9, properties: { contentType: 'text' } }),
  publish({ topic: 't/2', qos: 2, packetId: 10 }),
  pubrel(10),
  puback(1),
  pubrec(2),
  pubcomp(2),
  unsubscribe({ packetId: 11, filters: ['t/#'] }),
  pingreq(),
  disconnect(0x04),
])

async function answersTo(chunks: readonly Buffer[]): Promise<string> {
  const { attach, settle } = startBroker()
  const client = attach()
  const answers: Buffer[] = []
  client.stream.on('data', (chunk: Buffer) => answers.push(chunk))
  for (const chunk of chunks) {
    client.send(chunk)
    await settle(2)
  }
  await settle()
  return Buffer.concat(answers).toString('hex')
}

test('threat 30: however the bytes are cut, the answers are the same', { timeout: 30_000 }, async () => {
  const cutInto = (size: number): Buffer[] => {
    const chunks: Buffer[] = []
    for (let at = 0; at < conversation.length; at += size) chunks.push(conversation.subarray(at, at + size))
    return chunks
  }
  const whole = await answersTo([conversation])
  expect(whole.length).toBeGreaterThan(700)
  for (const size of [1, 2, 3, 7, 64, 255]) expect(await answersTo(cutInto(size))).toBe(whole)
})

describe('threat 43: every packet in every state of a session', () => {
  const packets: Record<string, Buffer> = {
    CONNECT: connect({ clientId: 'other' }),
    CONNACK: hex('20 03 00 00 00'),
    PUBLISH: publish({ topic: 't' }),
    PUBACK: puback(1),
    PUBREC: pubrec(1),
    PUBREL: pubrel(1),
    PUBCOMP: pubcomp(1),
    SUBSCRIBE: subscribe({ filters: ['f'] }),
    SUBACK: hex('90 04 00 01 00 00'),
    UNSUBSCRIBE: unsubscribe({ filters: ['f'] }),
    UNSUBACK: hex('b0 04 00 01 00 00'),
    PINGREQ: pingreq(),
    PINGRESP: hex('d0 00'),
    DISCONNECT: disconnect(),
    'DISCONNECT 0x04': disconnect(0x04),
    'AUTH 0x00': auth(0x00),
    'AUTH 0x18': auth(0x18, { authenticationMethod: 'm' }),
    'AUTH 0x19': auth(0x19, { authenticationMethod: 'm' }),
    'type 0': hex('00 00'),
  }
  const states = {
    /** Nothing was sent. */
    connecting: async ({ attach }: TestBroker) => attach(),
    /** CONNECT with a method; its authenticator has not answered. */
    authenticating: async ({ first, settle }: TestBroker) => {
      const client = first(connect({ clientId: 'c', properties: { authenticationMethod: 'slow' } }))
      await settle()
      return client
    },
    /** AUTH 0x18 was received. */
    challenged: async ({ first }: TestBroker) => {
      const client = first(connect({ clientId: 'c', properties: { authenticationMethod: 'm' } }))
      await client.expectPacket('auth', { reasonCode: 0x18 })
      return client
    },
    /** With a method. */
    online: async ({ first }: TestBroker) => {
      const client = first(connect({ clientId: 'c', properties: { authenticationMethod: 'm' } }))
      await client.expectPacket('auth', { reasonCode: 0x18 })
      client.send(auth(0x18, { authenticationMethod: 'm' }))
      await client.expectPacket('connack', { reasonCode: 0 })
      return client
    },
    reauthenticating: async (running: TestBroker) => {
      const client = await states.online(running)
      client.send(auth(0x19, { authenticationMethod: 'm' }))
      await client.expectPacket('auth', { reasonCode: 0x18 })
      return client
    },
    anonymous: async ({ connect }: TestBroker) => connect({ clientId: 'c' }),
    'MQTT 3.1.1': async ({ connect }: TestBroker) => connect({ version: 4, clientId: 'c' }),
  }

  function start(): TestBroker {
    return startBroker({
      allowAnonymous: true,
      authenticators: [
        { name: 'slow', methods: ['slow'], authenticate: () => new Promise(() => {}) },
        {
          name: 'two rounds',
          methods: ['m'],
          authenticate: ({ round }) => (round === 0 ? { type: 'challenge' } : { type: 'allow', principal: 'p' }),
        },
      ],
    })
  }

  /** What came back, in words: packets with their codes, and whether the connection is still there. */
  async function replyTo(running: TestBroker, client: RawClient): Promise<string> {
    await running.settle()
    const words: string[] = []
    for (;;) {
      if (client.waitingPackets === 0 && !client.closed) return [...words, 'open'].join(', ')
      const packet = await client.next()
      if (packet === 'closed') return [...words, 'closed'].join(', ')
      const codes = 'reasonCodes' in packet ? packet.reasonCodes : 'reasonCode' in packet ? [packet.reasonCode] : []
      words.push([packet.type, ...codes.map((code) => `0x${code.toString(16).padStart(2, '0')}`)].join(' '))
    }
  }

  test.each(Object.keys(states) as (keyof typeof states)[])('%s', { timeout: 30_000 }, async (state) => {
    const table: Record<string, string> = {}
    const failures: unknown[] = []
    for (const [name, bytes] of Object.entries(packets)) {
      const running = start()
      running.broker.events$.subscribe((event) => event.type === 'session.failed' && failures.push(event))
      const client = await states[state](running)
      client.send(state === 'MQTT 3.1.1' ? inVersion4(name, bytes) : bytes)
      table[name] = await replyTo(running, client)
      // Whatever it was, the broker serves the next one.
      expect((await running.connect({ clientId: 'next' })).connack?.reasonCode).toBe(0)
      await running.close()
    }
    expect(failures).toEqual([])
    expect(table).toMatchSnapshot()
  })

  function inVersion4(name: string, bytes: Buffer): Buffer {
    if (name === 'PUBLISH') return publish({ version: 4, topic: 't' })
    if (name === 'SUBSCRIBE') return subscribe({ version: 4, filters: ['f'] })
    if (name === 'UNSUBSCRIBE') return unsubscribe({ version: 4, filters: ['f'] })
    if (name === 'CONNECT') return connect({ version: 4, clientId: 'other' })
    return bytes
  }
})
