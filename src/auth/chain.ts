import type { Allow, AuthenticationRequest, Authenticator, Challenge, Deny, Verdict } from '../hooks.ts'
import { deny, isPromise } from '../hooks.ts'
import { ReasonCode } from '../reason-codes.ts'

/** A verdict that stands, with the name of who gave it. */
export interface Decision {
  readonly verdict: Allow | Deny | Challenge
  /** `anonymous` where the policy decided, `none` where nobody did. */
  readonly authenticator: string
}

export interface AuthenticationPolicy {
  readonly authenticators: readonly Authenticator[]
  readonly allowAnonymous: boolean
}

/**
 * Asks the authenticators in order. One that serves authentication methods is asked about CONNECTs
 * with such a method, the others about those without. The first verdict but `next` stands; where all
 * abstain, a client without a method may be let in anonymously, and any other is refused.
 */
export function authenticate(
  request: AuthenticationRequest,
  policy: AuthenticationPolicy,
): Decision | Promise<Decision> {
  const method = request.authenticationMethod
  const asked = policy.authenticators.filter((authenticator) =>
    method === undefined
      ? (authenticator.withoutMethod ?? !authenticator.methods?.length)
      : authenticator.methods?.includes(method),
  )
  for (const [at, authenticator] of asked.entries()) {
    const verdict = authenticator.authenticate(request)
    // As long as they answer at once the chain does too: a client that needs no wait is let in within the turn.
    if (isPromise(verdict)) return askOn(request, policy, asked, at, verdict)
    if (verdict?.type !== 'next') return { verdict: checked(verdict, method), authenticator: authenticator.name }
  }
  return undecided(method, asked.length > 0, policy)
}

async function askOn(
  request: AuthenticationRequest,
  policy: AuthenticationPolicy,
  asked: readonly Authenticator[],
  at: number,
  pending: Promise<Verdict>,
): Promise<Decision> {
  const method = request.authenticationMethod
  for (let verdict = await pending, i = at; ; verdict = await asked[i]!.authenticate(request)) {
    if (verdict?.type !== 'next') return { verdict: checked(verdict, method), authenticator: asked[i]!.name }
    if (++i === asked.length) return undecided(method, true, policy)
  }
}

/** Nobody had an opinion. */
function undecided(method: string | undefined, asked: boolean, policy: AuthenticationPolicy): Decision {
  if (method !== undefined && !asked) {
    // MQTT-4.12.0-1
    const refusal = deny(ReasonCode.BadAuthenticationMethod, 'no authenticator speaks this method')
    return { verdict: refusal, authenticator: 'none' }
  }
  if (method === undefined && policy.allowAnonymous) return { verdict: { type: 'allow' }, authenticator: 'anonymous' }
  return { verdict: deny(ReasonCode.NotAuthorized, 'no authenticator accepted the client'), authenticator: 'none' }
}

/** Hooks are written in JavaScript too: an answer of another shape is a refusal (semantics 7.12). */
function checked(verdict: Exclude<Verdict, { type: 'next' }>, method: string | undefined): Allow | Deny | Challenge {
  switch (verdict?.type) {
    case 'allow':
    case 'deny':
      return verdict
    case 'challenge':
      // MQTT-4.12.0-6: without a method there is no AUTH packet to ask with.
      if (method !== undefined) return verdict
      return deny(ReasonCode.NotAuthorized, 'a challenge needs an authentication method')
    default:
      return deny(ReasonCode.NotAuthorized, 'the authenticator gave no verdict')
  }
}
