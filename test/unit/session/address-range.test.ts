import { isIP, SocketAddress } from 'node:net'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { holderOf, includes, readAddress, readRange } from '../../../src/session/address-range.ts'

const covers = (range: string, address: string): boolean => includes(readRange(range)!, readAddress(address)!)

describe('a range', () => {
  test.each([
    ['203.0.113.0/24', '203.0.113.255', true],
    ['203.0.113.0/24', '203.0.114.0', false],
    ['203.0.113.7', '203.0.113.7', true],
    ['203.0.113.7', '203.0.113.70', false],
    ['0.0.0.0/0', '255.255.255.255', true],
    ['0.0.0.0/0', '::1', false],
    ['::/0', '0.0.0.1', false],
    ['2001:db8::/32', '2001:db8:ffff::1', true],
    ['2001:db8::/32', '2001:db9::', false],
    ['::ffff:10.0.0.0/104', '10.255.0.1', true],
    ['10.0.0.0/8', '::ffff:10.1.2.3', true],
    ['fe80::1', 'fe80::1%eth0', true],
  ])('%s covers %s: %s', (range, address, expected) => {
    expect(covers(range, address)).toBe(expected)
  })

  test.each([
    '',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '::/129',
    'localhost',
    '10.0.0',
    '::ffff:1.2.3.4/95',
    ' 10.0.0.1',
  ])('%j is none', (text) => {
    expect(readRange(text)).toBeUndefined()
  })

  test.each([
    ['203.0.113.7/24', '203.0.113.0/24'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8:0:1:0:0:0:1/64', '2001:db8:0:1::/64'],
    ['::ffff:10.1.2.3', '10.1.2.3'],
  ])('%s is written %s', (text, expected) => {
    expect(readRange(text)!.text).toBe(expected)
  })
})

const canonical = (address: string): string => new SocketAddress({ address, family: 'ipv6' }).address

test('every address is spelt so that Node reads the same, and is within each range that begins as it does', () => {
  const cases = fc.tuple(fc.oneof(fc.ipV4(), fc.ipV6()), fc.nat(128))
  fc.assert(
    fc.property(cases, ([text, length]) => {
      const address = readAddress(text)!
      const prefix = Math.min(length, address.bits)
      const range = readRange(`${text}/${isIP(text) === 6 && address.bits === 32 ? prefix + 96 : prefix}`)!
      expect(includes(range, address)).toBe(true)
      if (address.bits === 128) expect(canonical(readRange(text)!.text)).toBe(canonical(text))
    }),
    { numRuns: 2_000 },
  )
})

test('an IPv6 client has every address of its /64', () => {
  expect(
    ['2001:db8:1:2:3:4:5:6', '203.0.113.7', '::ffff:203.0.113.7', 'nonsense', undefined].map(
      (text) => holderOf(text)?.text,
    ),
  ).toEqual(['2001:db8:1:2::/64', '203.0.113.7', '203.0.113.7', undefined, undefined])
})
