/**
 * The conformance suites lean on `test/support`: these tests show that its oracle can fail. A
 * scripted peer stands in for the broker.
 */
import { duplexPair } from 'node:stream'
import { describe, expect, test } from 'vitest'

import { RawClient } from '../support/raw-client.ts'
import { decode, splitFrame } from '../support/wire-decode.ts'
import {
  connect,
  frame,
  hex,
  property,
  propertyBytes,
  publish,
  subscribe,
  u16,
  u8,
  utf8,
  varint,
} from '../support/wire.ts'

function scripted(...script: readonly string[]) {
  const [mine, theirs] = duplexPair()
  theirs.resume()
  const client = new RawClient(mine, { timeoutMs: 50 })
  for (const step of script) {
    if (step === 'end') theirs.end()
    else theirs.write(hex(step))
  }
  return client
}

describe('builders', () => {
  test.each([
    ['connect', connect({ clientId: 'a', keepAlive: 60 }), '10 0e 0004 4d515454 05 02 003c 00 0001 61'],
    ['connect 3.1.1', connect({ version: 4, clientId: 'a' }), '10 0d 0004 4d515454 04 02 0000 0001 61'],
    [
      'connect 3.1',
      connect({ version: 3, clientId: 'a', cleanStart: false }),
      '10 0f 0006 4d5149736470 03 00 0000 0001 61',
    ],
    [
      'connect with a will and credentials',
      connect({
        will: { topic: 'w', payload: 'p', qos: 1, retain: true, properties: { willDelayInterval: 5 } },
        username: 'u',
        password: 'x',
      }),
      '10 1f 0004 4d515454 05 ee 0000 00 0000 05 18 00000005 0001 77 0001 70 0001 75 0001 78',
    ],
    [
      'publish',
      publish({ topic: 't', payload: 'x', qos: 2, packetId: 7, retain: true, dup: true }),
      '3d 07 0001 74 0007 00 78',
    ],
    [
      'subscribe',
      subscribe({ filters: ['a', ['b', { qos: 2, noLocal: true, retainAsPublished: true, retainHandling: 2 }]] }),
      '82 0b 0001 00 0001 61 00 0001 62 2e',
    ],
    ['a long variable byte integer', varint(5, 3), '85 80 00'],
    ['user properties', propertyBytes({ userProperties: [['a', 'b']] }), '07 26 0001 61 0001 62'],
    ['raw properties', propertyBytes([property('topicAlias', 1), property('topicAlias', 2)]), '06 23 0001 23 0002'],
  ])('%s', (_name, built, expected) => {
    expect(built.toString('hex')).toBe(expected.replace(/\s/g, ''))
  })
})

describe('the decoder refuses what a server must not send', () => {
  test.each([
    ['reserved flags', '21 03 00 00 00', 'flags'],
    ['CONNACK flags', '20 03 02 00 00', 'MQTT-3.2.2-1'],
    ['session present with a failure', '20 03 01 87 00', 'MQTT-3.2.2-6'],
    ['an undefined reason code', '20 03 00 8d 00', 'undefined reason code'],
    ['QoS 3', '36 06 0001 74 0001 00', 'QoS 3'],
    ['DUP with QoS 0', '38 04 0001 74 00', 'DUP'],
    ['identifier 0', '32 06 0001 74 0000 00', 'identifier 0'],
    ['a wildcard', '30 04 0001 23 00', 'wildcard'],
    ['a foreign property', '30 09 0001 74 05 11 00000001', 'does not belong'],
    ['a repeated property', '30 0a 0001 74 06 23 0001 23 0002', 'twice'],
    ['an unknown property', '30 06 0001 74 02 05 00', 'unknown property'],
    ['a property that runs over', '30 05 0001 74 05 23', 'runs over'],
    ['a surrogate', '30 06 0003 eda080 00', 'not valid'],
    ['bytes behind the end', '40 05 0001 00 00 00', 'behind'],
    ['a client packet', 'c0 00', 'does not send'],
  ])('%s', (_name, bytes, message) => {
    expect(() => decode(hex(bytes), 5)).toThrow(message)
  })

  test('a length that is not minimal', () => {
    expect(() => splitFrame(hex('d0 80 00'))).toThrow('MQTT-1.5.5-1')
  })
})

test('the decoder keeps order, lists and every field', () => {
  const properties = propertyBytes([
    property('subscriptionIdentifiers', 300),
    property('userProperties', ['z', '1']),
    property('subscriptionIdentifiers', 2),
    property('userProperties', ['a', '2']),
    property('correlationData', hex('00 ff')),
  ])
  expect(decode(frame(0x3b, utf8('t/\ufeffx'), u16(513), properties, Buffer.from('hi')), 5)).toEqual({
    type: 'publish',
    topic: 't/\ufeffx',
    payload: 'hi',
    qos: 1,
    retain: true,
    dup: true,
    packetId: 513,
    properties: {
      subscriptionIdentifiers: [300, 2],
      userProperties: [
        ['z', '1'],
        ['a', '2'],
      ],
      correlationData: hex('00 ff'),
    },
  })
})

describe('the client', () => {
  test('takes packets in order over any chunks', async () => {
    const client = scripted('20 03 00', '00 00 d0', '00', 'end')
    await client.expectPacket('connack', { reasonCode: 0, sessionPresent: false, properties: {} })
    await client.expectBytes('d0 00')
    await client.expectClosed()
  })

  test.each([
    ['another type', (client: RawClient) => client.expectPacket('puback')],
    ['another value', (client: RawClient) => client.expectPacket('connack', { sessionPresent: true })],
    ['other bytes', (client: RawClient) => client.expectBytes('d0 00')],
    ['a packet instead of the end', (client: RawClient) => client.expectClosed()],
    ['a packet instead of PINGRESP', (client: RawClient) => client.expectNothing()],
    ['another code', (client: RawClient) => client.expectDisconnect(0x82)],
  ])('fails at %s', async (_name, expectation) => {
    await expect(expectation(scripted('20 03 00 00 00'))).rejects.toThrow('20030000')
  })

  test('fails when nothing comes, and when the stream ends inside a packet', async () => {
    await expect(scripted().expectPacket('connack')).rejects.toThrow('waited 50 ms')
    await expect(scripted('20 03 00', 'end').next()).rejects.toThrow('middle of a packet')
  })

  test('an expected end is not a missing end', async () => {
    const client = scripted('e0 01 82')
    await expect(client.expectDisconnect(0x82)).rejects.toThrow('waited 50 ms')
    expect(u8(0x82)).toEqual(client.lastFrame.subarray(2))
  })
})
