import fc from 'fast-check'
import type { Packet } from 'mqtt-packet'
import { parser as createParser, writeToStream } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'

import { encodeControl } from '../../../src/codec/encode-control.ts'
import type { ConnackPacket, OutboundPacket, ProtocolVersion } from '../../../src/messages.ts'
import { ReasonCode } from '../../../src/reason-codes.ts'
import { hex, property, propertyBytes } from '../../support/wire.ts'

/** The packet that mqtt-packet reads from these bytes. */
function parsed(bytes: Buffer | undefined, protocolVersion: ProtocolVersion): Packet | undefined {
  const parser = createParser({ protocolVersion })
  let found: Packet | undefined
  parser.on('packet', (packet) => (found = packet))
  parser.on('error', (error: Error) => {
    throw error
  })
  if (bytes) parser.parse(bytes)
  return found
}

const encode = (packet: OutboundPacket, version: ProtocolVersion = 5, maxBytes = Infinity, problems = true) =>
  encodeControl(packet, version, maxBytes, problems)?.toString('hex')

const fullConnack: ConnackPacket = {
  type: 2,
  sessionPresent: true,
  reasonCode: 0,
  sessionExpiryIntervalSeconds: 4_294_967_295,
  receiveMaximum: 65_535,
  maximumQoS: 1,
  retainAvailable: false,
  maximumPacketSizeBytes: 1_048_576,
  assignedClientIdentifier: 'c-ü',
  topicAliasMaximum: 0,
  reasonString: 'welcome',
  userProperties: [['a', 'b']],
  wildcardSubscriptionAvailable: false,
  subscriptionIdentifiersAvailable: true,
  sharedSubscriptionAvailable: false,
  serverKeepAliveSeconds: 0,
  responseInformation: 'r',
  serverReference: 's',
  authenticationMethod: 'm',
  authenticationData: new Uint8Array([0, 255]),
}

