import { generate } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'

import { Decoder } from '../../../src/codec/decoder.ts'
import { Publication } from '../../../src/publication.ts'
import { defaultLimits } from '../../../src/limits.ts'
import {
  auth,
  connect,
  disconnect,
  frame,
  hex,
  pingreq,
  property,
  puback,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  subscribe,
  unsubscribe,
} from '../../support/wire.ts'
import { connected, outcomes } from './decoding.ts'

const fresh = () => new Decoder(defaultLimits)

/** The one publication in these bytes. */
function publicationOf(decoder: Decoder, bytes: Buffer): Publication {
  decoder.feed(bytes)
  const packet = decoder.next()
  if (!(packet instanceof Publication)) throw new Error('no publication came')
  return packet
}

describe('CONNECT', () => {
  test('a bare one gets the defaults of its version', () => {
    const bare = {
      type: 1,
      clientId: 'c',
      cleanStart: true,
      keepAliveSeconds: 0,
      username: undefined,
      password: undefined,
      will: undefined,
      receiveMaximum: 65_535,
      maximumPacketSizeBytes: undefined,
      topicAliasMaximum: 0,
      requestResponseInformation: false,
      requestProblemInformation: true,
      userProperties: [],
      authenticationMethod: undefined,
      authenticationData: undefined,
    }
    expect(outcomes(fresh(), connect({ version: 3, clientId: 'c' }))).toStrictEqual([
      { ...bare, protocolVersion: 3, sessionExpiryIntervalSeconds: undefined },
    ])
    expect(outcomes(fresh(), connect({ version: 4, clientId: 'c' }))).toStrictEqual([
      { ...bare, protocolVersion: 4, sessionExpiryIntervalSeconds: undefined },
    ])
    expect(outcomes(fresh(), connect({ version: 5, clientId: 'c' }))).toStrictEqual([
      { ...bare, protocolVersion: 5, sessionExpiryIntervalSeconds: 0 },
    ])
  })

  test('everything that one can say arrives', () => {
    const bytes = connect({
      clientId: 'plant-7',
      cleanStart: false,
      keepAlive: 65_535,
      username: 'ü',
      password: hex('00 ff'),
      properties: {
        sessionExpiryInterval: 4_294_967_295,
        receiveMaximum: 7,
        maximumPacketSize: 268_435_460,
        topicAliasMaximum: 65_535,
        requestResponseInformation: 1,
        requestProblemInformation: 0,
        authenticationMethod: 'SCRAM',
        authenticationData: hex('01 02'),
        userProperties: [
          ['b', '1'],
          ['a', '2'],
          ['b', ''],
        ],
      },
      will: {
        topic: 'gone/ü',
        payload: hex('00 ff'),
        qos: 2,
        retain: true,
        properties: {
          willDelayInterval: 30,
          payloadFormatIndicator: 0,
          messageExpiryInterval: 60,
          contentType: 'text',
          responseTopic: 'answer',
          correlationData: hex('03'),
          userProperties: [
            ['z', '1'],
            ['z', '2'],
          ],
        },
      },
    })
    expect(outcomes(fresh(), bytes)).toStrictEqual([
      {
        type: 1,
        protocolVersion: 5,
        clientId: 'plant-7',
        cleanStart: false,
        keepAliveSeconds: 65_535,
        username: 'ü',
        password: hex('00 ff'),
        will: {
          topic: 'gone/ü',
          payload: hex('00 ff'),
          qos: 2,
          retain: true,
          delaySeconds: 30,
          properties: {
            payloadFormatIndicator: false,
            messageExpiryIntervalSeconds: 60,
            contentType: 'text',
            responseTopic: 'answer',
            correlationData: hex('03'),
            userProperties: [
              ['z', '1'],
              ['z', '2'],
            ],
          },
        },
        sessionExpiryIntervalSeconds: 4_294_967_295,
        receiveMaximum: 7,
        maximumPacketSizeBytes: 268_435_460,
        topicAliasMaximum: 65_535,
        requestResponseInformation: true,
        requestProblemInformation: false,
        userProperties: [
          ['b', '1'],
          ['a', '2'],
          ['b', ''],
        ],
        authenticationMethod: 'SCRAM',
        authenticationData: hex('01 02'),
      },
    ])
  })

  test('empty user name, password and will are there and empty', () => {
    const [packet] = outcomes(fresh(), connect({ version: 4, username: '', password: '', will: { topic: 'w' } }))
    expect(packet).toMatchObject({ username: '', password: Buffer.alloc(0), will: { payload: Buffer.alloc(0) } })
  })

  test('what a session keeps of it does not hold on to the chunk', () => {
    const decoder = fresh()
    const chunk = connect({ username: 'u', password: 'secret', will: { topic: 'w', payload: 'bye' } })
    decoder.feed(chunk)
    const packet = decoder.next()
    chunk.fill(0)
    expect(packet).toMatchObject({ password: Buffer.from('secret'), will: { payload: Buffer.from('bye') } })
  })

  test('threat 5: names that mean something to JavaScript are names like any other', () => {
    const userProperties = [
      ['__proto__', 'a'],
      ['constructor', 'b'],
      ['__proto__', 'c'],
      ['hasOwnProperty', 'd'],
    ] as const
    const [packet] = outcomes(fresh(), connect({ properties: { userProperties } }))
    expect(packet).toMatchObject({ userProperties })
    expect(Object.getPrototypeOf(packet)).toBe(Object.prototype)
    expect(Object.keys(Object.prototype)).toEqual([])
  })

  test('MQTT-1.5.4-3: EF BB BF is kept', () => {
    const [packet] = outcomes(fresh(), connect({ clientId: hex('ef bb bf 61') }))
    expect(packet).toMatchObject({ clientId: '\ufeffa' })
  })
})

