import type { SessionKey, SessionStore, StoredSession, StoredState, StoredWill } from '../stored.ts'
import type { SessionCore, SessionPolicy } from './core.ts'
import { dropSession } from './ending.ts'
import { currentPolicy } from './entrances.ts'
import { Inbound } from './inbound.ts'
import { DormantChart } from './dormant.ts'
import { Keeper } from './keeper.ts'
import { enterState } from './reporting.ts'
import { decodeHead, decodeSubscription, type SessionHead } from './session-record.ts'
import { Session } from './session.ts'
import { Subscriptions } from './subscriptions.ts'
import type { Wills } from './wills.ts'

const NEVER_EXPIRES = 0xffffffff

/** What a broker needs to bring its sessions back. */
export interface Restoring {
  readonly core: SessionCore
  readonly store: SessionStore & StoredState
  readonly wills: Wills
  /** What holds for sessions until they come back through a listener. */
  readonly policy: SessionPolicy
}

/** How long what is restored in one turn of the event loop may take. */
const SLICE_MS = 5

/** Brings back everything that the store has, and logs how much that was. A session whose record can't be read is told of and left out. */
export async function restoreAll(restoring: Restoring): Promise<void> {
  const startedAt = performance.now()
  const { core, store, wills, policy } = restoring
  for await (const page of store.retained()) {
    for (const publication of page)
      if (publication.expiresAtMs > core.clock.nowMs()) core.router.retained.set(publication)
  }
  const left = new Map<SessionKey, StoredWill[]>()
  for await (const page of store.wills()) {
    for (const will of page) left.set(will.session, [...(left.get(will.session) ?? []), will])
  }
  let messages = 0
  let sliceEndsAt = performance.now() + SLICE_MS
  for await (const page of store.sessions()) {
    for (const stored of page) {
      const session = await restoreSession(restoring, stored).catch((error: unknown) => {
        core.logger.error({ clientId: stored.clientId, err: error }, 'a session could not be restored')
      })
      if (session) {
        messages += stored.queued.messages
        for (const will of left.get(stored.key) ?? []) wills.restore(will, policy, session)
        left.delete(stored.key)
        // It would have ended with its connection, and that ended with the process.
        if (!session.isPersistent) session.send({ type: 'session.expire' })
      }
      if (performance.now() < sliceEndsAt) continue
      await new Promise<void>((resolve) => setImmediate(resolve))
      sliceEndsAt = performance.now() + SLICE_MS
    }
  }
  // Their sessions had ended, and they were on their way.
  for (const will of [...left.values()].flat()) wills.restore(will, policy, undefined)
  await core.jobs.open()
  const durationMs = Math.round(performance.now() - startedAt)
  const restored = { sessions: core.registry.sessions.size, messages, retained: core.router.retained.count }
  core.logger.info({ ...restored, durationMs }, 'the store is open')
}

/**
 * Brings back one session as the process that ended left it: offline, whatever it was then. One that
 * was online has been away since now, as far as anybody can know.
 */
async function restoreSession(restoring: Restoring, stored: StoredSession): Promise<Session> {
  const { core, store, policy } = restoring
  const head = decodeHead(stored.record)
  const { wasOnline, sessionExpiryIntervalSeconds } = head
  const expiresAtMs =
    sessionExpiryIntervalSeconds === NEVER_EXPIRES
      ? undefined
      : wasOnline
        ? core.clock.nowMs() + sessionExpiryIntervalSeconds * 1000
        : head.expiresAtMs
  const session = bringBack(core, policy, stored, { ...head, expiresAtMs })
  try {
    fill(session, store, stored)
    // That it has been offline since has to be written, and who looks at charts is shown that it came back.
    if (wasOnline || core.charts.isObserved) session.awaken()
    else core.registry.changed(session)
  } catch (error) {
    // Left out whole, and left where it is: nobody may be handed to an actor that never started.
    session.keeper = undefined
    dropSession(session)
    throw error
  }
  return session
}

/**
 * A listener is open: what holds there holds again for the sessions that came through one of its name in
 * an earlier process, and for their wills. Until then they have gone by what the broker says for all.
 */
export function adoptRestored(
  core: SessionCore,
  wills: Wills,
  listener: string,
  from: SessionPolicy,
  to: SessionPolicy,
): void {
  for (const session of core.registry.sessions.values()) {
    // A reload may have come in between.
    if (currentPolicy(session.policy) === from && session.state === 'offline' && session.listener === listener) {
      session.policy = to
      session.outbound?.limit(to.limits, to.features.overflowPolicy)
    }
  }
  wills.adoptRestored(listener, from, to)
  // Who is not let in any more since that process ended: nobody waits for it, since nobody of them is online.
  if (to.authenticators.some(({ review }) => review !== undefined)) void core.reviews.all()
}

/** Gives a session what belongs to it besides its chart. */
function fill(session: Session, store: SessionStore, stored: StoredSession): void {
  session.keeper = new Keeper(store, stored.key, stored.nextSequence)
  if (stored.received.length > 0) {
    session.inbound = new Inbound(session)
    session.inbound.restore(stored.received)
  }
  if (stored.subscriptions.length > 0) {
    session.subscriptions = new Subscriptions(session)
    for (const { record } of stored.subscriptions) session.subscriptions.restore(decodeSubscription(record))
  }
  if (stored.queued.messages > 0 || stored.inflight.length > 0) {
    const outbound = session.makeOutbound()
    outbound.restore(stored)
    // Of a session that lost its grant the process before had begun to give them up.
    if (session.standing === 'revoked') void outbound.end('denied')
    else session.outbound = outbound
  }
}

/** The session as its chart left it. What the entry of `offline` sets off is set off again: an actor that goes on runs no entry. */
function bringBack(
  core: SessionCore,
  policy: SessionPolicy,
  { clientId, record }: StoredSession,
  head: SessionHead,
): Session {
  const { registry } = core
  const session = new Session(head.sessionId, undefined, policy, core, new DormantChart(record, head))
  const { expiresAtMs } = head
  session.clientId = clientId
  enterState(session, 'offline')
  session.isMqtt5 = head.isMqtt5
  session.hasRights = head.standing === 'valid'
  session.isOffline = true
  registry.offline++
  registry.sessions.set(clientId, session)
  registry.countLasting(session)
  if (expiresAtMs !== undefined) core.jobs.scheduleExpiry(session, head.epoch, expiresAtMs)
  return session
}
