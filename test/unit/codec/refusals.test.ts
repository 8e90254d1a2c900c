import { describe, expect, test } from 'vitest'

import { Decoder } from '../../../src/codec/decoder.ts'
import { defaultLimits } from '../../../src/limits.ts'
import {
  auth,
  connect,
  disconnect,
  frame,
  hex,
  pingreq,
  property,
  propertyBytes,
  puback,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  subscribe,
  u16,
  u8,
  unsubscribe,
  utf8,
  varint,
  type Version,
} from '../../support/wire.ts'
import { connected, outcomes, refusal } from './decoding.ts'

type Row = readonly [name: string, bytes: Buffer, reasonCode: number | undefined, silent?: boolean]

const versions: readonly Version[] = [3, 4, 5]
const none = Buffer.alloc(0)
const userPairs = (count: number) => Array.from({ length: count }, (_, i) => [`n${i}`, 'v'] as const)

/** Runs the rows against a decoder: without a code there is no refusal. */
function refusals(decoder: () => Decoder, rows: readonly Row[]): void {
  const cases = rows.map(([name, bytes, refused, silent = false]) => ({ name, bytes, refused, silent }))
  test.each(cases)('$name', ({ bytes, refused, silent }) => {
    expect(refusal(decoder(), bytes)).toEqual(refused === undefined ? undefined : { refused, silent })
  })
}

const fresh = () => new Decoder(defaultLimits)

