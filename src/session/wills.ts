import { fromPromise } from 'xstate'

import type { SessionContext } from '../../machines/session.machine.ts'
import { willMachine, type FireOutcome, type WillInput } from '../../machines/will.machine.ts'
import { willSummaryOf } from './authentication.ts'
import type { WillPacket } from '../messages.ts'
import type { StoredWill } from '../stored.ts'
import type { SessionCore, SessionPolicy } from './core.ts'
import { hookClientOf } from './hook-client.ts'
import { report } from './observing.ts'
import { decodeWill } from './session-record.ts'
import type { Session } from './session.ts'
import { nameOfWill, WillHost, type WillParts } from './will-host.ts'

/**
 * The wills of a broker, each a root actor of its own: a session that ends takes its children
 * along, and its will must outlive it by as long as the decision to publish takes.
 */
export class Wills {
  readonly #core: SessionCore
  readonly #hosts = new Map<string, WillHost>()
  readonly machine: typeof willMachine
  #idle: (() => void)[] = []

  constructor(core: SessionCore) {
    this.#core = core
    this.machine = willMachine.provide({
      actors: { fire: fromPromise<FireOutcome, WillInput>(({ input }) => this.#host(input).fire()) },
      actions: {
        armDeadline: ({ context }) => this.#host(context).armDeadline(context.dueAtMs ?? 0),
        cancelDeadline: ({ context }) => this.#host(context).cancelDeadline(),
      },
    })
  }

  /** `context` is the session's as of this very transition, which its snapshot does not show yet. */
  arm(session: Session, will: WillPacket, context: SessionContext): WillHost {
    const input: WillInput = { sessionId: session.id, epoch: context.epoch, will: willSummaryOf(will) }
    const client = hookClientOf(session, context)
    // A will is sent also when it was the broker that went away (semantics 7.8), whatever becomes of its session.
    const key = session.keeper?.key ?? this.#core.store?.nextSessionKey()
    const host = this.#make({ session, policy: session.policy, will, input, client, key })
    host.keep()
    report(session, { type: 'will.armed', ...session.names, topic: will.topic }, context)
    return host
  }

  /**
   * Brings back a will that an earlier process had not settled: one whose connection was there is released
   * now, since that is when it was found to be gone, and one whose session is gone is due.
   */
  restore(stored: StoredWill, policy: SessionPolicy, session: Session | undefined): void {
    const { will, client, dueAtMs } = decodeWill(stored.record)
    const { sessionId } = client
    const input: WillInput = { sessionId, epoch: stored.epoch, will: willSummaryOf(will) }
    const host = this.#make({ session, policy, will, input, client, key: stored.session })
    host.awaitListener()
    if (session === undefined) return host.due()
    session.will = host
    if (dueAtMs !== undefined) host.resume(dueAtMs)
    else host.release(session.expiresAtMs ?? Infinity)
  }

  #make(parts: WillParts): WillHost {
    const host = new WillHost(this.#core, this, parts)
    this.#hosts.set(nameOfWill(parts.input), host)
    host.actor.start()
    return host
  }

  /** See `adoptRestored` of restore.ts. */
  adoptRestored(listener: string, from: SessionPolicy, to: SessionPolicy): void {
    for (const host of this.#hosts.values()) host.adoptPolicy(listener, from, to)
  }

  /** The process ends: wills that wait for their time wait in the store. Resolves when nothing is done any more that was due. */
  hibernate(): Promise<void> {
    const done = this.#core.jobs.close()
    for (const [key, host] of this.#hosts) if (host.hibernate()) this.#hosts.delete(key)
    if (this.#hosts.size === 0) for (const resolve of this.#idle.splice(0)) resolve()
    return done
  }

  /** Those that are armed, wait, or are being published. */
  all(): Iterable<WillHost> {
    return this.#hosts.values()
  }

  /** The one that {@link WillHost.id} names. */
  get(id: string): WillHost | undefined {
    return this.#hosts.get(id)
  }

  settled(input: WillInput): void {
    this.#hosts.delete(nameOfWill(input))
    if (this.#hosts.size === 0) for (const resolve of this.#idle.splice(0)) resolve()
  }

  /** Resolves when no will is left. */
  whenSettled(): Promise<void> {
    if (this.#hosts.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  #host(input: WillInput): WillHost {
    const host = this.#hosts.get(nameOfWill(input))
    if (!host) throw new Error(`no will of session ${input.sessionId}`)
    return host
  }
}