describe('MQTT 5', () => {
  test('CONNACK with every property', () => {
    expect(parsed(encodeControl(fullConnack, 5, Infinity, true), 5)).toMatchObject({
      cmd: 'connack',
      sessionPresent: true,
      reasonCode: 0,
      properties: {
        sessionExpiryInterval: 4_294_967_295,
        receiveMaximum: 65_535,
        maximumQoS: 1,
        retainAvailable: false,
        maximumPacketSize: 1_048_576,
        assignedClientIdentifier: 'c-ü',
        topicAliasMaximum: 0,
        reasonString: 'welcome',
        userProperties: { a: 'b' },
        wildcardSubscriptionAvailable: false,
        subscriptionIdentifiersAvailable: true,
        sharedSubscriptionAvailable: false,
        serverKeepAlive: 0,
        responseInformation: 'r',
        serverReference: 's',
        authenticationMethod: 'm',
        authenticationData: Buffer.from([0, 255]),
      },
    })
  })

  test('mqtt-packet keeps no table of all numbers', () => {
    expect(writeToStream.cacheNumbers).toBe(false)
  })

  test('each property of CONNACK has the bytes of the specification', () => {
    const one = (properties: Partial<ConnackPacket>) =>
      encode({ type: 2, sessionPresent: false, reasonCode: 0, ...properties })
    expect({
      none: one({}),
      maximumQoS: one({ maximumQoS: 0 }),
      retain: one({ retainAvailable: true }),
      shared: one({ sharedSubscriptionAvailable: false }),
      keepAlive: one({ serverKeepAliveSeconds: 300 }),
      clientId: one({ assignedClientIdentifier: 'x' }),
      expiry: one({ sessionExpiryIntervalSeconds: 1 }),
      data: one({ authenticationMethod: 'm', authenticationData: new Uint8Array(0) }),
      // A view into a larger buffer goes out as long as it is.
      view: one({ authenticationMethod: 'm', authenticationData: new Uint8Array([9, 1, 9]).subarray(1, 2) }),
    }).toEqual({
      none: '2003000000',
      maximumQoS: '20050000022400',
      retain: '20050000022501',
      shared: '20050000022a00',
      keepAlive: '200600000313012c',
      clientId: '20070000041200' + '0178',
      expiry: '20080000051100000001',
      data: '200a000007150001' + '6d160000',
      view: '200b000008150001' + '6d16000101',
    })
  })

  test('MQTT-3.2.2-6: a refusal has Session Present 0', () => {
    expect(encode({ type: 2, sessionPresent: true, reasonCode: 0x87 })).toBe('2003008700')
  })

  test('SUBACK, UNSUBACK, DISCONNECT, AUTH', () => {
    expect(encode({ type: 9, packetId: 258, reasonCodes: [0, 1, 2, 0x8f] })).toBe('9007010200' + '0001028f')
    expect(encode({ type: 11, packetId: 1, reasonCodes: [0, 0x11] })).toBe('b0050001000011')
    expect(encode({ type: 14, reasonCode: 0x8e })).toBe('e0028e00')
    expect(encode({ type: 14, reasonCode: 0x9c, serverReference: 'b' })).toBe('e0069c041c000162')
    expect(
      encode({ type: 15, reasonCode: 0x18, authenticationMethod: 'm', authenticationData: Buffer.from('d') }),
    ).toBe('f00a1808150001' + '6d160001' + '64')
  })

  test('threat 41: user properties keep order, repetition and any name', () => {
    const userProperties = [
      ['b', '1'],
      ['__proto__', '2'],
      ['a', ''],
      ['2', '3'],
      ['b', '4'],
      ['1', '5'],
      ['', '6'],
      ['constructor', '7'],
    ] as const
    const expected = propertyBytes(userProperties.map((pair) => property('userProperties', pair)))
    expect(encode({ type: 14, reasonCode: 0, userProperties })).toBe(
      Buffer.concat([hex('e0'), Buffer.from([expected.length + 1, 0]), expected]).toString('hex'),
    )
  })

  test('any pairs go out as they are', () => {
    const name = fc.string({ unit: fc.constantFrom('a', 'ü', '0', '_', '🌱'), maxLength: 5 })
    fc.assert(
      fc.property(fc.array(fc.tuple(name, name), { maxLength: 30 }), (userProperties) => {
        const expected = propertyBytes(userProperties.map((pair) => property('userProperties', pair)))
        const bytes = encodeControl({ type: 11, packetId: 1, reasonCodes: [0], userProperties }, 5, Infinity, true)
        expect(bytes?.subarray(-expected.length - 1, -1)).toEqual(expected)
      }),
    )
  })

  test('what no string of MQTT can hold is left out', () => {
    const long = 'x'.repeat(65_536)
    expect(encode({ type: 14, reasonCode: 0x80, reasonString: 'a\0b' })).toBe('e0028000')
    expect(encode({ type: 14, reasonCode: 0x80, reasonString: long })).toBe('e0028000')
    expect(
      encode({
        type: 14,
        reasonCode: 0x80,
        userProperties: [
          [long, 'x'],
          ['a\0', 'b'],
          ['k', 'v'],
        ],
      }),
    ).toBe('e0098007' + '2600016b000176')
    expect(encode({ type: 2, sessionPresent: false, reasonCode: 0, responseInformation: long })).toBeUndefined()
    expect(
      encode({ type: 15, reasonCode: 0x18, authenticationMethod: 'm', authenticationData: Buffer.alloc(65_536) }),
    ).toBeUndefined()
  })
})