describe('framing', () => {
  describe.each(versions)('MQTT level %i', (version) => {
    refusals(
      () => connected(version),
      [
        ['threat 31: remaining length in five bytes', hex('30 80 80 80 80 01'), 0x81],
        ['threat 31: remaining length of four bytes that go on', hex('30 ff ff ff ff'), 0x81],
        ['threat 31: 0 in two bytes', hex('c0 80 00'), 0x81],
        ['threat 31: 127 in three bytes', hex('30 ff 80 00'), 0x81],
        ['threat 31: 128 in two bytes is the shortest', frame(0x30, utf8('t'.repeat(120)), Buffer.alloc(6)), undefined],
        ['threat 33: a second CONNECT', connect({ version }), 0x82],
        ['threat 43: CONNACK from a client', hex('20 02 00 00'), 0x82],
        ['threat 43: SUBACK from a client', hex('90 03 00 01 00'), 0x82],
        ['threat 43: UNSUBACK from a client', hex('b0 02 00 01'), 0x82],
        ['threat 43: PINGRESP from a client', hex('d0 00'), 0x82],
        ['packet type 0', hex('00 00'), 0x81],
        ['PINGREQ with a body', hex('c0 01 00'), 0x81],
        ['threat 36: PUBLISH with QoS 3', publish({ version, topic: 't', first: 0x36 }), 0x81],
        ['threat 36: PUBLISH with QoS 3, retained and duplicate', publish({ version, topic: 't', first: 0x3f }), 0x81],
        ['threat 36: DUP with QoS 0', publish({ version, topic: 't', first: 0x38 }), 0x81],
        ['threat 36: SUBSCRIBE with flags 0', subscribe({ version, filters: ['f'], first: 0x80 }), 0x81],
        ['threat 36: UNSUBSCRIBE with flags 0', unsubscribe({ version, filters: ['f'], first: 0xa0 }), 0x81],
        ['threat 36: PUBREL with flags 0', hex('60 02 00 01'), 0x81],
        ['threat 36: PUBACK with flags', hex('42 02 00 01'), 0x81],
        ['threat 36: PUBREC with flags', hex('51 02 00 01'), 0x81],
        ['threat 36: PUBCOMP with flags', hex('78 02 00 01'), 0x81],
        ['threat 36: PINGREQ with flags', hex('c1 00'), 0x81],
        ['threat 36: DISCONNECT with flags', hex('e1 00'), 0x81],
        ['threat 36: AUTH with flags', hex('f2 00'), 0x81],
      ],
    )
  })

  refusals(fresh, [
    ['threat 33: PINGREQ first', pingreq(), 0x82, true],
    ['threat 33: PUBLISH first', publish({ topic: 't' }), 0x82, true],
    ['threat 33: AUTH first', auth(0x18, { authenticationMethod: 'm' }), 0x82, true],
    ['threat 33: CONNACK first', hex('20 02 00 00'), 0x82, true],
    ['threat 33: an HTTP request', Buffer.from('GET / HTTP/1.1\r\n\r\n'), 0x82, true],
    ['threat 33: one byte is enough', hex('c0'), 0x82, true],
    ['threat 36: CONNECT with flags', connect({ first: 0x11 }), 0x81],
  ])

  test('threat 34: 256 MB declared before CONNACK end the connection at its header', () => {
    const decoder = fresh()
    expect(outcomes(decoder, hex('10 ff ff ff 7f'))).toEqual([{ refused: 0x95, silent: true }])
    expect(decoder.bufferedBytes).toBeLessThanOrEqual(5)
    const header = Array.from(hex('10 ff ff ff 7f'), (byte) => u8(byte))
    expect(outcomes(fresh(), ...header)).toEqual([{ refused: 0x95, silent: true }])
  })

  test('threat 34: the limit before CONNACK counts the whole packet and holds until the session accepts', () => {
    const limits = { ...defaultLimits, maxPacketBytesBeforeConnect: 100 }
    const size = connect({ clientId: '' }).length
    const fits = connect({ clientId: 'c'.repeat(100 - size) })
    const exceeds = connect({ clientId: 'c'.repeat(101 - size) })
    expect(fits.length).toBe(100)
    expect(outcomes(new Decoder(limits), exceeds)).toEqual([{ refused: 0x95, silent: true }])
    const decoder = new Decoder(limits)
    expect(outcomes(decoder, fits)).toHaveLength(1)
    const large = publish({ topic: 't', payload: 'x'.repeat(100) })
    expect(refusal(decoder, large)).toEqual({ refused: 0x95, silent: true })
  })

  test('threat 35: more than announced after CONNACK gets 0x95 before any of it is kept', () => {
    const limits = { maxPacketBytes: 200 }
    const size = publish({ topic: 't', payload: 'x'.repeat(150) }).length - 150
    const fits = publish({ topic: 't', payload: 'x'.repeat(200 - size) })
    const exceeds = publish({ topic: 't', payload: 'x'.repeat(201 - size) })
    expect(refusal(connected(5, limits), fits)).toBeUndefined()
    expect(refusal(connected(5, limits), exceeds)).toEqual({ refused: 0x95, silent: false })
    const decoder = connected(5, limits)
    expect(refusal(decoder, exceeds.subarray(0, 3))).toEqual({ refused: 0x95, silent: false })
    expect(decoder.bufferedBytes).toBe(3)
  })
})

