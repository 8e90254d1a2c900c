import { createActor, toPromise, type ActorRefFrom } from 'xstate'

import type { WillSummary } from '../../machines/session.machine.ts'
import type { FireOutcome, willMachine, WillInput } from '../../machines/will.machine.ts'
import { willSummaryOf } from './authentication.ts'
import type { BrokerEventInput } from '../events.ts'
import type { Grant, HookClient } from '../hooks.ts'
import type { WillPacket } from '../messages.ts'
import type { Job } from '../scheduled.ts'
import type { SessionKey } from '../stored.ts'
import type { SessionCore, SessionPolicy } from './core.ts'
import type { DecidingPermission } from '../roles.ts'
import { currentPolicy } from './entrances.ts'
import { inWords } from './explain-access.ts'
import { encodeWill } from './session-record.ts'
import type { Session } from './session.ts'
import {
  changesOf,
  decideWill,
  deniedByRoles,
  permissionFor,
  willPublication,
  type WillDenial,
  type WillJudgement,
  type WillOwner,
} from './will-decision.ts'
import type { Wills } from './wills.ts'

/** Names a will among those of the process. */
export function nameOfWill({ sessionId, epoch }: Pick<WillInput, 'sessionId' | 'epoch'>): string {
  return `${sessionId}:${epoch}`
}

/** Connections that an embedder brought: nothing has to be open for them. */
const WITHOUT_LISTENER: ReadonlySet<string> = new Set(['attached', 'in-process'])

const outcomeCounters = {
  published: 'willsPublished',
  withheld: 'willsWithheld',
  cancelled: 'willsCancelled',
} as const

/** What a will is made of. */
export interface WillParts {
  /** Undefined: it has ended, in an earlier process. */
  readonly session: Session | undefined
  /** Of the listener that the will came through; the session may come back through another. */
  readonly policy: SessionPolicy
  readonly will: WillPacket
  readonly input: WillInput
  /** Who it speaks for. */
  readonly client: HookClient
  /** Its session's number in the store; undefined: it ends with the process. */
  readonly key: SessionKey | undefined
}

/** The host of one will actor: its payload, and who it speaks for. */
export class WillHost {
  readonly actor: ActorRefFrom<typeof willMachine>
  readonly #core: SessionCore
  readonly #session: Session | undefined
  readonly #will: WillPacket
  #policy: SessionPolicy
  readonly #key: SessionKey | undefined
  readonly #epoch: number
  #client: HookClient
  /** Undefined: the connection is there. */
  #dueAtMs: number | undefined = undefined
  #job: Job | undefined = undefined
  /** The last time that the session's grant was taken away; another one since, and this will is never sent. */
  readonly #revocation: number | undefined
  /** Until its listener is open. */
  #listens: PromiseWithResolvers<void> | undefined = undefined
  /** Due, and waiting for the store. */
  #isPutOff = false
  /** The permission that denied it. */
  #rule: DecidingPermission | undefined = undefined

  constructor(core: SessionCore, wills: Wills, { session, policy, will, input, client, key }: WillParts) {
    this.#core = core
    this.#session = session
    this.#will = will
    this.#policy = policy
    this.#revocation = session?.revocation
    this.#client = client
    this.#key = key
    this.#epoch = input.epoch
    // Where it begins is stated, since an actor that is made inside an action can't work it out without XState's warning.
    const context = { ...input, dueAtMs: undefined, reason: undefined }
    this.actor = createActor(wills.machine, {
      input,
      snapshot: wills.machine.resolveState({ value: 'armed', context }),
    })
    this.actor.subscribe({
      next: (snapshot) => {
        if (snapshot.status === 'done') {
          wills.settled(input)
          this.#report(snapshot.output?.outcome ?? 'cancelled', snapshot.output?.reason)
        }
      },
      error: (error) => {
        wills.settled(input)
        core.logger.error({ clientId: client.clientId, err: error }, 'a will actor failed')
      },
    })
  }

  get delaySeconds(): number {
    return this.#will.delaySeconds
  }

