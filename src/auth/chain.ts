import type { Allow, AuthenticationRequest, Authenticator, Challenge, Deny, Verdict } from '../hooks.ts'
import { deny } from '../hooks.ts'
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
export async function authenticate(request: AuthenticationRequest, policy: AuthenticationPolicy): Promise<Decision> {
  const method = request.authenticationMethod
  let asked = false
  for (const authenticator of policy.authenticators) {
    const serves = method === undefined ? !authenticator.methods?.length : authenticator.methods?.includes(method)
    if (!serves) continue
    asked = true
    const verdict: Verdict = await authenticator.authenticate(request)
    if (verdict.type === 'next') continue
    return { verdict: checked(verdict, method), authenticator: authenticator.name }
  }
  if (method !== undefined) {
    // MQTT-4.12.0-1
    const refusal = asked
      ? deny(ReasonCode.NotAuthorized, 'no authenticator accepted the client')
      : deny(ReasonCode.BadAuthenticationMethod, 'no authenticator speaks this method')
    return { verdict: refusal, authenticator: 'none' }
  }
  if (policy.allowAnonymous) return { verdict: { type: 'allow' }, authenticator: 'anonymous' }
  return { verdict: deny(ReasonCode.NotAuthorized, 'no authenticator accepted the client'), authenticator: 'none' }
}

/** Hooks are written in JavaScript too: an answer of another shape is a refusal (semantics 7.12). */
function checked(verdict: Exclude<Verdict, { type: 'next' }>, method: string | undefined): Allow | Deny | Challenge {
  switch (verdict.type) {
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
