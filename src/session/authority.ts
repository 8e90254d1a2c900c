import { endExchange } from './authentication.ts'
import { armGrantDeadline, type GrantStage } from './grant-deadlines.ts'
import type { Acting } from './guards.ts'
import { giveUpMessages } from './rights.ts'
import type { Session } from './session.ts'

type HostOf = (acting: Acting) => Session

/** What the chart does about the grant while it lasts; who gets one in the first place is `authentication.ts`'s. */
export function authorityActions(host: HostOf) {
  return {
    armGrantDeadline: (acting: Acting, { until }: { until: GrantStage }) =>
      armGrantDeadline(host(acting), acting.context.grant, until),
    armAuthenticationDeadline: (acting: Acting) => {
      const session = host(acting)
      const atMs = session.nowMs() + session.policy.limits.authTimeoutMs
      session.authenticationDeadline = session.core.deadlines.schedule(atMs, () =>
        session.send({ type: 'deadline.authentication' }),
      )
    },
    endReauthentication: (acting: Acting) => {
      const session = host(acting)
      session.core.deadlines.cancel(session.authenticationDeadline)
      endExchange(session)
    },
    reauthorise: (acting: Acting) => {
      const session = host(acting)
      session.hasRights = acting.context.standing === 'valid'
      session.mustReauthorise = true
    },
    giveUpMessages: (acting: Acting) => giveUpMessages(host(acting)),
    withholdWill: (acting: Acting) => host(acting).will?.withhold('revoked'),
    renewWill: (acting: Acting) => {
      const { grant } = acting.context
      if (grant) host(acting).will?.renew(grant)
    },
  }
}