describe('PUBLISH', () => {
  test('a plain one is decoded in place and can be forwarded as it is', () => {
    const chunk = Buffer.concat([
      pingreq(),
      publish({ version: 4, topic: 'a/b', payload: 'hi', qos: 1, packetId: 258 }),
    ])
    const decoder = connected(4)
    decoder.feed(chunk)
    decoder.next()
    const publication = decoder.next() as Publication
    const expected = new Publication('a/b', 1, false, false, 258, chunk, 11, 13)
    expected.image = { key: 17, bytes: chunk, start: 2, end: 13, idOffset: 9, next: undefined }
    expect(publication).toStrictEqual(expected)
    expect(publication.bytes).toBe(chunk)
    expect(publication.image?.bytes).toBe(chunk)
  })

  test.each([
    [3, 0, 16],
    [4, 0, 16],
    [4, 1, 17],
    [4, 2, 18],
    [5, 0, 20],
    [5, 1, 21],
    [5, 2, 22],
  ] as const)('level %i, QoS %i: the encoding received has key %i', (version, qos, key) => {
    const bytes = publish({ version, topic: 'abc', qos, payload: 'p' })
    const { image } = publicationOf(connected(version), bytes)
    expect(image).toStrictEqual({
      key,
      bytes,
      start: 0,
      end: bytes.length,
      idOffset: qos === 0 ? -1 : 7,
      next: undefined,
    })
  })

  test.each([
    ['retained', publish({ topic: 't', retain: true })],
    ['duplicate', publish({ topic: 't', qos: 1, dup: true })],
    ['with an alias', publish({ topic: 't', properties: { topicAlias: 1 } })],
    ['with an expiry', publish({ topic: 't', properties: { messageExpiryInterval: 9 } })],
  ])('one that is %s cannot be forwarded as it is', (_name, bytes) => {
    expect(publicationOf(connected(5), bytes).image).toBeUndefined()
  })

  test('flags arrive', () => {
    const { qos, retain, dup, packetId } = publicationOf(
      connected(4),
      publish({ version: 4, topic: 't', qos: 2, retain: true, dup: true, packetId: 65_535 }),
    )
    expect({ qos, retain, dup, packetId }).toEqual({ qos: 2, retain: true, dup: true, packetId: 65_535 })
  })

  const mixed = [
    property('userProperties', ['b', '1']),
    property('contentType', 'ä'),
    property('userProperties', ['a', '2']),
    property('correlationData', hex('00 01')),
    property('payloadFormatIndicator', 1),
    property('userProperties', ['b', '3']),
    property('responseTopic', 'answer'),
  ]
  const mixedValues = {
    payloadFormatIndicator: true,
    contentType: 'ä',
    responseTopic: 'answer',
    correlationData: hex('00 01'),
    userProperties: [
      ['b', '1'],
      ['a', '2'],
      ['b', '3'],
    ],
  }
  const alias = property('topicAlias', 4)
  const expiry = property('messageExpiryInterval', 77)
  const withExpiry = { ...mixedValues, messageExpiryIntervalSeconds: 77 }
  test.each([
    ['as they are', mixed, mixedValues],
    ['without an alias in front', [alias, ...mixed], mixedValues],
    ['without an alias in the middle', [...mixed.slice(0, 3), alias, ...mixed.slice(3)], mixedValues],
    ['without an alias at the end', [...mixed, alias], mixedValues],
    ['without an expiry at the end', [...mixed, expiry], withExpiry],
    ['without alias and expiry', [...mixed.slice(0, 2), alias, mixed[2]!, expiry, ...mixed.slice(3)], withExpiry],
    ['without expiry and alias', [expiry, ...mixed, alias], withExpiry],
    ['without neighbours', [expiry, alias, ...mixed], withExpiry],
  ])('threat 41: properties are forwarded in their order, %s', (_name, list, values) => {
    const publication = publicationOf(connected(5), publish({ topic: 't', payload: 'p', properties: list }))
    expect(publication.properties).toStrictEqual(values)
    expect(publication.propertyBytes).toStrictEqual(Buffer.concat(mixed))
    expect(publication.payload).toStrictEqual(Buffer.from('p'))
  })

  test('properties of more than 127 bytes are forwarded without their length', () => {
    const list = [property('contentType', 'c'.repeat(300))]
    const publication = publicationOf(connected(5), publish({ topic: 't', payload: 'p', properties: list }))
    expect(publication.propertyBytes).toStrictEqual(list[0])
  })

  test.each([
    ['only an alias', [alias], undefined],
    ['only an expiry', [expiry], { messageExpiryIntervalSeconds: 77 }],
    ['both', [alias, expiry], { messageExpiryIntervalSeconds: 77 }],
  ])('%s: nothing is left to forward', (_name, list, values) => {
    const publication = publicationOf(connected(5), publish({ topic: 't', properties: list }))
    expect(publication.propertyBytes).toBeUndefined()
    expect(publication.properties).toStrictEqual(values)
  })

  test('threat 42: an alias names its last topic, on its own connection', () => {
    const decoder = connected(5)
    const aliased = (topic: string, topicAlias: number) =>
      publicationOf(decoder, publish({ topic, properties: { topicAlias } })).topic
    const topics = [
      aliased('one', 1),
      aliased('two', 2),
      aliased('', 1),
      aliased('', 2),
      aliased('three', 1),
      aliased('', 1),
      publicationOf(decoder, publish({ topic: 'plain' })).topic,
      aliased('', 2),
    ]
    expect(topics).toEqual(['one', 'two', 'one', 'two', 'three', 'three', 'plain', 'two'])
    expect(outcomes(connected(5), publish({ topic: '', properties: { topicAlias: 1 } }))).toEqual([
      { refused: 0x82, silent: false },
    ])
  })

  test('topics that look alike are told apart', () => {
    const topics = [
      'aaaa',
      'aaab',
      'aaaa',
      'baaa',
      'aaa',
      'aaaaa',
      'ä/ä',
      'ä/ö',
      'ä/ä',
      '\ufeffx',
      'x',
      'l'.repeat(300),
      'm'.repeat(300),
      'aaaa',
    ]
    const chunk = Buffer.concat(topics.map((topic) => publish({ topic })))
    const decoder = connected(5)
    decoder.feed(chunk)
    expect(topics.map(() => (decoder.next() as Publication).topic)).toEqual(topics)
  })

  test('a remembered topic outlives the chunk that it came in', () => {
    const decoder = connected(5)
    const first = publish({ topic: 'abc' })
    publicationOf(decoder, first)
    first.fill(0x7a)
    expect(publicationOf(decoder, publish({ topic: 'abc' })).topic).toBe('abc')
    expect(publicationOf(decoder, publish({ topic: 'zzz' })).topic).toBe('zzz')
  })

  test('what mqtt-packet was given comes out', () => {
    const bytes = generate(
      {
        cmd: 'publish',
        topic: 'a/ü',
        payload: Buffer.from('payload'),
        qos: 2,
        messageId: 9,
        dup: true,
        retain: true,
        properties: { contentType: 'text', messageExpiryInterval: 5, userProperties: { a: ['1', '2'] } },
      },
      { protocolVersion: 5 },
    )
    const { topic, qos, dup, retain, packetId, payload, properties } = publicationOf(connected(5), bytes)
    expect({ topic, qos, dup, retain, packetId, payload, properties }).toStrictEqual({
      topic: 'a/ü',
      qos: 2,
      dup: true,
      retain: true,
      packetId: 9,
      payload: Buffer.from('payload'),
      properties: {
        contentType: 'text',
        messageExpiryIntervalSeconds: 5,
        userProperties: [
          ['a', '1'],
          ['a', '2'],
        ],
      },
    })
  })
})