describe('CONNECT', () => {
  const properties = (...list: Buffer[]) => connect({ properties: list })
  const will = (...list: Buffer[]) => connect({ will: { topic: 'w', properties: list } })
  refusals(fresh, [
    ['another protocol name', connect({ protocolName: 'MQTX' }), 0x84, true],
    ['a protocol name in lower case', connect({ protocolName: 'mqtt' }), 0x84, true],
    ['no protocol name', connect({ protocolName: '' }), 0x84, true],
    ['level 6', connect({ level: 6 }), 0x84],
    ['level 3 under the new name', connect({ version: 4, level: 3 }), 0x84],
    ['level 0', connect({ version: 4, level: 0 }), 0x84],
    ['level 4 under the old name', connect({ version: 3, level: 4 }), 0x84],
    ['the bridge bit', connect({ version: 4, level: 0x84 }), 0x84],
    ['the bridge bit of 3.1', connect({ version: 3, level: 0x83 }), 0x84],
    ['MQTT 3.1', connect({ version: 3, clientId: 'c' }), undefined],
    ['MQTT 3.1.1', connect({ version: 4, clientId: 'c' }), undefined],
    ['MQTT-3.1.2-3: the reserved flag', connect({ flags: 0x03 }), 0x81],
    ['MQTT-3.1.2-11: will QoS without a will', connect({ flags: 0x0a }), 0x81],
    ['MQTT-3.1.2-13: will retain without a will', connect({ flags: 0x22 }), 0x81],
    ['MQTT-3.1.2-12: will QoS 3', connect({ will: { topic: 'w', qos: 3 } }), 0x81],
    ['3.1.1: a password without a user name', connect({ version: 4, password: 'p' }), 0x81],
    ['5.0: a password without a user name', connect({ password: 'p' }), undefined],
    ['threat 32: a byte too many', connect({ tail: u8(0) }), 0x81],
    ['threat 32: the user name is missing', connect({ flags: 0x82 }), 0x81],
    ['threat 32: the will is missing', connect({ flags: 0x06 }), 0x81],
    ['threat 32: the packet is empty', hex('10 00'), 0x81],
    ['threat 32: the packet ends after the level', frame(0x10, utf8('MQTT'), u8(5)), 0x81],
    ['threat 37: the client identifier is ill-formed', connect({ clientId: hex('ff') }), 0x81],
    ['threat 37: the client identifier has U+0000', connect({ clientId: 'a\0b' }), 0x81],
    ['threat 37: the user name has a surrogate', connect({ username: hex('ed a0 80') }), 0x81],
    ['threat 37: the topic of the will is overlong', connect({ will: { topic: hex('c0 af') } }), 0x81],
    ['the password is any bytes', connect({ username: 'u', password: hex('00 ff ed a0 80') }), undefined],
    ['threat 38: the topic of the will is empty', connect({ will: { topic: '' } }), 0x90],
    ['threat 38: the topic of the will has a #', connect({ will: { topic: 'a/#' } }), 0x90],
    ['threat 38: the topic of the will has a +', connect({ version: 4, will: { topic: 'a/+' } }), 0x90],
    ['threat 39: the topic of the will has 129 levels', connect({ will: { topic: '/'.repeat(128) } }), 0x90],
    ['threat 40: Receive Maximum 0', properties(property('receiveMaximum', 0)), 0x82],
    ['threat 40: Maximum Packet Size 0', properties(property('maximumPacketSize', 0)), 0x82],
    ['threat 40: Request Problem Information 2', properties(property('requestProblemInformation', 2)), 0x82],
    ['threat 40: Request Response Information 255', properties(property('requestResponseInformation', 255)), 0x82],
    ['threat 40: authentication data without a method', properties(property('authenticationData', 'x')), 0x82],
    [
      'threat 40: Session Expiry Interval twice',
      properties(property('sessionExpiryInterval', 1), property('sessionExpiryInterval', 2)),
      0x82,
    ],
    ['threat 40: Maximum QoS, a server’s', properties(property('maximumQoS', 1)), 0x82],
    ['threat 40: Topic Alias, of PUBLISH', properties(property('topicAlias', 1)), 0x82],
    ['threat 40: Will Delay Interval outside the will', properties(property('willDelayInterval', 1)), 0x82],
    ['threat 40: property 0', properties(u8(0)), 0x81],
    ['threat 40: property 0x2b', properties(u8(0x2b)), 0x81],
    ['threat 40: property 0xa6', properties(hex('a6 01')), 0x81],
    ['threat 40: Receive Maximum in the will', will(property('receiveMaximum', 1)), 0x82],
    ['threat 40: Payload Format Indicator 2 in the will', will(property('payloadFormatIndicator', 2)), 0x82],
    ['threat 40: a response topic with a wildcard in the will', will(property('responseTopic', 'a/+')), 0x82],
    ['threat 41: 101 user properties', connect({ properties: { userProperties: userPairs(101) } }), 0x97],
    ['threat 41: 100 user properties', connect({ properties: { userProperties: userPairs(100) } }), undefined],
    [
      'threat 41: 60 and 41 in the will',
      connect({
        properties: { userProperties: userPairs(60) },
        will: { topic: 'w', properties: { userProperties: userPairs(41) } },
      }),
      0x97,
    ],
  ])

  test('the version is known as soon as it was read, so that a refusal can be told in it', () => {
    const versionAfter = (bytes: Buffer) => {
      const decoder = fresh()
      refusal(decoder, bytes)
      return decoder.protocolVersion
    }
    expect({
      nothing: versionAfter(none),
      wrongName: versionAfter(connect({ protocolName: 'MQTX' })),
      level6: versionAfter(connect({ level: 6 })),
      level3: versionAfter(connect({ version: 4, level: 3 })),
      bridged: versionAfter(connect({ version: 4, level: 0x84 })),
      bridged31: versionAfter(connect({ version: 3, level: 0x83 })),
      bad5: versionAfter(connect({ flags: 0x03 })),
      bad4: versionAfter(connect({ version: 4, flags: 0x03 })),
      bad3: versionAfter(connect({ version: 3, flags: 0x03 })),
    }).toEqual({
      nothing: 0,
      wrongName: 0,
      level6: 5,
      level3: 4,
      bridged: 4,
      bridged31: 3,
      bad5: 5,
      bad4: 4,
      bad3: 3,
    })
  })
})

