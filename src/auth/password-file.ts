import { createHmac, randomBytes } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { setImmediate as nextTurn } from 'node:timers/promises'

import { StatemqError } from '../errors.ts'
import {
  allow,
  deny,
  next,
  type Authenticator,
  type AuthenticationRequest,
  type GrantReview,
  type GrantVerdict,
  type Verdict,
} from '../hooks.ts'
import type { Clock, Logger } from '../options.ts'
import { ReasonCode } from '../reason-codes.ts'
import { FileWatch } from './file-watch.ts'
import { credentialOf, Followers, hasEnded, verdictOn } from './followers.ts'
import { Gate } from './gate.ts'
import { fakeHash, verifyPassword } from './password-hash.ts'
import { maxPasswordFileBytes, readPasswordUsers, type PasswordUser, type PasswordUsers } from './password-users.ts'
import { tell } from './tell.ts'

/** What `passwordFile` takes. */
export interface PasswordFileOptions {
  /** Made by `statemq passwd`; the format is in docs/authenticators.md. */
  readonly path: string
  /** Default `password-file`. */
  readonly name?: string
  /** Default `deny`. `next` asks the next authenticator about a user who is not in the file. */
  readonly unknownUsers?: 'deny' | 'next'
  /** Read the file again when it changes. Default true. */
  readonly watch?: boolean
  /**
   * Hashes computed at a time, each in a thread of libuv's pool and with the memory that its hash
   * asks for. Default: one less than the processors, 1 to 3, so that the pool has threads for others.
   */
  readonly maxConcurrentHashes?: number
  /** Clients that wait for their hash; one more gets 0x89. Default 200: what is done within seconds. */
  readonly maxWaitingHashes?: number
  /** Told when the file was read again, could not be, or is open to others. Default: nobody. */
  readonly logger?: Pick<Logger, 'info' | 'warn'>
  /** For accounts that end. Default: the system's. */
  readonly clock?: Pick<Clock, 'nowMs'>
}

/** An authenticator that reads its users from a file. */
export interface PasswordFile extends Authenticator {
  /**
   * Reads the file now; resolves when the broker has looked at every grant that came of it. Rejects with
   * SMQ_PASSWORD_FILE_INVALID, and the users stay who they were.
   */
  reload(): Promise<void>
  close(): void
}

/**
 * User names and passwords from a file with argon2id hashes. Who sends no user name is left to the
 * next authenticator. Throws SMQ_PASSWORD_FILE_INVALID and SMQ_OPTION_INVALID.
 */
export function passwordFile(options: PasswordFileOptions): PasswordFile {
  return new FileAuthenticator(options)
}

/** One text for all: it must not tell which of the two was wrong (threat 64). */
const refusal = deny(ReasonCode.BadUserNameOrPassword, 'bad user name or password')
const busy = deny(ReasonCode.ServerBusy, 'too many passwords are being checked')

class FileAuthenticator implements PasswordFile {
  readonly name: string
  readonly #options: PasswordFileOptions
  readonly #gate: Gate
  readonly #watch: FileWatch | undefined
  readonly #key = randomBytes(32)
  readonly #followers = new Followers()
  #users: PasswordUsers
  #hashes: readonly string[]
  /** The last reading that was asked for. */
  #reading: Promise<void> = Promise.resolve()