describe('the other packets', () => {
  test('acknowledgements, short and long', () => {
    const properties = { reasonString: 'r', userProperties: [['a', 'b']] as const }
    expect(
      outcomes(connected(5), puback(1), pubrec(65_535, 0x97), pubrel(3, 0x92, properties), pubcomp(4, 0, {})),
    ).toStrictEqual([
      { type: 4, packetId: 1, reasonCode: 0 },
      { type: 5, packetId: 65_535, reasonCode: 0x97 },
      { type: 6, packetId: 3, reasonCode: 0x92 },
      { type: 7, packetId: 4, reasonCode: 0 },
    ])
    expect(outcomes(connected(3), pubrel(7))).toStrictEqual([{ type: 6, packetId: 7, reasonCode: 0 }])
  })

  test('SUBSCRIBE with every option', () => {
    const bytes = subscribe({
      packetId: 10,
      filters: [
        ['a/#', { qos: 2, noLocal: true, retainAsPublished: true, retainHandling: 2 }],
        ['ü', { qos: 1, retainHandling: 1 }],
      ],
      properties: {
        subscriptionIdentifiers: [268_435_455],
        userProperties: [
          ['b', '1'],
          ['a', '2'],
          ['b', '3'],
        ],
      },
    })
    expect(outcomes(connected(5), bytes)).toStrictEqual([
      {
        type: 8,
        packetId: 10,
        subscriptions: [
          { filter: 'a/#', qos: 2, noLocal: true, retainAsPublished: true, retainHandling: 2 },
          { filter: 'ü', qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 1 },
        ],
        subscriptionIdentifier: 268_435_455,
        userProperties: [
          ['b', '1'],
          ['a', '2'],
          ['b', '3'],
        ],
      },
    ])
  })

  test('SUBSCRIBE and UNSUBSCRIBE of 3.1.1', () => {
    const version = 4
    const chunks = [
      subscribe({ version, packetId: 2, filters: [['f', 1]] }),
      unsubscribe({ version, packetId: 3, filters: ['f', ''] }),
    ]
    expect(outcomes(connected(version), ...chunks)).toStrictEqual([
      {
        type: 8,
        packetId: 2,
        subscriptions: [{ filter: 'f', qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 }],
        subscriptionIdentifier: undefined,
        userProperties: [],
      },
      { type: 10, packetId: 3, filters: ['f', ''], userProperties: [] },
    ])
  })

  test('UNSUBSCRIBE with user properties', () => {
    const bytes = unsubscribe({
      packetId: 3,
      filters: ['a', 'b'],
      properties: { userProperties: [['__proto__', 'x']] },
    })
    expect(outcomes(connected(5), bytes)).toStrictEqual([
      { type: 10, packetId: 3, filters: ['a', 'b'], userProperties: [['__proto__', 'x']] },
    ])
  })

  test('PINGREQ', () => {
    expect(outcomes(connected(4), pingreq())).toStrictEqual([{ type: 12 }])
  })

  test('DISCONNECT, bare, with a code, with properties', () => {
    const bare = {
      type: 14,
      reasonCode: 0,
      sessionExpiryIntervalSeconds: undefined,
      reasonString: undefined,
      userProperties: [],
      serverReference: undefined,
    }
    expect(outcomes(connected(3), disconnect())).toStrictEqual([bare])
    expect(outcomes(connected(5), disconnect())).toStrictEqual([bare])
    expect(outcomes(connected(5), disconnect(4))).toStrictEqual([{ ...bare, reasonCode: 4 }])
    const properties = { sessionExpiryInterval: 8, reasonString: 'bye', userProperties: [['a', 'b']] as const }
    expect(outcomes(connected(5), disconnect(0, properties))).toStrictEqual([
      { ...bare, sessionExpiryIntervalSeconds: 8, reasonString: 'bye', userProperties: [['a', 'b']] },
    ])
  })

  test('AUTH', () => {
    const bytes = auth(0x19, {
      authenticationMethod: 'm',
      authenticationData: hex('00'),
      reasonString: 'again',
      userProperties: [['a', 'b']],
    })
    expect(outcomes(connected(5), bytes)).toStrictEqual([
      {
        type: 15,
        reasonCode: 0x19,
        authenticationMethod: 'm',
        authenticationData: hex('00'),
        reasonString: 'again',
        userProperties: [['a', 'b']],
      },
    ])
  })
})

