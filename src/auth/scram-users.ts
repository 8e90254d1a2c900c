import { StatemqError } from '../errors.ts'
import type { Allow, AuthenticationRequest } from '../hooks.ts'
import { lineFields, readTime } from './password-users.ts'
import { parseCredentials, type ScramCredentials, type ScramMechanism } from './scram-credentials.ts'
import { base64 } from './scram-messages.ts'
import { verdictFault } from './verdict.ts'

/** A user: credentials for each mechanism that it may use, and what it gets when it has proven itself. */
export interface ScramUser extends Omit<Allow, 'type' | 'principal' | 'authenticationData' | 'credential'> {
  readonly credentials: readonly ScramCredentials[]
}

/** Finds a user by its name after SASLprep; undefined: there is none. */
export type ScramLookup = (
  username: string,
  request: AuthenticationRequest,
) => ScramUser | undefined | Promise<ScramUser | undefined>

/** What made-up credentials look like: as those of the most users. */
export interface ScramProfile {
  readonly iterations: number
  readonly saltBytes: number
}

/** What a file of SCRAM users holds. */
export interface ScramUsers {
  readonly users: ReadonlyMap<string, ScramUser>
  /** What the salts of users who do not exist are made from, so that they survive a restart. */
  readonly secret: Buffer
  readonly profiles: ReadonlyMap<ScramMechanism, ScramProfile>
}

/** The first line of a new file. */
export function scramFileHeader(secret: Buffer): string {
  return JSON.stringify({ format: 'statemq-scram', version: 1, secret: secret.toString('base64') })
}

/**
 * Reads a file of SCRAM users, in the manner of the password file: JSON lines, one user each, `#`
 * begins a comment. Throws SMQ_PASSWORD_FILE_INVALID with the line.
 */
export function readScramUsers(text: string, file: string): ScramUsers {
  const users = new Map<string, ScramUser>()
  let secret: Buffer | undefined
  for (const [index, line] of text.split('\n').entries()) {
    const content = line.trim()
    if (secret !== undefined && (content === '' || content.startsWith('#'))) continue
    try {
      if (secret === undefined) secret = readHeader(content)
      else addUser(users, content)
    } catch (error) {
      throw new StatemqError('SMQ_PASSWORD_FILE_INVALID', `${file}:${index + 1}: ${(error as Error).message}`, {
        position: { file, line: index + 1, column: 1 },
      })
    }
  }
  return { users, secret: secret!, profiles: profilesOf(users.values()) }
}

function readHeader(content: string): Buffer {
  const { format, version, secret } = lineFields(content) ?? {}
  if (format !== 'statemq-scram') throw new Error('expected the first line to say {"format":"statemq-scram",…}')
  if (version !== 1) throw new Error('this version of statemq reads version 1 only')
  if (typeof secret !== 'string' || base64(secret).length < 32) throw new Error('secret: expected 32 bytes as base64')
  return base64(secret)
}

function addUser(users: Map<string, ScramUser>, content: string): void {
  const fields = lineFields(content)
  if (!fields) throw new Error('expected a JSON object, such as {"user":"anna","scram":["SCRAM-SHA-256$…"]}')
  const { user, scram, expiresAt, roles, properties, limits, connack, ...unknown } = fields
  const [surplus] = Object.keys(unknown)
  if (surplus !== undefined) throw new Error(`${JSON.stringify(surplus.slice(0, 64))}: unknown key`)
  if (typeof user !== 'string') throw new Error('user: expected text')
  if (users.has(user)) throw new Error('this user was on an earlier line')
  if (!Array.isArray(scram) || scram.length === 0) throw new Error('scram: expected a list of credentials')
  const credentials = scram.map((one: unknown) => parseCredentials(String(one)))
  if (new Set(credentials.map(({ mechanism }) => mechanism)).size < credentials.length)
    throw new Error('scram: expected each mechanism once')
  const expiresAtMs = expiresAt === undefined ? undefined : readTime(expiresAt)
  if (Number.isNaN(expiresAtMs)) throw new Error('expiresAt: expected a time such as 2030-01-31T00:00:00Z')
  const given = Object.fromEntries(
    Object.entries({ roles, properties, limits, connack }).filter(([, value]) => value !== undefined),
  )
  // What a listener's limits say is for the listener to judge; here the shape counts.
  const rules = { nowMs: 0, limits: { maxSessionProperties: Infinity, maxSessionPropertyBytes: Infinity } }
  const misfit = verdictFault({ type: 'allow', principal: user, ...given }, rules)
  if (misfit !== undefined) throw new Error(misfit.replace(/^principal:/, 'user:'))
  users.set(user, { ...given, credentials, ...(expiresAtMs === undefined ? {} : { expiresAtMs }) })
}

function profilesOf(users: Iterable<ScramUser>): Map<ScramMechanism, ScramProfile> {
  const counts = new Map<ScramMechanism, Map<string, number>>()
  for (const { credentials } of users) {
    for (const { mechanism, iterations, salt } of credentials) {
      const ofMechanism = counts.get(mechanism) ?? new Map<string, number>()
      const key = `${iterations} ${salt.length}`
      counts.set(mechanism, ofMechanism.set(key, (ofMechanism.get(key) ?? 0) + 1))
    }
  }
  const profiles = new Map<ScramMechanism, ScramProfile>()
  for (const [mechanism, ofMechanism] of counts) {
    const [most] = [...ofMechanism].reduce((a, b) => (b[1] > a[1] ? b : a))
    const [iterations, saltBytes] = most.split(' ').map(Number) as [number, number]
    profiles.set(mechanism, { iterations, saltBytes })
  }
  return profiles
}