describe('Maximum Packet Size', () => {
  const text = { reasonString: 'why', userProperties: [['k', 'v']] as const }
  const rows: ReadonlyArray<readonly [string, OutboundPacket, full: string, withoutReason: string, bare: string]> = [
    [
      'MQTT-3.2.2-19 CONNACK',
      { type: 2, sessionPresent: false, reasonCode: 0x87, ...text },
      '2010' + '00870d1f00037768792600016b000176',
      '200a0087072600016b000176',
      '2003008700',
    ],
    [
      'MQTT-3.9.2-1 SUBACK',
      { type: 9, packetId: 1, reasonCodes: [0x87], ...text },
      '9011' + '00010d1f00037768792600016b000176' + '87',
      '900b0001072600016b00017687',
      '900400010087',
    ],
    [
      'MQTT-3.11.2-1 UNSUBACK',
      { type: 11, packetId: 1, reasonCodes: [0], ...text },
      'b011' + '00010d1f00037768792600016b000176' + '00',
      'b00b0001072600016b00017600',
      'b00400010000',
    ],
    [
      'MQTT-3.14.2-3 DISCONNECT',
      { type: 14, reasonCode: 0x8b, ...text },
      'e00f8b0d1f00037768792600016b000176',
      'e0098b072600016b000176',
      'e0028b00',
    ],
    [
      'MQTT-3.15.2-2 AUTH',
      { type: 15, reasonCode: 0x18, authenticationMethod: 'm', ...text },
      'f0131811150001' + '6d1f00037768792600016b000176',
      'f00d180b150001' + '6d2600016b000176',
      'f0061804150001' + '6d',
    ],
  ]
  test.each(rows)(
    '%s: the reason goes first, then the user properties, then the packet',
    (_name, packet, full, withoutReason, bare) => {
      const at = (maxBytes: number) => encode(packet, 5, maxBytes)
      const size = (text16: string) => text16.length / 2
      expect([
        at(size(full)),
        at(size(full) - 1),
        at(size(withoutReason)),
        at(size(withoutReason) - 1),
        at(size(bare)),
        at(size(bare) - 1),
      ]).toEqual([full, withoutReason, withoutReason, bare, bare, undefined])
    },
  )

  test.each(rows)('MQTT-3.1.2-29: %s without problem information', (name, packet, full, _withoutReason, bare) => {
    const mayExplain = /CONNACK|DISCONNECT/.test(name)
    expect(encode(packet, 5, Infinity, false)).toBe(mayExplain ? full : bare)
  })

  test('user properties alone make room', () => {
    const packet: OutboundPacket = { type: 14, reasonCode: 0, userProperties: [['k', 'v']] }
    expect(encode(packet, 5, 6)).toBe('e0020000')
  })
})

describe('MQTT 3.1 and 3.1.1', () => {
  test('CONNACK: each reason code becomes a return code or nothing', () => {
    const codes = Object.values(ReasonCode).filter((code) => code === 0 || code >= 0x80)
    const mapped = codes.map(
      (reasonCode) => [reasonCode, encode({ type: 2, sessionPresent: true, reasonCode }, 4)] as const,
    )
    expect(Object.fromEntries(mapped.filter(([, bytes]) => bytes !== undefined))).toEqual({
      0x00: '20020100',
      0x84: '20020001',
      0x85: '20020002',
      0x86: '20020004',
      0x87: '20020005',
      0x88: '20020003',
      0x89: '20020003',
      0x8a: '20020005',
      0x8c: '20020004',
      0x97: '20020003',
      0x9c: '20020003',
      0x9d: '20020003',
      0x9f: '20020003',
    })
  })

  test('MQTT 3.1 has no Session Present', () => {
    expect(encode(fullConnack, 3)).toBe('20020000')
    expect(encode(fullConnack, 4)).toBe('20020100')
  })

  test.each([3, 4] as const)(
    'level %i: SUBACK fails with 0x80 only, UNSUBACK is bare, DISCONNECT and AUTH do not exist',
    (version) => {
      const text = { reasonString: 'why', userProperties: [['k', 'v']] as const }
      expect(encode({ type: 9, packetId: 258, reasonCodes: [0, 1, 2, 0x87, 0x8f], ...text }, version)).toBe(
        '90070102' + '0001028080',
      )
      expect(encode({ type: 11, packetId: 258, reasonCodes: [0, 0x11], ...text }, version)).toBe('b0020102')
      expect(encode({ type: 14, reasonCode: 0x8e, ...text }, version)).toBeUndefined()
      expect(encode({ type: 15, reasonCode: 0x18, authenticationMethod: 'm' }, version)).toBeUndefined()
    },
  )
})