  constructor(options: PasswordFileOptions) {
    this.#options = options
    this.name = options.name ?? 'password-file'
    this.#gate = new Gate(
      atLeast(1, 'maxConcurrentHashes', options.maxConcurrentHashes ?? defaultConcurrency()),
      atLeast(0, 'maxWaitingHashes', options.maxWaitingHashes ?? 200),
    )
    // Before the file is read: a change in between is then seen as one.
    this.#watch = options.watch === false ? undefined : new FileWatch(options.path, () => this.#follow())
    try {
      this.#users = this.#readSync()
    } catch (error) {
      this.#watch?.close()
      throw error
    }
    this.#hashes = hashesOf(this.#users)
  }

  authenticate(request: AuthenticationRequest): Verdict | Promise<Verdict> {
    const { username, password } = request
    if (username === undefined) return next()
    // Threat 65: nothing to check, so nothing is spent on it.
    if (password === undefined || password.length === 0) return refusal
    return this.#check(username, password, request.signal)
  }

  async #check(username: string, password: Buffer, signal: AbortSignal): Promise<Verdict> {
    const user = this.#users.get(username)
    const matches = await this.#gate.run(signal, () => verifyPassword(user?.hash ?? this.#fakeFor(username), password))
    if (matches === 'full') return busy
    if (!user) return this.#options.unknownUsers === 'next' ? next() : refusal
    // As the file is by now: it may have been read again meanwhile.
    const present = this.#users.get(username)
    return matches === true && present?.hash === user.hash ? this.#verdict(present) : refusal
  }

  #verdict({ user, hash, expiresAtMs, ...grant }: PasswordUser): Verdict {
    const verdict = allow({ principal: user, ...grant, credential: credentialOf(hash) })
    if (expiresAtMs === undefined) return verdict
    return expiresAtMs > this.#nowMs() ? { ...verdict, expiresAtMs } : refusal
  }

  #nowMs(): number {
    return (this.#options.clock ?? { nowMs: Date.now }).nowMs()
  }

  review({ grant, credential }: GrantReview): GrantVerdict {
    const user = this.#users.get(grant.principal ?? '')
    if (user === undefined || hasEnded(user, grant, this.#nowMs())) return 'withdrawn'
    return verdictOn(credential, credentialOf(user.hash))
  }

  follow(changed: () => Promise<void>): () => void {
    return this.#followers.add(changed)
  }

  /**
   * For a name that nobody has: it costs what the hash of some user costs. Of the same user each time,
   * since who asks twice could tell otherwise.
   */
  #fakeFor(username: string): string {
    const digest = createHmac('sha256', this.#key).update(username).digest()
    return fakeHash(this.#hashes[digest.readUInt32LE() % this.#hashes.length])
  }

  #readSync(): PasswordUsers {
    const { path } = this.#options
    const text = ((): string => {
      try {
        this.#judge(statSync(path))
        return readFileSync(path, 'utf8')
      } catch (error) {
        throw fileError(path, error)
      }
    })()
    const reading = readPasswordUsers(text, path)
    for (;;) {
      const step = reading.next()
      if (step.done) return step.value
    }
  }

  /** One after the other: of two, the one that has read the file last decides who the users are. */
  reload(): Promise<void> {
    const read = this.#reading.then(() => this.#read())
    this.#reading = read.catch(() => {})
    return read
  }

  async #read(): Promise<void> {
    const { path, logger } = this.#options
    let text
    try {
      this.#judge(await stat(path))
      text = await readFile(path, 'utf8')
    } catch (error) {
      throw fileError(path, error)
    }
    const reading = readPasswordUsers(text, path)
    let step = reading.next()
    for (; !step.done; step = reading.next()) await nextTurn()
    this.#users = step.value
    this.#hashes = hashesOf(step.value)
    const details = { authenticator: this.name, file: path, users: step.value.size }
    tell(logger, 'info', details, 'the password file was read again')
    await this.#followers.tell()
  }

  /** A broken file changes nothing: better the users of a minute ago than none, or half of them. */
  async #follow(): Promise<void> {
    try {
      await this.reload()
    } catch (error) {
      const { path, logger } = this.#options
      const details = { authenticator: this.name, file: path, err: error }
      tell(logger, 'warn', details, 'the password file was not read again; its users stay as they were')
    }
  }

  #judge({ size, mode }: { readonly size: number; readonly mode: number }): void {
    const { path, logger } = this.#options
    if (size > maxPasswordFileBytes)
      throw new StatemqError('SMQ_PASSWORD_FILE_INVALID', `${path}: more than ${maxPasswordFileBytes} bytes`)
    // Threat 96. Others may not read it, and a group not write it.
    if ((mode & 0o027) !== 0) {
      const details = { authenticator: this.name, file: path, mode: `0${(mode & 0o777).toString(8)}` }
      tell(logger, 'warn', details, 'the password file is open to others; chmod 600 keeps the hashes to yourself')
    }
  }

  close(): void {
    this.#watch?.close()
  }
}

function defaultConcurrency(): number {
  return Math.min(Math.max(availableParallelism() - 1, 1), 3)
}

function hashesOf(users: PasswordUsers): readonly string[] {
  return Array.from(users.values(), ({ hash }) => hash)
}

function fileError(path: string, cause: unknown): StatemqError {
  if (cause instanceof StatemqError) return cause
  return new StatemqError('SMQ_PASSWORD_FILE_INVALID', `${path}: ${(cause as Error).message}`, { cause })
}

function atLeast(min: number, name: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < min)
    throw new StatemqError('SMQ_OPTION_INVALID', `${name}: expected a whole number of ${min} or more`)
  return value
}