describe('PUBLISH', () => {
  describe.each(versions)('MQTT level %i', (version) => {
    const send = (input: Omit<Parameters<typeof publish>[0], 'version'>) => publish({ ...input, version })
    refusals(
      () => connected(version),
      [
        ['threat 36: packet identifier 0 with QoS 1', send({ topic: 't', qos: 1, packetId: 0 }), 0x82],
        ['threat 36: packet identifier 0 with QoS 2', send({ topic: 't', qos: 2, packetId: 0 }), 0x82],
        ['threat 32: no topic length', hex('30 01 00'), 0x81],
        ['threat 32: the topic is longer than the packet', frame(0x30, u16(3), Buffer.from('ab')), 0x81],
        ['threat 32: no room for the packet identifier', frame(0x32, utf8('t'), u8(1)), 0x81],
        ['threat 37: overlong slash', send({ topic: hex('61 c0 af') }), 0x81],
        ['threat 37: a high surrogate', send({ topic: hex('ed a0 80') }), 0x81],
        ['threat 37: a pair of surrogates', send({ topic: hex('ed a0 80 ed b0 80') }), 0x81],
        ['threat 37: above U+10FFFF', send({ topic: hex('f4 90 80 80') }), 0x81],
        ['threat 37: a cut character', send({ topic: hex('61 e2 82') }), 0x81],
        ['threat 37: U+0000', send({ topic: 'a\0' }), 0x81],
        ['threat 37: U+0000 behind a wildcard', send({ topic: 'a/#/\0' }), 0x81],
        ['threat 37: U+0000 among other characters', send({ topic: 'ä\0' }), 0x81],
        ['an emoji is fine', send({ topic: 'plant/🌱' }), undefined],
        ['threat 38: no topic', send({ topic: '' }), version === 5 ? 0x82 : 0x81],
        ['threat 38: #', send({ topic: '#' }), 0x90],
        ['threat 38: + within a level', send({ topic: 'a+b' }), 0x90],
        ['threat 38: a wildcard behind other characters', send({ topic: 'ä/+' }), 0x90],
        ['threat 39: 128 levels', send({ topic: '/'.repeat(127) }), undefined],
        ['threat 39: 129 levels', send({ topic: '/'.repeat(128) }), 0x90],
      ],
    )
  })

  const withProperties = (...list: Buffer[]) => publish({ topic: 't', properties: list })
  refusals(
    () => connected(5),
    [
      ['threat 32: no properties', frame(0x30, utf8('t')), 0x81],
      ['threat 32: properties beyond the packet', frame(0x30, utf8('t'), varint(5), hex('01 00')), 0x81],
      ['threat 32: a property beyond its section', frame(0x30, utf8('t'), varint(2), hex('02 00 00 00 01')), 0x81],
      [
        'threat 32: a string beyond its section',
        frame(0x30, utf8('t'), varint(3), hex('03 00 05 61 61 61 61 61')),
        0x81,
      ],
      ['threat 32: a section that ends after an identifier', frame(0x30, utf8('t'), varint(1), hex('01 00')), 0x81],
      ['threat 31: a property length longer than needed', frame(0x30, utf8('t'), varint(2, 2), hex('01 00')), 0x81],
      ['threat 31: a property length of five bytes', frame(0x30, utf8('t'), hex('80 80 80 80 01')), 0x81],
      ['threat 37: the content type is ill-formed', withProperties(property('contentType', hex('fe'))), 0x81],
      ['threat 37: a name has U+0000', withProperties(property('userProperties', ['a\0', 'b'])), 0x81],
      ['threat 37: a value is ill-formed', withProperties(property('userProperties', ['a', hex('ff')])), 0x81],
      ['correlation data is any bytes', withProperties(property('correlationData', hex('00 ff'))), undefined],
      ['threat 38: no response topic', withProperties(property('responseTopic', '')), 0x82],
      ['threat 38: # in the response topic', withProperties(property('responseTopic', 'a/#')), 0x82],
      ['threat 40: an unknown property', withProperties(hex('7f 00')), 0x81],
      ['threat 40: Session Expiry Interval', withProperties(property('sessionExpiryInterval', 1)), 0x82],
      ['threat 40: Reason String', withProperties(property('reasonString', 'x')), 0x82],
      [
        'threat 40: Subscription Identifier from a client',
        withProperties(property('subscriptionIdentifiers', 1)),
        0x82,
      ],
      ['threat 40: Payload Format Indicator 2', withProperties(property('payloadFormatIndicator', 2)), 0x82],
      [
        'threat 40: Content Type twice',
        withProperties(property('contentType', 'a'), property('contentType', 'a')),
        0x82,
      ],
      ['threat 40: Topic Alias twice', withProperties(property('topicAlias', 1), property('topicAlias', 1)), 0x82],
      ['threat 41: 101 user properties', publish({ topic: 't', properties: { userProperties: userPairs(101) } }), 0x97],
      [
        'threat 41: 10,000 user properties',
        publish({ topic: 't', properties: { userProperties: userPairs(10_000) } }),
        0x97,
      ],
      [
        'threat 41: 100 user properties',
        publish({ topic: 't', properties: { userProperties: userPairs(100) } }),
        undefined,
      ],
      ['threat 42: alias 0', publish({ topic: 't', properties: { topicAlias: 0 } }), 0x94],
      ['threat 42: the highest alias', publish({ topic: 't', properties: { topicAlias: 10 } }), undefined],
      ['threat 42: an alias above the maximum', publish({ topic: 't', properties: { topicAlias: 11 } }), 0x94],
      ['threat 42: an alias never set', publish({ topic: '', properties: { topicAlias: 3 } }), 0x82],
      ['threat 42: neither topic nor alias', publish({ topic: '', properties: { contentType: 'x' } }), 0x82],
    ],
  )

  test('threat 42: without aliases granted each of them is out of range', () => {
    const decoder = connected(5)
    decoder.topicAliasMaximum = 0
    expect(refusal(decoder, publish({ topic: 't', properties: { topicAlias: 1 } }))).toEqual({
      refused: 0x94,
      silent: false,
    })
  })

  test('an ill-formed topic of the remembered length is still refused', () => {
    const chunk = Buffer.concat([publish({ topic: 'abc' }), publish({ topic: hex('61 62 ff') })])
    expect(refusal(connected(5), chunk)).toEqual({ refused: 0x81, silent: false })
  })
})

