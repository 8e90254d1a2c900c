import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { parseProxyHeader } from '../../../src/net/proxy-protocol.ts'

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')

function v2(command: number, family: number, addresses: Buffer, length = addresses.length): Buffer {
  const fixed = Buffer.from([command, family, length >> 8, length & 0xff])
  return Buffer.concat([signature, fixed, addresses])
}

const inet = Buffer.from([192, 0, 2, 1, 198, 51, 100, 7, 0xc3, 0x50, 0x07, 0x5b])
const inet6 = Buffer.from(
  '20010db8000000000000000000000001' + '20010db8000000000000000000000002' + 'c350' + '075b',
  'hex',
)
const mapped = Buffer.from(
  '00000000000000000000ffffc0000201' + '00000000000000000000ffffc0000202' + 'c350' + '075b',
  'hex',
)
const tlv = Buffer.from([0x04, 0x00, 0x02, 1, 2])
const v4Source = { kind: 'address', address: '192.0.2.1', port: 50_000 }
const v6Source = { kind: 'address', address: '2001:db8::1', port: 50_000 }

describe('version 1', () => {
  test.each([
    ['PROXY TCP4 192.0.2.1 198.51.100.7 50000 1883\r\n', v4Source],
    [
      'PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n',
      { kind: 'address', address: '255.255.255.255', port: 65_535 },
    ],
    ['PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n', { kind: 'address', address: '0.0.0.0', port: 0 }],
    ['PROXY TCP6 2001:DB8:0::1 2001:db8::2 50000 1883\r\n', v6Source],
    ['PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 50000 1883\r\n', v4Source],
    ['PROXY TCP6 ::ffff:c000:201 ::2 50000 1883\r\n', v4Source],
    ['PROXY UNKNOWN\r\n', { kind: 'unknown' }],
    ['PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n', { kind: 'unknown' }],
  ])('%j', (header, source) => {
    const bytes = Buffer.from(`${header}\x10\x0c`, 'latin1')
    expect(parseProxyHeader(bytes)).toEqual({ lengthBytes: header.length, source })
    for (let length = 0; length < header.length; length += 1) {
      expect(parseProxyHeader(bytes.subarray(0, length))).toBe('incomplete')
    }
  })

  test.each([
    'PROXY\r\n',
    'proxy TCP4 192.0.2.1 198.51.100.7 50000 1883\r\n',
    'PROXY TCP5 192.0.2.1 198.51.100.7 50000 1883\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.7 50000\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.7 50000 1883 1\r\n',
    'PROXY  TCP4 192.0.2.1 198.51.100.7 50000 1883\r\n',
    'PROXY TCP4 192.0.2.1  198.51.100.7 50000 1883\r\n',
    'PROXY TCP4 192.0.2.256 198.51.100.7 50000 1883\r\n',
    'PROXY TCP4 192.0.02.1 198.51.100.7 50000 1883\r\n',
    'PROXY TCP4 2001:db8::1 2001:db8::2 50000 1883\r\n',
    'PROXY TCP6 192.0.2.1 198.51.100.7 50000 1883\r\n',
    'PROXY TCP6 fe80::1%eth0 2001:db8::2 50000 1883\r\n',
    'PROXY TCP4 192.0.2.1 nowhere 50000 1883\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.7 65536 1883\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.7 050000 1883\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.7 -1 1883\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.7 50000 1883\n\r\n',
    `PROXY UNKNOWN ${'x'.repeat(92)}\r\n`,
    `PROXY ${'x'.repeat(101)}`,
    '\x10\x0c\x00\x04MQTT',
    'GET / HTTP/1.1\r\n',
  ])('%j is malformed', (header) => {
    expect(parseProxyHeader(Buffer.from(header, 'latin1'))).toBe('malformed')
  })

  test('107 bytes are the longest header', () => {
    const longest = `PROXY UNKNOWN ${'x'.repeat(91)}\r\n`
    expect(parseProxyHeader(Buffer.from(longest))).toEqual({ lengthBytes: 107, source: { kind: 'unknown' } })
    expect(parseProxyHeader(Buffer.from(longest.slice(0, 106)))).toBe('incomplete')
  })
})

