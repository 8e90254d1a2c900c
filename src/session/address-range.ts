import { isIPv4, isIPv6 } from 'node:net'

/** An address as a number, so that what is in a range is found by shifting it. */
export interface Address {
  readonly bits: 32 | 128
  readonly value: bigint
}

/** All addresses that begin with the same bits. */
export interface AddressRange {
  readonly bits: 32 | 128
  readonly prefix: number
  /** The first `prefix` bits. */
  readonly value: bigint
  /** The one spelling. */
  readonly text: string
}

const MAPPED = 0xffffn

function readIPv4(text: string): bigint {
  return text.split('.').reduce((value, part) => (value << 8n) | BigInt(part), 0n)
}

function readIPv6(text: string): bigint {
  const dotted = /(?:\d+\.){3}\d+$/.exec(text)?.[0]
  const tail = dotted === undefined ? '' : readIPv4(dotted).toString(16).padStart(8, '0')
  const plain = dotted === undefined ? text : text.replace(dotted, `${tail.slice(0, 4)}:${tail.slice(4)}`)
  const [left = '', right] = plain.split('::')
  const groupsOf = (part: string | undefined): string[] => (part ? part.split(':') : [])
  const [before, after] = [groupsOf(left), groupsOf(right)]
  const middle = Array.from({ length: 8 - before.length - after.length }, () => '0')
  return [...before, ...middle, ...after].reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n)
}

/** Undefined for what is not an address. One that came through a dual-stack socket is the IPv4 address that it is. */
export function readAddress(text: string): Address | undefined {
  const [bare = ''] = text.split('%')
  if (isIPv4(bare)) return { bits: 32, value: readIPv4(bare) }
  if (!isIPv6(bare)) return undefined
  const value = readIPv6(bare)
  return value >> 32n === MAPPED ? { bits: 32, value: value & 0xffffffffn } : { bits: 128, value }
}

/** Undefined for what is neither an address nor a range. */
export function readRange(text: string): AddressRange | undefined {
  const slash = text.indexOf('/')
  const address = readAddress(slash < 0 ? text : text.slice(0, slash))
  if (address === undefined) return undefined
  const length = slash < 0 ? undefined : text.slice(slash + 1)
  if (length !== undefined && !/^\d{1,3}$/.test(length)) return undefined
  // `::ffff:10.0.0.0/104` is how a dual-stack host writes 10.0.0.0/8.
  const mapped = address.bits === 32 && text.includes(':') ? 96 : 0
  const prefix = length === undefined ? address.bits : Number(length) - mapped
  return prefix < 0 || prefix > address.bits ? undefined : rangeOf(address, prefix)
}

function rangeOf({ bits, value }: Address, prefix: number): AddressRange {
  const first = value >> BigInt(bits - prefix)
  const spelt = spell({ bits, value: first << BigInt(bits - prefix) })
  return { bits, prefix, value: first, text: prefix === bits ? spelt : `${spelt}/${prefix}` }
}

export function includes(range: AddressRange, address: Address): boolean {
  return range.bits === address.bits && address.value >> BigInt(range.bits - range.prefix) === range.value
}

/**
 * What counts as one client's address: the holder of an IPv6 network has 2^64 of them at hand, so there
 * it is the /64.
 */
export function holderOf(text: string | undefined): AddressRange | undefined {
  const address = text === undefined ? undefined : readAddress(text)
  return address && rangeOf(address, address.bits === 32 ? 32 : 64)
}

function spell({ bits, value }: Address): string {
  if (bits === 32) return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 0xffn)).join('.')
  const groups = Array.from({ length: 8 }, (_, index) => ((value >> BigInt(112 - index * 16)) & 0xffffn).toString(16))
  // RFC 5952: the first of the longest runs of zeroes, of two groups at least.
  const text = groups.join(':')
  const longest = [...text.matchAll(/\b0(?::0)+\b/g)].reduce(
    (best, run) => (run[0].length > best.length ? run[0] : best),
    '',
  )
  if (longest === '') return text
  const at = text.search(new RegExp(`(?<![0-9a-f])${longest}(?![0-9a-f])`))
  return `${text.slice(0, at).replace(/:$/, '')}::${text.slice(at + longest.length).replace(/^:/, '')}`
}