describe('acknowledgements', () => {
  describe.each(versions)('MQTT level %i', (version) => {
    refusals(
      () => connected(version),
      [
        ['threat 36: PUBACK with packet identifier 0', puback(0), 0x82],
        ['threat 36: PUBREL with packet identifier 0', pubrel(0), 0x82],
        ['threat 32: PUBREC of one byte', hex('50 01 00'), 0x81],
        ['threat 32: PUBCOMP of no byte', hex('70 00'), 0x81],
      ],
    )
  })
  refusals(() => connected(4), [['3.1.1 knows no reason code', puback(1, 0), 0x81]])

  const receipts = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]
  const releases = [0x00, 0x92]
  test.each([
    ['PUBACK', puback, receipts],
    ['PUBREC', pubrec, receipts],
    ['PUBREL', pubrel, releases],
    ['PUBCOMP', pubcomp, releases],
  ] as const)('%s takes the reason codes of its table and no other', (_name, build, codes) => {
    const taken = Array.from({ length: 256 }, (_, code) => code).filter(
      (code) => !refusal(connected(5), build(1, code)),
    )
    expect(taken).toEqual(codes)
    expect(refusal(connected(5), build(1, 0x01))).toEqual({ refused: 0x82, silent: false })
  })

  refusals(
    () => connected(5),
    [
      ['threat 40: Content Type', puback(1, 0, { contentType: 'x' }), 0x82],
      [
        'threat 40: Reason String twice',
        pubrec(1, 0, [property('reasonString', 'a'), property('reasonString', 'b')]),
        0x82,
      ],
      ['threat 40: an unknown property', pubrel(1, 0, [u8(0x30)]), 0x81],
      ['threat 37: the reason is ill-formed', pubcomp(1, 0, [property('reasonString', hex('ff'))]), 0x81],
      ['threat 41: 101 user properties', puback(1, 0, { userProperties: userPairs(101) }), 0x97],
      ['threat 32: a byte behind the properties', frame(0x40, u16(1), u8(0), propertyBytes({}), u8(0)), 0x81],
      ['threat 32: properties beyond the packet', frame(0x40, u16(1), u8(0), u8(4), u8(0x1f)), 0x81],
    ],
  )
})

