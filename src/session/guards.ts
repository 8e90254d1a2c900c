import type { SessionContext, Takeover } from '../../machines/session.machine.ts'
import { exceededQuota } from './admission.ts'
import type { SessionCore } from './core.ts'
import { isRevokedSince } from './registry.ts'
import type { Session } from './session.ts'

/** What the chart gives to every implementation. */
export interface Acting {
  readonly context: SessionContext
}

/** The session that `admit` knew of. */
interface DecidedAgainst {
  readonly incumbent: string | undefined
  readonly takeover: Takeover | undefined
}

/** Whether the session has come or gone since, or is somebody else's. */
function isOther({ state, grant }: Session, { previousState, previousPrincipal }: Takeover): boolean {
  return (state === 'online') !== (previousState === 'online') || grant?.principal !== previousPrincipal
}

/** The chart's guards that look at more than its context. */
export function sessionGuards({ registry, clock }: SessionCore, host: (acting: Acting) => Session) {
  return {
    incumbentChanged: (acting: Acting, { incumbent, takeover }: DecidedAgainst) => {
      const newcomer = host(acting)
      const present = registry.sessions.get(newcomer.clientId)
      if (present?.id !== incumbent) return true
      if (present === undefined) return false
      // One that was revoked, came or went, or was taken over by somebody else must be decided on again too.
      return isRevokedSince(newcomer, present) || (takeover !== undefined && isOther(present, takeover))
    },
    takesOverTooOften: (acting: Acting) => {
      const { clientId, policy } = host(acting)
      if (registry.sessions.get(clientId)?.state !== 'online') return false
      return !registry.mayTakeOver(clientId, clock.nowMs(), policy.limits.maxTakeoversPerTenSeconds)
    },
    exceedsQuota: (acting: Acting) => {
      const { sessionExpiryIntervalSeconds, grant } = acting.context
      return exceededQuota(host(acting), sessionExpiryIntervalSeconds, grant!) !== undefined
    },
    resumesIncumbent: (acting: Acting) => {
      const newcomer = host(acting)
      const incumbent = registry.sessions.get(newcomer.clientId)
      if (incumbent === undefined || newcomer.startsAfresh) return false
      return incumbent.isPersistent && acting.context.connect?.cleanStart === false
    },
    isAdmittedAtOnce: (acting: Acting) => host(acting).immediate !== undefined,
    nothingToWake: (acting: Acting) => !host(acting).isWaking,
    outlivesProcess: (acting: Acting) =>
      acting.context.sessionExpiryIntervalSeconds > 0 && host(acting).keeper !== undefined,
    hasGrace: (acting: Acting) => host(acting).policy.limits.grantGraceMs > 0,
    staysWithoutRights: (acting: Acting) => host(acting).policy.grantExpiry === 'stay-without-rights',
    staysAfterFailure: (acting: Acting) => host(acting).policy.failedReauthentication === 'keep',
  }
}