describe('pulling', () => {
  test('packets come one at a time, and what was fed meanwhile waits its turn', () => {
    const decoder = connected(4)
    const first = Buffer.concat([puback(1), puback(2)])
    decoder.feed(first)
    expect(decoder.next()).toMatchObject({ packetId: 1 })
    decoder.feed(puback(3))
    decoder.feed(Buffer.alloc(0))
    decoder.feed(puback(4))
    expect(decoder.bufferedBytes).toBe(12)
    expect([decoder.next(), decoder.next(), decoder.next(), decoder.next()]).toMatchObject([
      { packetId: 2 },
      { packetId: 3 },
      { packetId: 4 },
      undefined,
    ])
    expect(decoder.bufferedBytes).toBe(0)
  })

  test('bytes of an unfinished packet count as buffered', () => {
    const decoder = connected(4)
    const bytes = publish({ version: 4, topic: 't', payload: 'x'.repeat(1000) })
    decoder.feed(bytes.subarray(0, 600))
    expect([decoder.next(), decoder.bufferedBytes]).toEqual([undefined, 600])
    decoder.feed(bytes.subarray(600, 601))
    expect([decoder.next(), decoder.bufferedBytes]).toEqual([undefined, 601])
    decoder.feed(Buffer.concat([bytes.subarray(601), puback(9)]))
    expect((decoder.next() as Publication).payload.toString()).toBe('x'.repeat(1000))
    expect(decoder.bufferedBytes).toBe(4)
    expect(decoder.next()).toStrictEqual({ type: 4, packetId: 9, reasonCode: 0 })
    expect(decoder.bufferedBytes).toBe(0)
  })

  test('threat 32: what follows a bad packet is never parsed', () => {
    const bad = frame(0x30, hex('00 09 61'))
    expect(outcomes(connected(4), Buffer.concat([puback(1), bad, puback(2)]))).toEqual([
      { type: 4, packetId: 1, reasonCode: 0 },
      { refused: 0x81, silent: false },
    ])
  })
})
