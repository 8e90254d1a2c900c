import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

import type { Clock, InspectOptions, InspectRole, InspectUser } from '../options.ts'
import type { PasswordCheck } from './host.ts'
import { ApiError } from './problem.ts'
import { ranks } from './protection.ts'

/** Who asks, and for how long that is so: what is kept open is closed when it is not any more. */
export interface Identity {
  readonly name: string
  readonly role: InspectRole
  readonly isValid: () => boolean
}

export function mayDo(identity: Identity, role: InspectRole): boolean {
  return ranks[identity.role] >= ranks[role]
}

/** Two passwords are hashed at once, on threads that the broker's own authenticators use too; as many may wait. */
const MAX_HASHING = 2
const MAX_WAITING = 32
/** A script that sends a password with every request costs one hash in so long. */
const REMEMBERED_MS = 60_000

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

interface Known {
  readonly tokens: readonly { readonly digest: Buffer; readonly identity: Identity }[]
  readonly users: ReadonlyMap<string, InspectUser>
  /** What a password for an unknown user is compared with: it costs as much. */
  readonly fake: string
}

/** The tokens and users of an admin API. */
export class Credentials {
  readonly #passwords: PasswordCheck
  readonly #clock: Clock
  /** Passwords that were right are remembered under a key that dies with the process. */
  readonly #key = randomBytes(32)
  readonly #remembered = new Map<string, { readonly mac: Buffer; readonly untilMs: number }>()
  #known: Known
  #hashing = 0
  readonly #waiting: (() => void)[] = []
  /** Made where none were given. */
  readonly token: string | undefined

  /** The options have been judged. */
  constructor(options: Pick<InspectOptions, 'tokens' | 'users'>, passwords: PasswordCheck, clock: Clock) {
    this.#passwords = passwords
    this.#clock = clock
    const isOpen = (options.tokens ?? []).length === 0 && (options.users ?? []).length === 0
    this.token = isOpen ? randomBytes(32).toString('base64url') : undefined
    this.#known = this.#read(options)
  }

  /** Takes others; who was let in by one that is gone is let in no longer. */
  replace(options: Pick<InspectOptions, 'tokens' | 'users'>): void {
    this.#known = this.#read(options)
    this.#remembered.clear()
  }

  byToken(token: string): Identity | undefined {
    const digest = digestOf(token)
    let found: Identity | undefined = undefined
    // All of them, so that the time says nothing of which one it was near to.
    for (const known of this.#known.tokens) if (timingSafeEqual(known.digest, digest)) found = known.identity
    return found
  }

  /** Rejects with SMQ_API_LIMIT where too many are being checked. */
  async byPassword(name: string, password: string): Promise<Identity | undefined> {
    const known = this.#known
    const user = known.users.get(name)
    const mac = createHmac('sha256', this.#key).update(password).digest()
    const remembered = user && this.#remembered.get(name)
    if (remembered && remembered.untilMs > this.#clock.nowMs() && timingSafeEqual(remembered.mac, mac))
      return this.#identityOf(user)
    await this.#enter()
    try {
      const isRight = await this.#passwords.verifyPassword(user?.passwordHash ?? known.fake, Buffer.from(password))
      if (!isRight || !user || !isSame(this.#known.users.get(name), user)) return undefined
    } finally {
      this.#hashing -= 1
      this.#waiting.shift()?.()
    }
    this.#remembered.set(name, { mac, untilMs: this.#clock.nowMs() + REMEMBERED_MS })
    return this.#identityOf(user)
  }

  async #enter(): Promise<void> {
    if (this.#hashing >= MAX_HASHING) {
      if (this.#waiting.length >= MAX_WAITING) throw new ApiError(429, 'too many passwords are being checked')
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    this.#hashing += 1
  }

  #identityOf(user: InspectUser): Identity {
    return { name: user.name, role: user.role, isValid: () => isSame(this.#known.users.get(user.name), user) }
  }

  #read({ tokens = [], users = [] }: Pick<InspectOptions, 'tokens' | 'users'>): Known {
    const isOpen = tokens.length === 0 && users.length === 0
    const own = isOpen && this.token ? [{ name: 'first-run', role: 'operate' as const, token: this.token }] : []
    const digests = [...tokens, ...own].map(({ name, role, token }) => {
      const digest = digestOf(token)
      const isValid = (): boolean =>
        this.#known.tokens.some((one) => one.identity.role === role && one.digest.equals(digest))
      return { digest, identity: { name, role, isValid } }
    })
    return {
      tokens: digests,
      users: new Map(users.map((user) => [user.name, user])),
      fake: this.#passwords.fakeHash(users[0]?.passwordHash),
    }
  }
}

/** A reload that has not changed a user ends nobody's login. */
function isSame(now: InspectUser | undefined, then: InspectUser): boolean {
  return now !== undefined && now.role === then.role && now.passwordHash === then.passwordHash
}
