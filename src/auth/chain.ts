import type { Allow, AuthenticationRequest, Authenticator, Challenge, Deny, Verdict } from '../hooks.ts'
import { deny, isPromise } from '../hooks.ts'
import type { Limits } from '../limits.ts'
import type { Clock } from '../options.ts'
import { ReasonCode } from '../reason-codes.ts'
import { MAX_PRINCIPAL_BYTES, verdictFault } from './verdict.ts'

/** A verdict that stands, with the name of who gave it. */
export interface Decision {
  readonly verdict: Allow | Deny | Challenge
  /** `anonymous` where the policy decided, `none` where nobody did. */
  readonly authenticator: string
}

export interface AuthenticationPolicy {
  readonly authenticators: readonly Authenticator[]
  readonly allowAnonymous: boolean
  readonly anonymousRoles: readonly string[]
  readonly enhancedUsername: 'same' | 'any'
  readonly limits: Pick<Limits, 'maxSessionProperties' | 'maxSessionPropertyBytes'>
}

/** Filled in as a chain goes on: who was asked last, also where it never answered. */
export interface Asking {
  authenticator: string | undefined
}

/**
 * Asks the authenticators in order. One that serves authentication methods is asked about CONNECTs
 * with such a method, the others about those without. The first verdict but `next` stands; where all
 * abstain, a client without a method may be let in anonymously, and any other is refused. Throws or
 * rejects for a verdict that can't be used, which as any failure of a hook is a refusal with 0x87.
 */
export function authenticate(
  request: AuthenticationRequest,
  policy: AuthenticationPolicy,
  clock: Pick<Clock, 'nowMs'>,
  asking: Asking = { authenticator: undefined },
): Decision | Promise<Decision> {
  const method = request.authenticationMethod
  const asked = policy.authenticators.filter((authenticator) =>
    method === undefined
      ? (authenticator.withoutMethod ?? !authenticator.methods?.length)
      : authenticator.methods?.includes(method),
  )
  for (const [at, authenticator] of asked.entries()) {
    asking.authenticator = authenticator.name
    const verdict = authenticator.authenticate(request)
    // As long as they answer at once the chain does too: a client that needs no wait is let in within the turn.
    if (isPromise(verdict)) return askOn(request, policy, clock, asked, at, verdict, asking)
    if (verdict?.type !== 'next') return decision(verdict, authenticator, request, policy, clock)
  }
  return undecided(method, asked.length > 0, policy)
}

async function askOn(
  request: AuthenticationRequest,
  policy: AuthenticationPolicy,
  clock: Pick<Clock, 'nowMs'>,
  asked: readonly Authenticator[],
  at: number,
  pending: Promise<Verdict>,
  asking: Asking,
): Promise<Decision> {
  for (let verdict = await pending, i = at; ; verdict = await asked[i]!.authenticate(request)) {
    if (verdict?.type !== 'next') return decision(verdict, asked[i]!, request, policy, clock)
    if (++i === asked.length) return undecided(request.authenticationMethod, true, policy)
    asking.authenticator = asked[i]!.name
  }
}

/** Nobody had an opinion. */
export function undecided(method: string | undefined, asked: boolean, policy: AuthenticationPolicy): Decision {
  if (method !== undefined && !asked) {
    // MQTT-4.12.0-1
    const refusal = deny(ReasonCode.BadAuthenticationMethod, 'no authenticator speaks this method')
    return { verdict: refusal, authenticator: 'none' }
  }
  if (method === undefined && policy.allowAnonymous)
    return { verdict: { type: 'allow', roles: policy.anonymousRoles }, authenticator: 'anonymous' }
  return { verdict: deny(ReasonCode.NotAuthorized, 'no authenticator accepted the client'), authenticator: 'none' }
}

/** Semantics 7.12: an unknown modifier or a value of another type lets nobody in, and is told to the operator. */
function decision(
  verdict: Exclude<Verdict, { type: 'next' }>,
  authenticator: Authenticator,
  request: AuthenticationRequest,
  { limits, enhancedUsername }: AuthenticationPolicy,
  clock: Pick<Clock, 'nowMs'>,
): Decision {
  const { name } = authenticator
  const fault = verdictFault(verdict, { nowMs: clock.nowMs(), limits })
  if (fault !== undefined) throw new TypeError(`authenticator ${name}: ${fault}`)
  const isEnhanced = request.authenticationMethod !== undefined
  // It would be the principal, which has a bound whoever gives it.
  if (verdict.type === 'allow' && !isEnhanced && verdict.principal === undefined && isTooLong(request.username))
    return { verdict: deny(ReasonCode.BadUserNameOrPassword, 'the user name is too long'), authenticator: name }
  if (isEnhanced && enhancedUsername === 'same' && !authenticator.comparesUsername && namesAnother(request, verdict))
    return { verdict: deny(ReasonCode.NotAuthorized, 'the user name is not the principal'), authenticator: name }
  // MQTT-4.12.0-6: without a method there is no AUTH packet to ask with.
  if (verdict.type === 'challenge' && !isEnhanced)
    throw new TypeError(`authenticator ${name}: a challenge needs an authentication method`)
  return { verdict, authenticator: name }
}

/** Semantics 7.9: what the exchange has proved names the client, and not what CONNECT said beside it. */
function namesAnother({ username }: AuthenticationRequest, verdict: Exclude<Verdict, { type: 'next' }>): boolean {
  return (
    verdict.type === 'allow' &&
    verdict.principal !== undefined &&
    username !== undefined &&
    username !== verdict.principal
  )
}

function isTooLong(username: string | undefined): boolean {
  // Most are shorter whatever they are made of: a UTF-16 unit takes at most three bytes.
  return (
    username !== undefined &&
    username.length * 3 > MAX_PRINCIPAL_BYTES &&
    Buffer.byteLength(username) > MAX_PRINCIPAL_BYTES
  )
}
