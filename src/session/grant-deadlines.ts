import type { Grant } from '../hooks.ts'
import type { Session } from './session.ts'

/** What a grant comes to next; see the chart's region `authority`. */
export type GrantStage = 'warning' | 'end' | 'grace'

/**
 * Schedules what a grant comes to next. One that never ends, as most, costs this call and no more. A grant that does
 * not live longer than `limits.grantExpiringMs` gets no warning: it would come with the CONNACK, and be none.
 */
export function armGrantDeadline(session: Session, grant: Grant | undefined, until: GrantStage): void {
  const { deadlines } = session.core
  if (session.grantDeadline !== undefined) {
    deadlines.cancel(session.grantDeadline)
    session.grantDeadline = undefined
  }
  const endsAtMs = grant?.expiresAtMs
  if (grant === undefined || endsAtMs === undefined) return
  const { grantExpiringMs, grantGraceMs } = session.policy.limits
  const isWarned = until === 'warning' && grantExpiringMs > 0 && endsAtMs - grant.authenticatedAtMs > grantExpiringMs
  const atMs = isWarned ? endsAtMs - grantExpiringMs : until === 'grace' ? endsAtMs + grantGraceMs : endsAtMs
  // A grace without end needs nobody to look.
  if (atMs === Infinity) return
  const type = isWarned ? 'deadline.expiring' : 'deadline.grant'
  session.grantDeadline = deadlines.schedule(atMs, () => session.send({ type }))
}

/** `limits.maxConnectionSeconds`, from CONNACK on. */
export function scheduleConnectionDeadline(session: Session): void {
  const { maxConnectionSeconds } = session.policy.limits
  if (maxConnectionSeconds === Infinity) return
  const atMs = session.nowMs() + maxConnectionSeconds * 1000
  session.connectionDeadline = session.core.deadlines.schedule(atMs, () =>
    session.send({ type: 'deadline.connection' }),
  )
}

export function cancelConnectionDeadlines({ core, grantDeadline, connectionDeadline }: Session): void {
  core.deadlines.cancel(grantDeadline)
  core.deadlines.cancel(connectionDeadline)
}