describe('version 2', () => {
  test.each([
    ['TCP over IPv4', v2(0x21, 0x11, inet), v4Source],
    ['TCP over IPv4 with TLVs', v2(0x21, 0x11, Buffer.concat([inet, tlv])), v4Source],
    ['TCP over IPv6', v2(0x21, 0x21, inet6), v6Source],
    ['TCP over IPv6 with an IPv4 client', v2(0x21, 0x21, mapped), v4Source],
    ['a unix socket', v2(0x21, 0x31, Buffer.alloc(216)), { kind: 'unix' }],
    ['unspecified', v2(0x21, 0x00, Buffer.alloc(0)), { kind: 'unknown' }],
    ['unspecified with TLVs', v2(0x21, 0x00, tlv), { kind: 'unknown' }],
    ['LOCAL', v2(0x20, 0x00, Buffer.alloc(0)), { kind: 'local' }],
    ['LOCAL with addresses, which do not count', v2(0x20, 0x11, inet), { kind: 'local' }],
    ['the longest', v2(0x21, 0x11, Buffer.concat([inet, Buffer.alloc(4_096 - 16 - 12)])), v4Source],
  ])('%s', (_name, header, source) => {
    expect(parseProxyHeader(Buffer.concat([header, Buffer.from('MQTT')]))).toEqual({
      lengthBytes: header.length,
      source,
    })
    for (let length = 0; length < header.length; length += 1) {
      expect(parseProxyHeader(header.subarray(0, length))).toBe('incomplete')
    }
  })

  test.each([
    ['a wrong signature', Buffer.from('\r\n\r\n\0\r\nQUIX\n', 'latin1')],
    ['version 1 in the binary header', v2(0x11, 0x11, inet)],
    ['an unknown command', v2(0x22, 0x11, inet)],
    ['datagrams over IPv4', v2(0x21, 0x12, inet)],
    ['datagrams over IPv6', v2(0x21, 0x22, inet6)],
    ['unix datagrams', v2(0x21, 0x32, Buffer.alloc(216))],
    ['an unknown family', v2(0x21, 0x41, inet6)],
    ['too few bytes for IPv4', v2(0x21, 0x11, inet.subarray(1))],
    ['too few bytes for IPv6', v2(0x21, 0x21, inet6.subarray(1))],
    ['too few bytes for unix', v2(0x21, 0x31, Buffer.alloc(215))],
    ['a length beyond 4 KiB, before its bytes came', v2(0x21, 0x11, Buffer.alloc(0), 4_081)],
    ['the greatest length', v2(0x21, 0x11, Buffer.alloc(0), 65_535)],
  ])('%s is malformed', (_name, header) => {
    expect(parseProxyHeader(header)).toBe('malformed')
  })
})

describe('threat 75: any bytes', () => {
  const verdict = (bytes: Uint8Array): string => {
    const header = parseProxyHeader(Buffer.from(bytes))
    return typeof header === 'string' ? header : 'header'
  }

  test('never throw', () => {
    const anyBytes = fc.uint8Array({ maxLength: 300 })
    const framed = fc.tuple(fc.constantFrom(signature, Buffer.from('PROXY '), Buffer.from('PROXY TCP4 ')), anyBytes)
    fc.assert(
      fc.property(
        fc.oneof(
          anyBytes,
          framed.map((parts) => Buffer.concat(parts)),
        ),
        (bytes) => {
          expect(['incomplete', 'malformed', 'header']).toContain(verdict(bytes))
        },
      ),
      { numRuns: 2_000 },
    )
  })

  test('a verdict other than incomplete is not changed by what follows', () => {
    const body = fc.uint8Array({ minLength: 4, maxLength: 40 })
    fc.assert(
      fc.property(body, fc.uint8Array({ maxLength: 20 }), fc.constantFrom(0x20, 0x21, 0x55), (head, tail, command) => {
        const bytes = Buffer.concat([signature, Buffer.of(command), head])
        const before = parseProxyHeader(bytes)
        fc.pre(before !== 'incomplete')
        expect(parseProxyHeader(Buffer.concat([bytes, tail]))).toEqual(before)
      }),
      { numRuns: 1_000 },
    )
  })
})
