import { changesBetween, isChange, isSameList } from '../../machines/session.changes.ts'
import type { Changes, SessionContext, SessionEnd, Standing } from '../../machines/session.machine.ts'
import { StatemqError } from '../errors.ts'
import type { SessionState } from '../events.ts'
import type { Clock } from '../options.ts'
import type { AttributeValue, SessionProperties } from '../properties.ts'
import { fixedPropertiesOf, propertiesOf, rolesOf } from './fixed-properties.ts'
import type { Session } from './session.ts'
import type { SessionSelection } from './session-selection.ts'
import type { SessionView } from './session-view.ts'

interface Changed<T> {
  readonly value: T
  readonly previous: T
}

/** What is different from the last time that a watch spoke of the session. What is the same is left out. */
export interface SessionChanges {
  readonly state?: Changed<SessionState>
  readonly standing?: Changed<Standing>
  readonly roles?: Changed<readonly string[]>
  /** Fixed and user-defined ones; `$State` and `$Roles` are told above. */
  readonly properties?: Changes<string>
  readonly sessionAttributes?: Changes<AttributeValue>
  readonly connectionAttributes?: Changes<AttributeValue>
}

/** What a watch tells. `atMs` is when it happened; `session` tells what is so when it is asked. */
export type SessionChange = { readonly atMs: number; readonly session: SessionView } & (
  | { readonly type: 'initial' | 'added' }
  | { readonly type: 'changed'; readonly changes: SessionChanges }
  | { readonly type: 'removed'; readonly reason: 'no-match'; readonly changes: SessionChanges }
  | {
      readonly type: 'removed'
      readonly reason: 'ended'
      /** Undefined: its actor failed. */
      readonly end: SessionEnd | undefined
    }
)

/** A session as a watch has last spoken of it. Contexts are never written to, so that keeping one is enough. */
interface Seen {
  readonly state: SessionState
  readonly context: SessionContext
}

interface WatchObserver {
  next(change: SessionChange): void
  error(error: unknown): void
  complete(): void
}

/** Changes that wait for an observer that does not keep up; the sessions that it begins with come on top. */
const MAX_QUEUED_CHANGES = 100_000
/** How long one observer may keep the event loop before others have their turn. */
const SLICE_MS = 5

/** Everyone who watches sessions. Without any, a change of a session costs a look at an empty set. */
export class SessionWatches {
  readonly #watches = new Set<SessionWatch>()

  /** Undone by what it returns. */
  add(watch: SessionWatch): () => void {
    this.#watches.add(watch)
    watch.start()
    return () => {
      watch.stop()
      this.#watches.delete(watch)
    }
  }