describe('SUBSCRIBE and UNSUBSCRIBE', () => {
  describe.each(versions)('MQTT level %i', (version) => {
    refusals(
      () => connected(version),
      [
        ['threat 36: SUBSCRIBE with packet identifier 0', subscribe({ version, packetId: 0, filters: ['f'] }), 0x82],
        [
          'threat 36: UNSUBSCRIBE with packet identifier 0',
          unsubscribe({ version, packetId: 0, filters: ['f'] }),
          0x82,
        ],
        ['MQTT-3.8.3-2: SUBSCRIBE without a filter', subscribe({ version, filters: [] }), 0x82],
        ['MQTT-3.10.3-2: UNSUBSCRIBE without a filter', unsubscribe({ version, filters: [] }), 0x82],
        ['threat 36: QoS 3', subscribe({ version, filters: [['f', 3]] }), version === 5 ? 0x82 : 0x81],
        [
          'threat 36: QoS 3 of the second filter',
          subscribe({ version, filters: ['f', ['g', 3]] }),
          version === 5 ? 0x82 : 0x81,
        ],
        ['MQTT-3.8.3-5: reserved bit 6', subscribe({ version, filters: [['f', 0x40]] }), 0x81],
        ['MQTT-3.8.3-5: reserved bit 7', subscribe({ version, filters: [['f', 0x80]] }), 0x81],
        [
          'No Local, reserved before MQTT 5',
          subscribe({ version, filters: [['f', 0x04]] }),
          version === 5 ? undefined : 0x81,
        ],
        ['threat 32: no options behind a filter', frame(0x82, u16(1), version === 5 ? u8(0) : none, utf8('f')), 0x81],
        [
          'threat 32: a filter beyond the packet',
          frame(0xa2, u16(1), version === 5 ? u8(0) : none, u16(9), u8(0x61)),
          0x81,
        ],
        ['threat 32: no packet identifier', hex('82 01 00'), 0x81],
        ['threat 37: an ill-formed filter', subscribe({ version, filters: [hex('ff')] }), 0x81],
        ['threat 37: U+0000 in a filter to unsubscribe', unsubscribe({ version, filters: ['a\0'] }), 0x81],
        ['filters are judged one by one later', subscribe({ version, filters: ['', 'a/#/b', '$share//x'] }), undefined],
      ],
    )
  })
  refusals(
    () => connected(5),
    [
      ['retain handling 3', subscribe({ filters: [['f', { retainHandling: 3 }]] }), 0x82],
      [
        'MQTT-3.8.3-4: No Local on a shared subscription',
        subscribe({ filters: [['$share/g/f', { noLocal: true }]] }),
        0x82,
      ],
      ['a shared subscription without No Local', subscribe({ filters: [['$share/g/f', 0]] }), undefined],
      ['No Local on a filter like a shared one', subscribe({ filters: [['$shared/g', { noLocal: true }]] }), undefined],
      ['No Local on a short filter', subscribe({ filters: [['$s', { noLocal: true }]] }), undefined],
      [
        'threat 40: Subscription Identifier 0',
        subscribe({ filters: ['f'], properties: { subscriptionIdentifiers: [0] } }),
        0x82,
      ],
      [
        'threat 40: two identifiers',
        subscribe({ filters: ['f'], properties: { subscriptionIdentifiers: [1, 2] } }),
        0x82,
      ],
      [
        'threat 31: an identifier of five bytes',
        subscribe({ filters: ['f'], properties: [hex('0b 80 80 80 80 01')] }),
        0x81,
      ],
      [
        'threat 31: an identifier longer than needed',
        subscribe({ filters: ['f'], properties: [hex('0b 81 00')] }),
        0x81,
      ],
      ['threat 40: Reason String', subscribe({ filters: ['f'], properties: { reasonString: 'x' } }), 0x82],
      [
        'threat 40: an identifier to unsubscribe',
        unsubscribe({ filters: ['f'], properties: { subscriptionIdentifiers: [1] } }),
        0x82,
      ],
      [
        'threat 41: 101 user properties',
        subscribe({ filters: ['f'], properties: { userProperties: userPairs(101) } }),
        0x97,
      ],
      ['threat 32: properties longer than the packet', frame(0x82, u16(1), u8(9), utf8('f'), u8(0)), 0x81],
    ],
  )
})

