import { randomBytes } from 'node:crypto'

import { hash, parseOptions, verify } from '@node-rs/argon2'

/**
 * What a new hash costs: OWASP's advice for argon2id (Password Storage Cheat Sheet, 2025), the one
 * with the most memory: 19 MiB, two passes, one lane.
 */
export interface HashCost {
  /** Default 19,456 KiB (19 MiB). */
  readonly memoryKibibytes?: number
  /** Default 2. */
  readonly passes?: number
  /** Default 1. */
  readonly lanes?: number
}

const defaultCost: Required<HashCost> = { memoryKibibytes: 19_456, passes: 2, lanes: 1 }

/** What a stored hash may ask for: a file must not be able to make a CONNECT cost gigabytes or minutes. */
const MAX_MEMORY_KIB = 262_144
const MAX_PASSES = 16
const MAX_LANES = 16
/** Memory times passes is what the time goes with: about three seconds of one core. */
const MAX_WORK_KIB = 1_048_576
const MAX_HASH_CHARACTERS = 512

/** What is wrong with a hash in PHC form, without showing it; undefined: nothing. */
export function hashFault(text: string): string | undefined {
  if (text.length > MAX_HASH_CHARACTERS || !text.startsWith('$argon2id$v=19$'))
    return 'expected an argon2id hash, version 19, in PHC form: $argon2id$v=19$m=…,t=…,p=…$salt$hash'
  let options
  try {
    options = parseOptions(text)
  } catch {
    return 'the argon2id hash cannot be read'
  }
  const { memoryCost, timeCost, parallelism, outputLen } = options
  if (memoryCost > MAX_MEMORY_KIB) return `the hash asks for ${memoryCost} KiB; at most ${MAX_MEMORY_KIB} are given`
  if (timeCost > MAX_PASSES) return `the hash asks for ${timeCost} passes; at most ${MAX_PASSES} are made`
  if (parallelism > MAX_LANES) return `the hash asks for ${parallelism} lanes; at most ${MAX_LANES} are used`
  if (memoryCost * timeCost > MAX_WORK_KIB) return `the hash asks for more than ${MAX_WORK_KIB} KiB over all its passes`
  return outputLen < 16 ? 'the hash is shorter than 16 bytes' : undefined
}

/** Hashes in a thread of its own; the loop goes on. */
export function hashPassword(password: Uint8Array, cost: HashCost = {}): Promise<string> {
  const { memoryKibibytes, passes, lanes } = { ...defaultCost, ...cost }
  return hash(password, { memoryCost: memoryKibibytes, timeCost: passes, parallelism: lanes })
}

/** Compares in a thread of its own, in constant time. The hash has passed {@link hashFault}. */
export function verifyPassword(hashed: string, password: Uint8Array): Promise<boolean> {
  return verify(hashed, password)
}

/** A hash that no password has and that costs what `like` costs to check; by default what a new one does. */
export function fakeHash(like?: string): string {
  const { memoryKibibytes, passes, lanes } = defaultCost
  const parameters = like?.split('$')[3] ?? `m=${memoryKibibytes},t=${passes},p=${lanes}`
  return `$argon2id$v=19$${parameters}$${base64(16)}$${base64(32)}`
}

function base64(length: number): string {
  return randomBytes(length).toString('base64').replace(/=+$/, '')
}
