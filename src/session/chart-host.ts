import type { SnapshotFrom } from 'xstate'

import type { SessionContext, SessionEmitted, SessionMachine, Standing } from '../../machines/session.machine.ts'
import type { ConnectRequest, Grant } from '../hooks.ts'
import type { ConnectionInfo } from '../messages.ts'
import type { SessionCore } from './core.ts'
import type { DormantChart } from './dormant.ts'
import type { Keeper } from './keeper.ts'
import { makeActor, observe, type ActorObserver, type SessionActor } from './session-actor.ts'

/**
 * What a session's host has of its chart: the actor, or, of a session that an earlier process left, what stands
 * for it until somebody needs more.
 */
export abstract class ChartHost implements ActorObserver {
  readonly id: string
  readonly core: SessionCore
  /** What it tells the store; undefined where nothing of it outlives the process. */
  keeper: Keeper | undefined = undefined
  /** Its CONNECT as hooks see it; stays until the next one. */
  request: ConnectRequest | undefined = undefined
  /** The last event that the chart was given, for whoever asks why. */
  cause = ''
  #actor: SessionActor | undefined
  #dormant: DormantChart | undefined

  constructor(
    id: string,
    core: SessionCore,
    connection: ConnectionInfo | undefined,
    dormant: DormantChart | undefined,
  ) {
    this.id = id
    this.core = core
    this.#dormant = dormant
    this.#actor = connection && makeActor(core, id, connection, undefined)
  }

  abstract onSnapshot(snapshot: SnapshotFrom<SessionMachine>): void
  abstract onEmitted(event: SessionEmitted): void
  abstract onFailed(error: unknown): void

  get actor(): SessionActor {
    if (this.#actor === undefined) this.awaken()
    return this.#actor!
  }

  /** Undefined once there is an actor that has started. */
  get dormant(): DormantChart | undefined {
    return this.#dormant
  }

  /** Starts the actor, which is made now where an earlier process left the session. */
  awaken(): void {
    const dormant = this.#dormant
    if (dormant !== undefined) {
      const context = dormant.context()
      this.request = context.connect
      // That it has been offline since has to be written.
      if (!dormant.head.wasOnline) this.keeper?.assume(context)
      this.#actor = makeActor(this.core, this.id, context.connection, context)
    }
    const actor = this.#actor!
    observe(actor, this)
    actor.start()
    this.#dormant = undefined
  }

  /** Gives the chart an event, unless it has ended already. */
  send(event: Parameters<SessionActor['send']>[0]): void {
    this.cause = event.type
    this.actor.send(event)
  }

  get context(): SessionContext {
    return this.actor.getSnapshot().context
  }

  get grant(): Grant | undefined {
    return (this.#dormant?.head ?? this.context).grant
  }

  get standing(): Standing {
    return (this.#dormant?.head ?? this.context).standing
  }

  get expiresAtMs(): number | undefined {
    return (this.#dormant?.head ?? this.context).expiresAtMs
  }

  /** Whether it outlives its connection. */
  get isPersistent(): boolean {
    return (this.#dormant?.head ?? this.context).sessionExpiryIntervalSeconds > 0
  }

  /** Of the connection that it has, or had last. */
  get listener(): string {
    return this.#dormant?.head.listener ?? this.context.connection.listener
  }
}
