import { errors } from 'jose'

import { ReasonCode } from '../reason-codes.ts'

/** Why a token is refused, in words that tell nothing of what is in it. */
const reasons = {
  malformed: 'the token is malformed',
  tooLong: 'the token is too long',
  header: 'the token has a header that is not accepted',
  algorithm: 'the algorithm of the token is not allowed',
  unknownKey: 'the token names an unknown key',
  noKeys: 'the keys for tokens are unavailable',
  signature: 'the signature of the token is wrong',
  expired: 'the token has expired',
  early: 'the token is not yet valid',
  issuer: 'the token has the wrong issuer',
  audience: 'the token is for another audience',
  type: 'the token has the wrong type',
  lifetime: 'the lifetime of the token is too long',
  claim: 'a claim of the token is missing or unusable',
  username: 'the token belongs to another user name',
  principal: 'the token belongs to another principal',
} as const

export type JwtReason = keyof typeof reasons

/** Thrown and caught within this authenticator: it keeps no cause, since those of jose carry the claims. */
export class TokenRefusal extends Error {
  override readonly name = 'TokenRefusal'
  readonly kind: JwtReason

  constructor(kind: JwtReason) {
    super(reasons[kind])
    this.kind = kind
  }
}

/** What jose has found, without what it has found it in. Anything else goes on as it is. */
export function refusalOf(error: unknown): unknown {
  if (error instanceof errors.JWTExpired) return new TokenRefusal('expired')
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.reason === 'check_failed' || error.claim === 'iss' || error.claim === 'aud') {
      const kind = ({ nbf: 'early', iss: 'issuer', aud: 'audience', typ: 'type' } as const)[error.claim]
      if (kind) return new TokenRefusal(kind)
    }
    return new TokenRefusal('claim')
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) return new TokenRefusal('signature')
  if (error instanceof errors.JOSEAlgNotAllowed) return new TokenRefusal('algorithm')
  if (error instanceof errors.JOSENotSupported) return new TokenRefusal('header')
  if (error instanceof errors.JOSEError) return new TokenRefusal('malformed')
  return error
}

/** An outage is not the client's fault: it may try again elsewhere or later. DISCONNECT has no such code. */
export function reasonCodeOf({ kind }: TokenRefusal, viaMethod: boolean, reauthentication: boolean) {
  if (kind === 'noKeys' && !reauthentication) return ReasonCode.ServerUnavailable
  return viaMethod ? ReasonCode.NotAuthorized : ReasonCode.BadUserNameOrPassword
}
