import { StatemqError } from '../errors.ts'
import type { Allow } from '../hooks.ts'
import { hashFault } from './password-hash.ts'
import { verdictFault } from './verdict.ts'

/** The first line of a password file, version included. */
export const passwordFileHeader = '{"format":"statemq-passwords","version":1}'

/** What a user gets who proves the password. */
type UserGrant = Pick<Allow, 'roles' | 'properties' | 'limits' | 'connack'>

/** One user of a password file. */
export interface PasswordUser extends UserGrant {
  readonly user: string
  /** argon2id in PHC form. */
  readonly hash: string
  /** When the account ends, milliseconds since the epoch. */
  readonly expiresAtMs: number | undefined
}

export type PasswordUsers = ReadonlyMap<string, PasswordUser>

/** So that a file which is no password file is not read into memory. */
export const maxPasswordFileBytes = 16_777_216

/** How many lines are read before the event loop gets its turn. */
const LINES_PER_STEP = 200

/**
 * Reads a password file: JSON lines, so that any user name can be written without doubt, a line is a
 * user, and tools for lines (grep, diff, append) work. Lines that begin with `#` are comments. Runs
 * in steps: each `next()` reads some hundred lines. Throws SMQ_PASSWORD_FILE_INVALID with the line.
 */
export function* readPasswordUsers(text: string, file: string): Generator<undefined, PasswordUsers> {
  const users = new Map<string, PasswordUser>()
  const fail = (line: number, message: string): never => {
    throw new StatemqError('SMQ_PASSWORD_FILE_INVALID', `${file}:${line}: ${message}`, {
      position: { file, line, column: 1 },
    })
  }
  let line = 0
  for (let from = 0; from <= text.length;) {
    const end = text.indexOf('\n', from)
    const content = text.slice(from, end < 0 ? text.length : end).trim()
    from = end < 0 ? text.length + 1 : end + 1
    line += 1
    if (line === 1) {
      const fault = headerFault(content)
      if (fault !== undefined) fail(line, fault)
    } else if (content !== '' && !content.startsWith('#')) {
      const user = readUser(content)
      if (typeof user === 'string') fail(line, user)
      else if (users.has(user.user)) fail(line, 'this user was on an earlier line')
      else users.set(user.user, user)
    }
    if (line % LINES_PER_STEP === 0) yield
  }
  return users
}

/** The members of a line; undefined for what is no JSON object. */
export function lineFields(content: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(content)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

function headerFault(content: string): string | undefined {
  const header = lineFields(content)
  if (header?.['format'] !== 'statemq-passwords') return `expected the first line to be ${passwordFileHeader}`
  return header['version'] === 1 ? undefined : 'this version of statemq reads version 1 only'
}

/** The user of a line, or what is wrong with it. */
function readUser(content: string): PasswordUser | string {
  const fields = lineFields(content)
  if (!fields) return 'expected a JSON object, such as {"user":"anna","hash":"$argon2id$…","roles":["operator"]}'
  const { user, hash, expiresAt, roles, properties, limits, connack, ...unknown } = fields
  const [surplus] = Object.keys(unknown)
  if (surplus !== undefined) return `${JSON.stringify(surplus.slice(0, 64))}: unknown key`
  if (typeof hash !== 'string') return 'hash: expected text'
  const fault = hashFault(hash)
  if (fault !== undefined) return `hash: ${fault}`
  if (user === undefined) return 'user: is missing'
  const expiresAtMs = expiresAt === undefined ? undefined : readTime(expiresAt)
  if (Number.isNaN(expiresAtMs)) return 'expiresAt: expected a time such as 2030-01-31T00:00:00Z'
  const grant = { roles, properties, limits, connack }
  const rules = { nowMs: 0, limits: { maxSessionProperties: Infinity, maxSessionPropertyBytes: Infinity } }
  // What a listener's limits say is for the listener to judge; here the shape counts.
  const misfit = verdictFault({ type: 'allow', principal: user, ...grant }, rules)
  if (misfit !== undefined) return misfit.replace(/^principal:/, 'user:')
  const given = Object.fromEntries(Object.entries(grant).filter(([, value]) => value !== undefined)) as UserGrant
  return { user: user as string, hash, expiresAtMs, ...given }
}

/** RFC 3339 with a zone; NaN for anything else. */
export function readTime(text: unknown): number {
  const isTime = typeof text === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(text)
  return isTime ? Date.parse(text) : NaN
}
