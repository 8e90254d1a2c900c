import { randomUUID } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Observable } from 'rxjs'
import { createActor, fromPromise, type ActorRefFrom } from 'xstate'

import { brokerMachine, type DrainInput } from '../machines/broker.machine.ts'
import { sessionMachine, type SessionMachine } from '../machines/session.machine.ts'
import type { Broker, BrokerListener, Inspector } from './api.ts'
import type { BrokerBans } from './bans.ts'
import { StreamConnection, type ConnectionContext } from './codec/connection.ts'
import { FlushQueue } from './codec/writer.ts'
import { StatemqError } from './errors.ts'
import type { BrokerEvent } from './events.ts'
import { Inspectors } from './inspect/inspectors.ts'
import { Insight } from './insight.ts'
import type { BrokerInspection } from './inspection.ts'
import type { Limits } from './limits.ts'
import { type ConnectionInfo, type Message, type MessageInput } from './messages.ts'
import { channelBindingOf } from './net/channel-binding.ts'
import { defaultLimitsHere } from './net/file-limit.ts'
import { isExposed, openListener, type ListenContext, type Listener } from './net/listen.ts'
import { ownedListener } from './net/owned-listener.ts'
import { assertDuplex, describeStream } from './net/stream-info.ts'
import { EventBus } from './observe/event-bus.ts'
import { guardLogger } from './observe/guarded-logger.ts'
import { GuardedObservable } from './observe/guarded.ts'
import type { MetricsText } from './observe/metrics.ts'
import {
  type BrokerOptions,
  type Clock,
  type InspectOptions,
  type ListenerOptions,
  type Logger,
  type ReloadOptions,
} from './options.ts'
import { ReasonCode } from './reason-codes.ts'
import { isTopicFilter } from './router/topics.ts'
import { reloadsRoles, rolesInForce } from './session/access.ts'
import { refusalOfConnection } from './session/ask-connection.ts'
import { assertBans } from './session/bans.ts'
import { publishAsBroker } from './session/broker-publish.ts'
import type { Connection } from './session/connection.ts'
import type { SessionCore, SessionPolicy } from './session/core.ts'
import { withTimeout } from './session/decide.ts'
import type { DrainOptions } from './session/draining.ts'
import { Entrances, type Entrance } from './session/entrances.ts'
import { explain, type Explanation, type ExplainRequest } from './session/explain.ts'
import { implement } from './session/implementations.ts'
import { LocalClient, type ClientOptions } from './session/local-client.ts'
import { makeCore } from './session/make-core.ts'
import { checkedOptions } from './session/option-check.ts'
import { changeRoles } from './session/reauthorise.ts'
import { adoptRestored, restoreAll } from './session/restore.ts'
import { stopActor } from './session/session-actor.ts'
import { Session } from './session/session.ts'
import { BrokerSessions } from './session/sessions.ts'
import { systemClock } from './session/system-clock.ts'
import { TransitionHistory } from './session/transition-history.ts'
import { Wills } from './session/wills.ts'
import { jobsFor } from './jobs/make-jobs.ts'
import { makeStore } from './store/make-store.ts'
import type { Store } from './store/store.ts'

/** Makes a broker. Nothing is listened on yet. Throws SMQ_OPTION_INVALID, SMQ_ROLES_INVALID and SMQ_MACHINE_INVALID. */
export function createBroker(options: BrokerOptions = {}): Broker {
  return new Engine(checkedOptions(options))
}

class Engine implements Broker {
  readonly sessions: BrokerSessions
  readonly events$: Observable<BrokerEvent>
  readonly #core: SessionCore
  readonly #events: EventBus
  readonly #logger: Logger
  readonly #clock: Clock
  readonly #wire: ConnectionContext
  readonly #wills: Wills
  readonly #actor: ActorRefFrom<typeof brokerMachine>
  readonly #listeners = new Map<Listener, Entrance>()
  readonly #entrances: Entrances
  readonly #streams = new Set<Duplex>()
  readonly #onStreamClosed: (this: Duplex) => void
  readonly #store: Store | undefined
  readonly ready: Promise<void>
  #isReady = false
  /** Session identifiers of this process begin with it: those of earlier ones live on. */
  #idPrefix = 's'
  #sessionCount = 0
  readonly #insight: Insight
  state: Broker['state'] = 'starting'
  readonly #inspectors: Inspectors