  /** Names it among the wills of the process. */
  get id(): string {
    return nameOfWill({ sessionId: this.#client.sessionId, epoch: this.#epoch })
  }

  get clientId(): string {
    return this.#client.clientId
  }

  /** All of it but its payload. */
  get summary(): WillSummary {
    return willSummaryOf(this.#will)
  }

  /** Undefined: the connection is there. */
  get dueAtMs(): number | undefined {
    return this.#dueAtMs
  }

  /** What would become of it if it fired now. Hooks have their own say, and are not asked. */
  foresee(): WillJudgement {
    const owner = this.#owner
    const obstacle = this.#obstacle()
    if (obstacle !== undefined) return { verdict: 'withhold', reason: obstacle, rule: undefined }
    const decision = permissionFor(owner, this.#client.grant, this.#will)
    const reason = decision === undefined ? 'no roles are configured' : inWords(decision.rule)
    if (decision?.allowed === false) return { verdict: 'withhold', reason, rule: decision.rule }
    const asked = this.#policy.hooks.onPublish === undefined ? '' : '; the onPublish hook will be asked too'
    return { verdict: 'publish', reason: `${reason}${asked}`, rule: decision?.rule }
  }

  /** The client has authenticated again: the will speaks for who the session is now (semantics 7.2). */
  renew(grant: Grant): void {
    this.#client = { ...this.#client, grant }
    this.keep()
  }

  adoptPolicy(listener: string, from: SessionPolicy, to: SessionPolicy): void {
    // A reload may have come in between.
    if (currentPolicy(this.#policy) !== from || this.#client.connection.listener !== listener) return
    this.#policy = to
    this.#listens?.resolve()
  }

  /**
   * An earlier process armed it: what its listener says of wills is known once that is open. One that is due
   * waits for it, though not for long: there may be no such listener any more.
   */
  awaitListener(): void {
    if (WITHOUT_LISTENER.has(this.#client.connection.listener)) return
    const { clock, deadlines, limits } = this.#core
    const listens = Promise.withResolvers<void>()
    this.#listens = listens
    deadlines.schedule(clock.nowMs() + limits.restoredWillGraceMs, listens.resolve)
  }

  /** Writes it down as it is now. */
  keep(): void {
    if (this.#key === undefined) return
    const record = encodeWill({ will: this.#will, client: this.#client, dueAtMs: this.#dueAtMs })
    this.#core.store?.putWill(this.#key, this.#epoch, record)
  }

  /** Whether it waits in the store from now on; one that is being published does not. */
  hibernate(): boolean {
    if (this.#key === undefined || this.#core.store === undefined) return false
    if (this.actor.getSnapshot().value === 'due' && !this.#isPutOff) return false
    this.cancelDeadline()
    this.actor.stop()
    return true
  }

  /** The connection ended; the session goes on until `sessionEndsAtMs`. MQTT-3.1.2-8 */
  release(sessionEndsAtMs: number): void {
    const nowMs = this.#core.clock.nowMs()
    const dueAtMs = Math.min(nowMs + this.#will.delaySeconds * 1000, sessionEndsAtMs)
    this.#dueAtMs = dueAtMs
    this.keep()
    if (dueAtMs > nowMs)
      this.#core.events.emit({ type: 'will.delayed', ...this.#names, topic: this.#will.topic, dueAtMs })
    this.actor.send({ type: 'will.release', dueAtMs, nowMs })
  }

  /** It was released by an earlier process. */
  resume(dueAtMs: number): void {
    this.#dueAtMs = dueAtMs
    this.actor.send({ type: 'will.release', dueAtMs, nowMs: this.#core.clock.nowMs() })
  }

  due(): void {
    this.actor.send({ type: 'will.due' })
  }

  cancel(): void {
    this.actor.send({ type: 'will.cancel' })
  }

  /** The grant behind it was taken away. */
  withhold(reason: string): void {
    this.actor.send({ type: 'will.withhold', reason })
  }

  armDeadline(dueAtMs: number): void {
    this.#core.counters.levels.delayedWills++
    this.#job = this.#core.jobs.scheduleWill(this, this.#key, this.#epoch, dueAtMs)
  }

  cancelDeadline(): void {
    if (this.#job === undefined) return
    this.#core.counters.levels.delayedWills--
    this.#core.jobs.cancelWill(this.#job)
    this.#job = undefined
  }

  /** What it waits for. */
  get job(): Job | undefined {
    return this.#job
  }

  /** It is due: resolves when it is known what became of it. */
  async fired(): Promise<void> {
    const ended = toPromise(this.actor)
    this.due()
    await ended
  }

  /** Authorises the will against who the session is, then publishes it. */
  async fire(): Promise<FireOutcome> {
    await this.#listens?.promise
    await this.#turn()
    if (!(await this.#room())) return { type: 'withheld', reason: 'left to the next process' }
    const obstacle = this.#obstacle()
    if (obstacle !== undefined) return { type: 'withheld', reason: obstacle }
    const verdict = await decideWill(this.#owner, this.#client.grant, this.#will)
    if (this.#isRevoked) return { type: 'withheld', reason: 'revoked' }
    if (verdict.type === 'deny') return this.#deniedFor(verdict)
    // Its roles may have changed while a hook thought.
    const denial = deniedByRoles(this.#owner, this.#client.grant, { ...this.#will, ...changesOf(verdict) })
    if (denial) return this.#deniedFor(denial)
    // The store may have filled up while a hook thought.
    if (this.#isStoreClosed) return this.fire()
    const publication = willPublication(this.#core, this.#client.clientId, this.#will, verdict)
    publication.sharedStrategy = this.#policy.features.sharedSubscriptionStrategy
    await this.#core.router.publish(publication)
    return { type: 'published' }
  }

  /**
   * While the store takes nothing, whoever the will is to be kept for would not get it, and it is sent once only
   * (threats 12, 19). It is in the store meanwhile, so that a process that ends leaves it to the next one: false.
   */
  async #room(): Promise<boolean> {
    const { clock, deadlines, limits } = this.#core
    this.#isPutOff = this.#isStoreClosed
    while (this.#isStoreClosed)
      await new Promise<void>((resolve) => deadlines.schedule(clock.nowMs() + limits.jobBackoffMs, resolve))
    this.#isPutOff = false
    return this.actor.getSnapshot().status === 'active'
  }

  get #isStoreClosed(): boolean {
    return this.#key !== undefined && this.#core.store?.fault !== undefined
  }

  /** What keeps it back whatever its roles say. */
  #obstacle(): string | undefined {
    if (this.#isRevoked) return 'revoked'
    return this.#policy.willPolicy === 'unexpired-grant' && this.#isExpired() ? 'the grant has ended' : undefined
  }

  /** Since it was armed. */
  get #isRevoked(): boolean {
    return this.#session?.revocation !== this.#revocation
  }

  get #owner(): WillOwner {
    const client = this.#client
    return { core: this.#core, clientId: client.clientId, policy: this.#policy, hookClient: client }
  }

  #deniedFor({ reason, rule }: WillDenial): FireOutcome {
    this.#rule = rule
    return { type: 'withheld', reason }
  }

  /** Its rights went on during the grace. */
  #isExpired(): boolean {
    const { expiresAtMs } = this.#client.grant
    return expiresAtMs !== undefined && this.#core.clock.nowMs() >= expiresAtMs + this.#policy.limits.grantGraceMs
  }

  /** A thousand connections that break at once don't publish their wills at once (threat 51). */
  async #turn(): Promise<void> {
    const waitMs = this.#core.wills.reserve()
    if (waitMs === 0) return
    await new Promise<void>((resolve) => {
      this.#core.deadlines.schedule(this.#core.clock.nowMs() + waitMs, resolve)
    })
  }

  get #names(): { sessionId: string; clientId: string } {
    return { sessionId: this.#client.sessionId, clientId: this.#client.clientId }
  }

  #report(outcome: 'published' | 'withheld' | 'cancelled', reason: string | undefined): void {
    const { topic } = this.#will
    const event: BrokerEventInput =
      outcome === 'withheld'
        ? {
            type: 'will.withheld',
            ...this.#names,
            topic,
            reason: reason ?? '',
            ...(this.#rule && { rule: this.#rule }),
          }
        : { type: `will.${outcome}`, ...this.#names, topic }
    this.#core.events.emit(event)
    this.#core.counters[outcomeCounters[outcome]]++
    // Its session may be gone by now, and is not what it was in any case.
    this.#core.observers.tell(this.#policy.observers, event, () => this.#client)
    // With what it set off, so that it is sent once whatever happens (threat 100).
    if (this.#key !== undefined) this.#core.store?.deleteWill(this.#key, this.#epoch, outcome === 'published')
    if (this.#session?.will === this) this.#session.willSettled()
  }
}
