import { isIPv4, isIPv6 } from 'node:net'

import { normalizeAddress } from './stream-info.ts'

/*
 * The PROXY protocol, versions 1 and 2, receiver's side.
 *
 *   v1   PROXY TCP4 192.0.2.1 198.51.100.7 50123 1883\r\n      at most 107 bytes
 *        PROXY TCP6 …            PROXY UNKNOWN …\r\n
 *
 *   v2   +-----------------------+---------+--------+------------+-----------+------+
 *        | 12 bytes of signature | ver·cmd | family | length u16 | addresses | TLVs |
 *        +-----------------------+---------+--------+------------+-----------+------+
 *
 * The parser looks at a growing buffer and answers as soon as it can: a first wrong byte is
 * malformed at once, so that a peer can't make us wait for a header that will never be one.
 */

/** What a header says of the client. */
export type ProxySource =
  | { readonly kind: 'address'; readonly address: string; readonly port: number }
  /** The proxy speaks for itself: a health check. */
  | { readonly kind: 'local' }
  /** The proxy does not know the client's address, or does not tell. */
  | { readonly kind: 'unknown' }
  /** The client reached the proxy through a unix socket: it has no address. */
  | { readonly kind: 'unix' }

/** A whole header of `lengthBytes`, or why there is none. */
export type ProxyHeader = { readonly lengthBytes: number; readonly source: ProxySource } | 'incomplete' | 'malformed'

const v1Prefix = Buffer.from('PROXY ', 'latin1')
const v1MaxBytes = 107
const v2Signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const v2FixedBytes = 16
/** Addresses take 216 bytes at most; the rest is left to TLVs, which are skipped. */
const v2MaxBytes = 4_096
const v2LocalCommand = 0x20
const v2ProxyCommand = 0x21

export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (startsLike(bytes, v1Prefix)) return parseV1(bytes)
  if (startsLike(bytes, v2Signature)) return parseV2(bytes)
  return 'malformed'
}

/** Whether the bytes are the beginning of the pattern, or begin with it. */
function startsLike(bytes: Buffer, pattern: Buffer): boolean {
  const length = Math.min(bytes.length, pattern.length)
  return bytes.compare(pattern, 0, length, 0, length) === 0
}

function parseV1(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, v1MaxBytes).indexOf('\r\n', 0, 'latin1')
  if (end < 0) return bytes.length >= v1MaxBytes ? 'malformed' : 'incomplete'
  const lengthBytes = end + 2
  const [, family = '', ...fields] = bytes.toString('latin1', 0, end).split(' ')
  // The specification lets a sender put anything after UNKNOWN, and has us ignore it.
  if (family === 'UNKNOWN') return { lengthBytes, source: { kind: 'unknown' } }
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isIPv6 : undefined
  const [source = '', destination = '', sourcePort = '', destinationPort = ''] = fields
  if (isAddress === undefined || fields.length !== 4) return 'malformed'
  // Node takes IPv6 zones (`fe80::1%eth0`), which are another host's and mean nothing here.
  if (![source, destination].every((address) => isAddress(address) && !address.includes('%'))) return 'malformed'
  if (!isPort(sourcePort) || !isPort(destinationPort)) return 'malformed'
  return {
    lengthBytes,
    source: { kind: 'address', address: normalizeAddress(source) ?? source, port: Number(sourcePort) },
  }
}

function isPort(text: string): boolean {
  return /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535
}

function parseV2(bytes: Buffer): ProxyHeader {
  const command = bytes[12]
  if (command !== undefined && command !== v2LocalCommand && command !== v2ProxyCommand) return 'malformed'
  if (bytes.length < v2FixedBytes) return 'incomplete'
  const lengthBytes = v2FixedBytes + bytes.readUInt16BE(14)
  if (lengthBytes > v2MaxBytes) return 'malformed'
  if (bytes.length < lengthBytes) return 'incomplete'
  const source =
    command === v2LocalCommand
      ? { kind: 'local' as const }
      : v2Source(bytes[13] ?? 0, bytes.subarray(v2FixedBytes, lengthBytes))
  return source === undefined ? 'malformed' : { lengthBytes, source }
}

/** Family and protocol in one byte; datagrams can't be behind a stream, so they are malformed. */
function v2Source(family: number, addresses: Buffer): ProxySource | undefined {
  switch (family) {
    case 0x00:
      return { kind: 'unknown' }
    case 0x11:
      if (addresses.length < 12) return undefined
      return { kind: 'address', address: addresses.subarray(0, 4).join('.'), port: addresses.readUInt16BE(8) }
    case 0x21:
      if (addresses.length < 36) return undefined
      return { kind: 'address', address: formatIPv6(addresses), port: addresses.readUInt16BE(32) }
    case 0x31:
      return addresses.length < 216 ? undefined : { kind: 'unix' }
    default:
      return undefined
  }
}

function formatIPv6(bytes: Buffer): string {
  const groups: string[] = []
  for (let offset = 0; offset < 16; offset += 2) groups.push(bytes.readUInt16BE(offset).toString(16))
  const address = groups.join(':')
  return normalizeAddress(address) ?? address
}