  /** A session may be another than before. */
  changed(session: Session): void {
    for (const watch of this.#watches) watch.changed(session)
  }

  ended(session: Session): void {
    for (const watch of this.#watches) watch.ended(session)
  }

  /** The broker has stopped: what waits is told, and there will be no more. */
  close(): void {
    for (const watch of this.#watches) watch.complete()
    this.#watches.clear()
  }
}

/**
 * One observer with its filter. Changes are queued while a session acts, and told in later turns, a
 * few milliseconds at a time: a slow observer delays itself, and one that throws is somebody else's
 * to catch (see `GuardedObservable`).
 */
export class SessionWatch {
  readonly #selection: SessionSelection
  readonly #viewOf: (session: Session) => SessionView
  readonly #clock: Clock
  readonly #observer: WatchObserver
  readonly #seen = new Map<Session, Seen>()
  #queue: (() => SessionChange)[] = []
  #at = 0
  readonly #maxChanges: number
  /** The same, and the sessions that it begins with. */
  #maxQueued: number
  #isScheduled = false
  #isStopped = false

  constructor(
    selection: SessionSelection,
    viewOf: (session: Session) => SessionView,
    clock: Clock,
    observer: WatchObserver,
    maxChanges = MAX_QUEUED_CHANGES,
  ) {
    this.#maxChanges = maxChanges
    this.#maxQueued = maxChanges
    this.#selection = selection
    this.#viewOf = viewOf
    this.#clock = clock
    this.#observer = observer
  }

  start(): void {
    const atMs = this.#clock.nowMs()
    for (const session of this.#selection) {
      this.#seen.set(session, seenNow(session))
      this.#queue.push(() => ({ type: 'initial', atMs, session: this.#viewOf(session) }))
    }
    this.#maxQueued += this.#queue.length
    this.#schedule()
  }

  changed(session: Session): void {
    const seen = this.#seen.get(session)
    const now = seenNow(session)
    if (seen !== undefined && isSame(seen, now)) return
    const atMs = this.#clock.nowMs()
    const matches = this.#selection.matches(session)
    if (seen === undefined) {
      if (!matches) return
      this.#seen.set(session, now)
      return this.#push(() => ({ type: 'added', atMs, session: this.#viewOf(session) }))
    }
    const changes = differences(seen, now)
    if (!matches) {
      this.#seen.delete(session)
      return this.#push(() => ({ type: 'removed', reason: 'no-match', atMs, session: this.#viewOf(session), changes }))
    }
    this.#seen.set(session, now)
    if (Object.keys(changes).length === 0) return
    this.#push(() => ({ type: 'changed', atMs, session: this.#viewOf(session), changes }))
  }

  ended(session: Session): void {
    if (!this.#seen.delete(session)) return
    const atMs = this.#clock.nowMs()
    // Why is known once the transition under way is over.
    this.#push(() => {
      const end = session.context.end?.reason
      return { type: 'removed', reason: 'ended', atMs, session: this.#viewOf(session), end }
    })
  }

  stop(): void {
    this.#isStopped = true
    this.#queue = []
    this.#at = 0
    this.#seen.clear()
  }

  complete(): void {
    this.#tell(Infinity)
    if (!this.#isStopped) this.#observer.complete()
  }

  #push(change: () => SessionChange): void {
    if (this.#isStopped) return
    if (this.#queue.length - this.#at >= this.#maxQueued) return this.#giveUp()
    this.#queue.push(change)
    this.#schedule()
  }

  /** A watch with a gap would be worse than none: its observer may begin anew with what is there. */
  #giveUp(): void {
    this.stop()
    setImmediate(() => this.#observer.error(new StatemqError('SMQ_WATCH_OVERFLOW')))
  }

  #schedule(): void {
    if (this.#isScheduled || this.#at === this.#queue.length) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#tell(performance.now() + SLICE_MS)
    })
  }

  #tell(untilMs: number): void {
    do {
      const change = this.#queue[this.#at]
      if (change === undefined) break
      this.#at++
      this.#observer.next(change())
    } while (performance.now() < untilMs)
    // What was told is let go, at the latest when it is as much as what is still to be told.
    if (this.#at * 2 >= this.#queue.length) {
      this.#queue = this.#queue.slice(this.#at)
      this.#at = 0
    }
    if (this.#queue.length === 0) this.#maxQueued = this.#maxChanges
    this.#schedule()
  }
}

function seenNow({ state, context }: Session): Seen {
  return { state, context }
}

/** Whether nothing that a filter or a watch looks at can have changed. */
function isSame(a: Seen, b: Seen): boolean {
  const { context: before } = a
  const { context: now } = b
  return (
    a.state === b.state &&
    before.grant === now.grant &&
    before.standing === now.standing &&
    before.sessionAttributes === now.sessionAttributes &&
    before.connectionAttributes === now.connectionAttributes &&
    before.connection === now.connection &&
    before.connect === now.connect
  )
}

function differences(before: Seen, now: Seen): SessionChanges {
  const a = before.context
  const b = now.context
  const roles = { value: rolesOf(b.grant), previous: rolesOf(a.grant) }
  const properties = hasSameProperties(a, b) ? {} : changesBetween(allPropertiesOf(before), allPropertiesOf(now))
  const sessionAttributes = changesBetween(a.sessionAttributes, b.sessionAttributes)
  const connectionAttributes = changesBetween(a.connectionAttributes, b.connectionAttributes)
  return {
    ...(before.state === now.state ? {} : { state: { value: now.state, previous: before.state } }),
    ...(a.standing === b.standing ? {} : { standing: { value: b.standing, previous: a.standing } }),
    ...(isSameList(roles.value, roles.previous) ? {} : { roles }),
    ...(isChange(properties) ? { properties } : {}),
    ...(isChange(sessionAttributes) ? { sessionAttributes } : {}),
    ...(isChange(connectionAttributes) ? { connectionAttributes } : {}),
  }
}

/** Whether nothing changed that a property is read from, as when roles or attributes did. */
function hasSameProperties(a: SessionContext, b: SessionContext): boolean {
  return (
    a.connection === b.connection &&
    a.connect === b.connect &&
    a.grant?.principal === b.grant?.principal &&
    a.grant?.expiresAtMs === b.grant?.expiresAtMs &&
    a.grant?.authenticator === b.grant?.authenticator &&
    a.grant?.properties === b.grant?.properties
  )
}

/** Fixed and user-defined properties together; state and roles are compared by themselves. */
function allPropertiesOf({ context, state }: Seen): SessionProperties {
  const { $State: _state, $Roles: _roles, ...fixed } = fixedPropertiesOf(context, state)
  return Object.assign(Object.create(null) as Record<string, string>, propertiesOf(context.grant), fixed)
}
