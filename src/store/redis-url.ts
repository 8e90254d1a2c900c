import type { RedisOptions as AllOptions } from 'ioredis'

import { StatemqError } from '../errors.ts'

/** How answers are mapped to objects is no part of where a server is, and of another type for each way. */
export type RedisOptions = Omit<AllOptions, 'replyMapping'>

interface Address {
  readonly host: string
  readonly port: number
}

/** Where a server is, as a URL says it. */
export type RedisTarget =
  /** A server, or the master that sentinels know: what the client is to be made with. */
  | { readonly kind: 'server' | 'sentinel'; readonly options: RedisOptions }
  /** Nodes of a cluster, any of which can say where a key is. */
  | { readonly kind: 'cluster'; readonly nodes: readonly Address[]; readonly options: RedisOptions }

const REDIS_PORT = 6_379
const SENTINEL_PORT = 26_379

const shape = /^(rediss?)(?:\+(sentinel|cluster))?:\/\/(?:([^@]*)@)?([^/?#@]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/i

/**
 * Reads the URL of a Redis:
 *
 *     redis://[[user]:password@]host[:port][/database]            rediss:// with TLS
 *     redis+sentinel://[[user]:password@]host[:port][,host…]/master-name[/database]
 *     redis+cluster://[[user]:password@]host[:port][,host…]
 *     /path/of/a/socket
 *
 * Throws SMQ_OPTION_INVALID. No part of the URL is in its message: a password would be (threat 94).
 */
export function readRedisUrl(url: string): RedisTarget {
  if (url.startsWith('/')) return { kind: 'server', options: { path: url } }
  const match = shape.exec(url)
  if (match === null) throw invalid('expected redis://, rediss://, redis+sentinel://, redis+cluster:// or a path')
  const [, scheme, kind, user, hosts = '', path = '', query] = match
  const credentials = readCredentials(user)
  const tls = scheme!.toLowerCase() === 'rediss' ? { tls: {} } : {}
  const names = path.split('/').filter((name) => name !== '')
  const parameters = new URLSearchParams(query)
  if (kind?.toLowerCase() === 'sentinel') {
    const [name, database] = names
    if (name === undefined || names.length > 2) throw invalid('expected /master-name after the sentinels')
    const sentinels = [...readAddresses(hosts, SENTINEL_PORT)]
    const options = { ...credentials, ...tls, ...readDatabase(database), ...sentinelOptions(parameters, tls) }
    return { kind: 'sentinel', options: { ...options, sentinels, name: decode(name) } }
  }
  if (query !== undefined) throw invalid('nothing may follow a question mark')
  if (kind !== undefined) {
    if (names.length > 0) throw invalid('a cluster has no databases')
    return { kind: 'cluster', nodes: readAddresses(hosts, REDIS_PORT), options: { ...credentials, ...tls } }
  }
  const [address, ...others] = readAddresses(hosts, REDIS_PORT)
  if (address === undefined || others.length > 0)
    throw invalid('several hosts: say redis+sentinel:// or redis+cluster://')
  if (names.length > 1) throw invalid('expected a database number after the host')
  return { kind: 'server', options: { ...address, ...credentials, ...tls, ...readDatabase(names[0]) } }
}

function sentinelOptions(parameters: URLSearchParams, tls: Pick<RedisOptions, 'tls'>): RedisOptions {
  const known = { username: 'sentinelUsername', password: 'sentinelPassword' } as const
  const found: RedisOptions = tls.tls ? { enableTLSForSentinelMode: true, sentinelTLS: {} } : {}
  for (const [name, value] of parameters) {
    if (name === known.username) found.sentinelUsername = value
    else if (name === known.password) found.sentinelPassword = value
    else throw invalid('after the question mark only sentinelUsername and sentinelPassword may stand')
  }
  return found
}

function readCredentials(user: string | undefined): Pick<RedisOptions, 'username' | 'password'> {
  if (user === undefined) return {}
  const colon = user.indexOf(':')
  const username = decode(colon < 0 ? user : user.slice(0, colon))
  const password = colon < 0 ? '' : decode(user.slice(colon + 1))
  return { ...(username === '' ? {} : { username }), ...(password === '' ? {} : { password }) }
}

function readDatabase(text: string | undefined): Pick<RedisOptions, 'db'> {
  if (text === undefined) return {}
  if (!/^\d{1,5}$/.test(text)) throw invalid('the database is not a number')
  return { db: Number(text) }
}

function readAddresses(text: string, defaultPort: number): Address[] {
  return text.split(',').map((one) => {
    const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(one)
    const port = Number(match?.[3] ?? defaultPort)
    if (match === null || port > 65_535) throw invalid('expected host or host:port, several with commas between')
    return { host: (match[1] ?? match[2])!, port }
  })
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid('a percent sign is not followed by two hexadecimal digits; one in a password is written %25')
  }
}

function invalid(what: string): StatemqError {
  return new StatemqError('SMQ_OPTION_INVALID', `store.url: ${what}`)
}

/** The same URL for people to read: without what is secret in it. */
function withoutSecrets(url: string): string {
  return url.replace(/^([a-z+]+:\/\/)[^/]*@/i, '$1').replace(/\?.*$/, '')
}

/** Whether who sees the URL sees a secret; so does one that can't be read. */
export function hasSecret(url: string): boolean {
  try {
    const { password, sentinelPassword } = readRedisUrl(url).options
    return password !== undefined || sentinelPassword !== undefined
  } catch {
    return withoutSecrets(url) !== url
  }
}