  constructor(options: BrokerOptions) {
    this.#clock = options.clock ?? systemClock
    this.#logger = guardLogger(options.logger)
    this.#entrances = new Entrances(options, defaultLimitsHere(), this.#logger)
    this.#events = new EventBus(this.#clock, this.#logger)
    this.events$ = this.#events.events$
    this.#store = makeStore(options.store, this.#logger)
    this.#core = makeCore({
      options,
      clock: this.#clock,
      events: this.#events,
      logger: this.#logger,
      store: this.#store,
      jobs: jobsFor(this.#store, options.clock, this.#logger),
      limits: () => this.limits,
    })
    this.#entrances.reviewWith(this.#core.reviews)
    const { counters, keepalive: ticker } = this.#core
    const flushes = new FlushQueue(counters)
    this.#wire = { clock: this.#clock, counters, flushes, ticker, channelBinding: channelBindingOf }
    const streams = this.#streams
    this.#onStreamClosed = function () {
      streams.delete(this)
    }
    this.#wills = new Wills(this.#core)
    this.#core.machine = implement(options.machine ?? sessionMachine, this.#core, this.#wills)
    this.#core.door.bans.configure(options.bans ?? [])
    this.sessions = new BrokerSessions(this.#core, this.#guard)
    this.#insight = new Insight({
      core: this.#core,
      wills: this.#wills,
      guard: this.#guard,
      options: () => this.#entrances.options,
      state: () => this.state,
      listeners: () => this.#listeners.keys(),
    })
    this.#actor = createActor(
      brokerMachine.provide({ actors: { drain: fromPromise<void, DrainInput>(({ input }) => this.#drain(input)) } }),
    )
    this.#actor.subscribe({
      next: ({ value }) => {
        if (value === this.state) return
        this.state = value as Broker['state']
        this.#events.emit({ type: 'broker.state', state: this.state })
        this.#insight.follow(this.state)
      },
      error: (error) => this.#logger.error({ err: error }, 'the broker actor failed'),
      // Not before: that it has stopped is an event as well.
      complete: () => {
        this.#core.observers.flush()
        this.#events.close()
      },
    })
    this.#actor.start()
    this.#inspectors = new Inspectors({
      broker: this,
      clock: this.#clock,
      logger: this.#logger,
      passwords: () => import('./auth/password-hash.ts'),
      isReady: () => this.#isReady,
      isDraining: () => this.#isClosing || this.#core.door.draining.refusal !== undefined,
      storeFault: () => this.#store?.fault?.code ?? null,
    })
    this.#isReady = this.#store === undefined && options.inspect === undefined
    this.ready = this.#isReady ? Promise.resolve() : this.#start(this.#store, options.inspect)
    // Whoever needs it is told: `listen` and the others wait for it.
    this.ready.catch(() => {})
  }

  /** Whoever watches over a broker sees it start, so that the admin API does not wait for the store. */
  async #start(store: Store | undefined, inspect: InspectOptions | undefined): Promise<void> {
    await Promise.all([store && this.#restore(store), inspect && this.#inspectors.openOwn(inspect)])
    this.#assertOpen()
    this.#isReady = true
  }

  async #restore(store: Store): Promise<void> {
    await store.open()
    if (this.#isClosing) return store.close() // It could not be closed before it was open.
    this.#idPrefix = `s${store.nextSessionKey()}.`
    await restoreAll({ core: this.#core, store, wills: this.#wills, policy: this.#entrances.inside.policy })
  }

  get inspector(): Inspector | undefined {
    return this.#inspectors.own
  }

  inspect(options: InspectOptions = {}): Promise<Inspector> {
    if (this.#entrances.options.history !== false) this.#core.history ??= new TransitionHistory(this.#core)
    return this.#inspectors.open(options)
  }

  get machine(): SessionMachine {
    return this.#core.machine
  }

  get inspection(): BrokerInspection {
    return this.#insight.inspection
  }

  metrics(): Promise<MetricsText> {
    return this.#insight.metrics()
  }

  get limits(): Limits {
    return this.#entrances.limits
  }

  get bans(): BrokerBans {
    return this.#core.door.bans
  }

  async listen(options: ListenerOptions): Promise<BrokerListener> {
    this.#assertOpen()
    if (!this.#isReady) await this.ready
    const entrance = this.#entrances.open(options, isExposed)
    const own = (): Listener | undefined => listener
    const context: ListenContext = {
      limits: entrance.policy.limits,
      logger: this.#logger,
      clock: this.#clock,
      admit: () => !this.#isClosing && this.#connections < this.limits.maxConnections * 1.1,
      isBanned: (address) => this.#core.door.bans.coversAddress(address),
      accept: (stream, info) => this.#serve(stream, info, entrance, own),
      refused: (connection, reason) => this.#events.emit({ type: 'connection.refused', connection, reason }),
    }
    let listener: Listener | undefined = undefined
    const opened = await openListener(options, context).catch((error: unknown) => {
      this.#entrances.forget(entrance)
      throw error
    })
    listener = opened
    if (this.#isClosing) {
      await opened.close()
      throw new StatemqError('SMQ_BROKER_CLOSED')
    }
    this.#listeners.set(opened, entrance)
    if (this.#store) adoptRestored(this.#core, this.#wills, opened.name, this.#entrances.inside.policy, entrance.policy)
    this.#actor.send({ type: 'broker.ready' })
    this.#logger.info({ listener: opened.name, transport: opened.transport, address: opened.address }, 'listening')
    this.#events.emit({ type: 'listener.opened', listener: opened.name, transport: opened.transport })
    return ownedListener(opened, {
      reload: (changes) => this.#entrances.replace(entrance, changes),
      // That is an event, and the broker forgets it.
      close: () => this.#closeListener(opened),
    })
  }

  async #closeListener(opened: Listener): Promise<void> {
    const entrance = this.#listeners.get(opened)
    if (!entrance) return opened.close()
    this.#listeners.delete(opened)
    this.#events.emit({ type: 'listener.closed', listener: opened.name, transport: opened.transport })
    await opened.close()
    await this.#entrances.close(entrance)
  }

  async reload(changes: ReloadOptions): Promise<void> {
    this.#assertOpen()
    const isAboutRoles = reloadsRoles(changes)
    // Found out before anything changes.
    if (isAboutRoles) rolesInForce({ ...this.#entrances.options, ...changes } as BrokerOptions, 0)
    if ('bans' in changes) assertBans(changes.bans ?? [])
    await this.#entrances.reload(changes)
    if ('bans' in changes) this.#core.door.bans.configure(changes.bans ?? [])
    if (isAboutRoles) await changeRoles(this.#core, this.#entrances.options)
  }

  readonly trace: Broker['trace'] = (target, options) => this.#core.traces.start(target, options)
  readonly traces: Broker['traces'] = () => this.#core.traces.list()

  explain(question: ExplainRequest): Explanation {
    return explain(this.#core, question)
  }

  attach(stream: Duplex, info: Partial<ConnectionInfo> = {}): void {
    this.#assertOpen()
    assertDuplex(stream)
    this.#actor.send({ type: 'broker.ready' })
    const serve = (): void => this.#serve(stream, describeStream(stream, info), this.#entrances.inside, () => undefined)
    if (this.#isReady) return serve()
    stream.on('error', () => {})
    this.ready.then(serve, () => stream.destroy())
  }

  get #isClosing(): boolean {
    return this.state === 'draining' || this.state === 'stopped'
  }

  get #connections(): number {
    return this.#core.registry.hosts.size - this.#core.registry.offline
  }

  #serve(stream: Duplex, info: ConnectionInfo, { policy }: Entrance, listener: () => Listener | undefined): void {
    if (this.#isClosing) return void stream.destroy()
    this.#streams.add(stream)
    stream.on('close', this.#onStreamClosed)
    if (!policy.hooks.onConnection) return this.#begin(stream, info, policy, listener())
    stream.on('error', () => {})
    void refusalOfConnection(this.#core, policy, info).then((refusal) => {
      const reason = refusal ?? (stream.destroyed || this.#isClosing ? 'it was closed before the verdict' : undefined)
      if (reason === undefined) return this.#begin(stream, info, policy, listener())
      this.#events.emit({ type: 'connection.refused', connection: info, reason })
      stream.destroy()
    })
  }

  #begin(stream: Duplex, info: ConnectionInfo, policy: SessionPolicy, listener: Listener | undefined): void {
    const connection = new StreamConnection(stream, info, policy.limits, this.#wire)
    this.#open(connection, policy, (listener?.connections ?? 0) > policy.limits.maxConnections)
  }

  #open(connection: Connection, policy: SessionPolicy, listenerIsFull: boolean): Session {
    const session = new Session(`${this.#idPrefix}${++this.#sessionCount}`, connection, policy, this.#core)
    // Told in CONNACK, once there is a CONNECT to answer (threat 53).
    if (listenerIsFull || this.#connections > this.limits.maxConnections) session.overload = ReasonCode.ServerBusy
    else if (!this.#core.door.mayConnect(connection.info, policy.limits))
      session.overload = ReasonCode.ConnectionRateExceeded
    session.start()
    return session
  }

  messages(filter: string): Observable<Message> {
    if (typeof filter !== 'string' || !isTopicFilter(filter, Infinity) || filter.startsWith('$share/'))
      throw new StatemqError('SMQ_FILTER_INVALID', String(filter))
    return this.#guard(
      new Observable<Message>((observer) => this.#core.router.tap(filter, (message) => observer.next(message))),
    )
  }

  readonly #guard = <T>(observable: Observable<T>): Observable<T> =>
    new GuardedObservable(observable, (error) =>
      this.#logger.error({ err: error }, 'an observer failed and was unsubscribed'),
    )

  async publish(message: MessageInput): Promise<number> {
    this.#assertOpen()
    if (!this.#isReady) await this.ready
    return publishAsBroker(this.#core, this.limits, message)
  }

  async client(options: ClientOptions = {}): Promise<LocalClient> {
    this.#assertOpen()
    if (!this.#isReady) await this.ready
    this.#actor.send({ type: 'broker.ready' })
    // Where there are rules for identifiers the session makes one that keeps them.
    const made = this.#entrances.inside.policy.clientIds ? '' : `local-${randomUUID()}`
    const client = new LocalClient(this.#guard, this.limits, this.#core.counters, options, made)
    this.#open(client.connection, this.#entrances.inside.policy, false)
    await client.connect()
    return client
  }

  async close({ drainTimeoutMs = 5_000 }: { readonly drainTimeoutMs?: number } = {}): Promise<void> {
    if (this.state === 'stopped') return
    const stopped = new Promise<void>((resolve) => {
      this.#actor.subscribe({ complete: resolve })
    })
    this.#actor.send({ type: 'broker.close', drainTimeoutMs })
    await stopped
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  drain(options: DrainOptions = {}): Promise<number> {
    if (this.#isClosing) return Promise.reject(new StatemqError('SMQ_BROKER_CLOSED'))
    return this.#core.door.draining.start(options)
  }

  async #drain({ drainTimeoutMs }: DrainInput): Promise<void> {
    const { registry, deadlines, keepalive, door } = this.#core
    door.draining.close()
    // A store that is being opened can't be closed yet, nor a server that is about to listen.
    if (!this.#isReady) await withTimeout(this.#clock, drainTimeoutMs, 'starting', this.ready).catch(() => {})
    const closed = Promise.all([...this.#listeners.keys()].map((listener) => this.#closeListener(listener)))
    let count = 0
    for (const session of [...registry.hosts.values()]) {
      // One that nobody has needed since the start has nobody to send away.
      if (session.dormant) continue
      session.send({ type: 'broker.drain' })
      if (++count % 1_000 === 0) await nextTurn()
    }
    const done = this.#store && this.#wills.hibernate()
    const ended = Promise.all([closed, done, this.#wills.whenSettled(), this.#streamsEnd()])
    await withTimeout(this.#clock, drainTimeoutMs, 'draining', ended).catch(() => {
      for (const stream of this.#streams) stream.destroy()
    })
    deadlines.close()
    keepalive.close()
    registry.watches.close()
    await this.#entrances.closeAll()
    // What is left is the store's: their charts go on in the next process.
    for (const session of registry.hosts.values()) if (!session.dormant) stopActor(session.actor)
    await this.#inspectors.close()
    await this.#store?.close()
  }

  #streamsEnd(): Promise<unknown> {
    return Promise.all([...this.#streams].map((stream) => new Promise((resolve) => stream.once('close', resolve))))
  }

  #assertOpen(): void {
    if (this.#isClosing) throw new StatemqError('SMQ_BROKER_CLOSED')
  }
}