describe('DISCONNECT and AUTH', () => {
  test('MQTT-3.14.2-1: a client disconnects with the codes of a client only', () => {
    const taken = Array.from({ length: 256 }, (_, code) => code).filter(
      (code) => !refusal(connected(5), disconnect(code)),
    )
    expect(taken).toEqual([0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99])
    expect(refusal(connected(5), disconnect(0x8b))).toEqual({ refused: 0x82, silent: false })
  })

  test('MQTT-3.15.2-1: a client continues or begins an authentication and does nothing else', () => {
    const properties = { authenticationMethod: 'm' }
    const taken = Array.from({ length: 256 }, (_, code) => code).filter(
      (code) => !refusal(connected(5), auth(code, properties)),
    )
    expect(taken).toEqual([0x18, 0x19])
    expect(refusal(connected(5), auth(0x00, properties))).toEqual({ refused: 0x82, silent: false })
  })

  refusals(
    () => connected(5),
    [
      ['an empty AUTH is a success, which only servers declare', auth(), 0x82],
      ['threat 32: AUTH without properties', auth(0x18), 0x81],
      ['AUTH without a method', auth(0x18, {}), 0x82],
      ['AUTH with data and no method', auth(0x18, { authenticationData: Buffer.from('x') }), 0x82],
      [
        'threat 40: AUTH with a method twice',
        auth(0x18, [property('authenticationMethod', 'm'), property('authenticationMethod', 'm')]),
        0x82,
      ],
      ['threat 40: AUTH with Receive Maximum', auth(0x18, { authenticationMethod: 'm', receiveMaximum: 1 }), 0x82],
      [
        'threat 32: AUTH with a byte too many',
        frame(0xf0, u8(0x18), propertyBytes({ authenticationMethod: 'm' }), u8(0)),
        0x81,
      ],
      ['threat 40: DISCONNECT with Will Delay Interval', disconnect(0, { willDelayInterval: 1 }), 0x82],
      ['threat 32: DISCONNECT with a byte too many', frame(0xe0, u8(0), u8(0), u8(0)), 0x81],
      ['threat 41: DISCONNECT with 101 user properties', disconnect(0, { userProperties: userPairs(101) }), 0x97],
    ],
  )
  for (const version of [3, 4] as const) {
    refusals(
      () => connected(version),
      [
        [`level ${version}: DISCONNECT with a body`, disconnect(0), 0x81],
        [`level ${version}: type 15 is reserved`, hex('f0 00'), 0x81],
      ],
    )
  }
})
