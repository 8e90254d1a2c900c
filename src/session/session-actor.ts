import { createActor, type ActorRefFrom, type SnapshotFrom } from 'xstate'

import type { SessionContext, SessionEmitted, SessionMachine } from '../../machines/session.machine.ts'
import type { ConnectionInfo } from '../messages.ts'
import type { SessionCore } from './core.ts'

export type SessionActor = ActorRefFrom<SessionMachine>

/** The actor of a session: in `connecting`, or where an earlier process left it, which is offline. */
export function makeActor(
  { machine, clock, registry }: Pick<SessionCore, 'machine' | 'clock' | 'registry'>,
  sessionId: string,
  connection: ConnectionInfo,
  restored: SessionContext | undefined,
): SessionActor {
  const input = { sessionId, startedAtMs: clock.nowMs(), connection }
  const parent = registry.root
  if (restored === undefined) return createActor(machine, { input, parent })
  return createActor(goingOn(machine), {
    input,
    parent,
    snapshot: machine.resolveState({ value: 'offline', context: restored }),
  })
}

/** Who hears what becomes of an actor. */
export interface ActorObserver {
  onSnapshot(snapshot: SnapshotFrom<SessionMachine>): void
  onEmitted(event: SessionEmitted): void
  onFailed(error: unknown): void
}

/** What `subscribe` and `on` work with; XState's types keep it to itself. */
interface Inner {
  readonly observers: Set<object>
  readonly _actorScope: { emit: (event: SessionEmitted) => void }
}

/** One who is told as `subscribe` and `on('*')` would tell it, at a fifth of the room. */
class Observation {
  readonly #observer: ActorObserver

  constructor(observer: ActorObserver) {
    this.#observer = observer
  }

  next(snapshot: SnapshotFrom<SessionMachine>): void {
    this.#observer.onSnapshot(snapshot)
  }

  /** XState takes it off the observer, and calls it once at most. */
  get error(): (error: unknown) => void {
    return (error) => this.#observer.onFailed(error)
  }
}

/** Tells the host of an actor, before others, what it does. */
export function observe(actor: SessionActor, observer: ActorObserver): void {
  const { observers, _actorScope: scope } = actor as unknown as Inner
  // Without an error observer a throwing implementation would reach uncaughtException.
  observers.add(new Observation(observer))
  const { emit } = scope
  scope.emit = (event) => {
    try {
      observer.onEmitted(event)
    } catch (error) {
      observer.onFailed(error)
    }
    emit(event)
  }
}

const resumable = new WeakMap<SessionMachine, SessionMachine>()

/**
 * The machine for actors that go on. XState looks through the whole context of each for actors that
 * were in it, which takes as long as all the rest of a start, and a session's context has none.
 */
function goingOn(machine: SessionMachine): SessionMachine {
  let known = resumable.get(machine)
  if (known === undefined) {
    known = Object.create(machine, { restoreSnapshot: { value: (snapshot: unknown) => snapshot } }) as SessionMachine
    resumable.set(machine, known)
  }
  return known
}

/** Ends an actor wherever its chart is; `stop` is for actors that are the root of their system. */
export function stopActor(actor: SessionActor): void {
  actor.send({ type: 'xstate.stop' } as never)
}
