import { BlockList, isIPv4 } from 'node:net'

import { StatemqError } from '../errors.ts'
import type { ProxyProtocolOptions } from '../options.ts'
import { normalizeAddress } from './stream-info.ts'

/** The peers that speak for clients. */
export interface ProxyTrust {
  /** Whether this normalized address is on the list. */
  includes(address: string): boolean
}

const mappedPrefixBits = 96

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv4(address) ? 'ipv4' : 'ipv6'
}

function addEntry(list: BlockList, entry: string): boolean {
  const slash = entry.indexOf('/')
  const text = slash < 0 ? entry : entry.slice(0, slash)
  const address = normalizeAddress(text)
  if (address === undefined) return false
  if (slash < 0) {
    list.addAddress(address, familyOf(address))
    return true
  }
  const prefixText = entry.slice(slash + 1)
  if (!/^\d{1,3}$/.test(prefixText)) return false
  // `::ffff:10.0.0.0/104` is how a dual-stack host writes 10.0.0.0/8.
  const mapped = !isIPv4(text) && isIPv4(address)
  const prefix = Number(prefixText) - (mapped ? mappedPrefixBits : 0)
  if (prefix < 0 || prefix > (isIPv4(address) ? 32 : 128)) return false
  list.addSubnet(address, prefix, familyOf(address))
  return true
}

/** Throws SMQ_OPTION_INVALID for an entry that is neither an address nor a CIDR range. */
export function createProxyTrust(options: ProxyProtocolOptions | undefined): ProxyTrust | undefined {
  if (options === undefined) return undefined
  const list = new BlockList()
  for (const entry of options.trustedAddresses) {
    if (!addEntry(list, entry))
      throw new StatemqError('SMQ_OPTION_INVALID', `proxyProtocol.trustedAddresses: ${JSON.stringify(entry)}`)
  }
  return { includes: (address) => list.check(address, familyOf(address)) }
}
