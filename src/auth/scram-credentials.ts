import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'

import { StatemqError } from '../errors.ts'
import { base64 } from './scram-messages.ts'

/** The hash of a mechanism by its name: RFC 7677, and the same with SHA-512. */
const hashes = { 'SCRAM-SHA-256': 'sha256', 'SCRAM-SHA-512': 'sha512' } as const

/** A SCRAM mechanism, without the suffix of its variant with channel binding. */
export type ScramMechanism = keyof typeof hashes

export const scramMechanisms = Object.keys(hashes) as readonly ScramMechanism[]

/**
 * What a server keeps of a password: enough to recognise who knows it, not enough to log in with
 * (RFC 5802 section 3). Still a secret: who has it can try passwords against it, and pose as the server.
 */
export interface ScramCredentials {
  readonly mechanism: ScramMechanism
  /** Of PBKDF2, from 4,096 to 1,000,000. */
  readonly iterations: number
  /** 8 to 64 bytes. */
  readonly salt: Buffer
  readonly storedKey: Buffer
  readonly serverKey: Buffer
}

/** RFC 7677 section 4 demands it. */
const MIN_ITERATIONS = 4_096
/** The client pays for them: more would be a way to keep a small device busy. */
const MAX_ITERATIONS = 1_000_000
/** More than the least, and still well under a second on the slow processors that devices have. */
export const DEFAULT_ITERATIONS = 15_000
export const SALT_BYTES = 16
const MIN_SALT_BYTES = 8
const MAX_SALT_BYTES = 64

const derive = promisify(pbkdf2)

export function hashLength(mechanism: ScramMechanism): number {
  return mechanism === 'SCRAM-SHA-512' ? 64 : 32
}

export function hmac(mechanism: ScramMechanism, key: Buffer, text: string | Buffer): Buffer {
  return createHmac(hashes[mechanism], key).update(text).digest()
}

export function hash(mechanism: ScramMechanism, bytes: Buffer): Buffer {
  return createHash(hashes[mechanism]).update(bytes).digest()
}

/**
 * Makes the credentials that a server keeps of a password. `iterations` is 15,000 by default, `salt`
 * random. Rejects with SMQ_OPTION_INVALID, also for a password that SASLprep (RFC 4013) forbids.
 */
export async function scramCredentials(
  password: string,
  options: { readonly mechanism?: ScramMechanism; readonly iterations?: number; readonly salt?: Uint8Array } = {},
): Promise<ScramCredentials> {
  const { mechanism = 'SCRAM-SHA-256', iterations = DEFAULT_ITERATIONS } = options
  const salt = Buffer.from(options.salt ?? randomBytes(SALT_BYTES))
  const length = hashLength(mechanism)
  const fault = credentialsFault({
    mechanism,
    iterations,
    salt,
    storedKey: Buffer.alloc(length),
    serverKey: Buffer.alloc(length),
  })
  if (fault !== undefined) throw new StatemqError('SMQ_OPTION_INVALID', fault)
  const prepared = await saslprep(password, false)
  if (prepared === undefined)
    throw new StatemqError('SMQ_OPTION_INVALID', 'a password is empty or has forbidden characters')
  const salted = await derive(prepared, salt, iterations, length, hashes[mechanism])
  const storedKey = hash(mechanism, hmac(mechanism, salted, 'Client Key'))
  return { mechanism, iterations, salt, storedKey, serverKey: hmac(mechanism, salted, 'Server Key') }
}

/** What is wrong with credentials, in words that name no secret; undefined: nothing. */
export function credentialsFault(credentials: ScramCredentials): string | undefined {
  const { mechanism, iterations, salt, storedKey, serverKey } = credentials
  if (!Object.hasOwn(hashes, mechanism)) return `expected a mechanism of ${scramMechanisms.join(', ')}`
  if (!Number.isInteger(iterations) || iterations < MIN_ITERATIONS || iterations > MAX_ITERATIONS)
    return `expected ${MIN_ITERATIONS} to ${MAX_ITERATIONS} iterations`
  if (salt.length < MIN_SALT_BYTES || salt.length > MAX_SALT_BYTES)
    return `expected a salt of ${MIN_SALT_BYTES} to ${MAX_SALT_BYTES} bytes`
  const length = hashLength(mechanism)
  if (storedKey.length !== length || serverKey.length !== length) return `expected keys of ${length} bytes`
  return undefined
}

/** `MECHANISM$iterations:salt$StoredKey:ServerKey`, the attribute value of RFC 5803 and the form of PostgreSQL. */
export function formatCredentials({ mechanism, iterations, salt, storedKey, serverKey }: ScramCredentials): string {
  const [s, k, v] = [salt, storedKey, serverKey].map((bytes) => bytes.toString('base64'))
  return `${mechanism}$${iterations}:${s}$${k}:${v}`
}

const written = /^([A-Z0-9-]+)\$([1-9]\d{0,9}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)$/

/** Reads what {@link formatCredentials} writes. The error says what is wrong and repeats nothing of the text. */
export function parseCredentials(text: string): ScramCredentials {
  const parts = written.exec(text)
  if (!parts) throw new StatemqError('SMQ_OPTION_INVALID', 'expected MECHANISM$iterations:salt$StoredKey:ServerKey')
  const [, mechanism, iterations, ...bytes] = parts
  let credentials: ScramCredentials
  try {
    const [salt, storedKey, serverKey] = bytes.map(base64) as [Buffer, Buffer, Buffer]
    credentials = { mechanism: mechanism as ScramMechanism, iterations: Number(iterations), salt, storedKey, serverKey }
  } catch {
    throw new StatemqError('SMQ_OPTION_INVALID', 'expected base64')
  }
  const fault = credentialsFault(credentials)
  if (fault !== undefined) throw new StatemqError('SMQ_OPTION_INVALID', fault)
  return credentials
}

/** Text that SASLprep leaves as it is. */
const plain = /^[\x20-\x7e]+$/

/**
 * SASLprep (RFC 4013) of a user name or password; undefined where it forbids the text or leaves
 * nothing of it. Names that are looked up may hold characters that are newer than the standard's
 * tables, what is stored may not.
 */
export async function saslprep(text: string, allowUnassigned: boolean): Promise<string | undefined> {
  if (plain.test(text)) return text
  // Its tables take 10 MB: not before somebody has a use for them.
  const library = await import('@mongodb-js/saslprep')
  try {
    return library.saslprep(text, { allowUnassigned }) || undefined
  } catch {
    return undefined
  }
}
