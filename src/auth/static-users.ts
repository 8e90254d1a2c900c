import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

import {
  allow,
  deny,
  next,
  type Allow,
  type AuthenticationRequest,
  type Authenticator,
  type GrantReview,
  type GrantVerdict,
  type Verdict,
} from '../hooks.ts'
import { ReasonCode } from '../reason-codes.ts'
import { credentialOf, verdictOn } from './followers.ts'

/** Makes an authenticator of a function. `methods`: MQTT 5 authentication methods that it speaks. */
export function authenticator(
  name: string,
  authenticate: (request: AuthenticationRequest) => Verdict | Promise<Verdict>,
  methods?: readonly string[],
): Authenticator {
  return methods ? { name, methods, authenticate } : { name, authenticate }
}

/** Of this process: two lists of users name the same password alike, and nobody else can. */
const key = randomBytes(32)

/** A user of {@link staticUsers}: the password, and what the grant gets. */
export interface StaticUser extends Omit<Allow, 'type' | 'principal' | 'authenticationData' | 'credential'> {
  readonly password: string
}

/**
 * Users in memory, for tests and trials: passwords in source code are no secrets. Elsewhere use
 * {@link passwordFile}. Who sends no user name is left to the next authenticator.
 */
export function staticUsers(users: Readonly<Record<string, StaticUser>>, name = 'static-users'): Authenticator {
  // Of one length whatever the password is, so that the comparison takes one time.
  const digest = (text: string | Buffer): Buffer => createHmac('sha256', key).update(text).digest()
  const known = new Map(
    Object.entries(users).map(([user, { password, ...grant }]) => [user, { grant, digest: digest(password) }]),
  )
  const nobody = randomBytes(32)
  const refusal = deny(ReasonCode.BadUserNameOrPassword, 'bad user name or password')
  const authenticate = ({ username, password }: AuthenticationRequest): Verdict => {
    if (username === undefined) return next()
    if (password === undefined || password.length === 0) return refusal
    const user = known.get(username)
    const matches = timingSafeEqual(digest(password), user?.digest ?? nobody)
    if (!user || !matches) return refusal
    return allow({ principal: username, ...user.grant, credential: credentialOf(user.digest) })
  }
  const review = ({ grant, credential }: GrantReview): GrantVerdict => {
    const user = known.get(grant.principal ?? '')
    return user ? verdictOn(credential, credentialOf(user.digest)) : 'withdrawn'
  }
  return { name, authenticate, review }
}
