import type { Observer, Subscription as RxSubscription } from 'rxjs'

import type { SnapshotFrom } from 'xstate'

import type { SessionEmitted, SessionMachine } from '../../machines/session.machine.ts'
import { ProtocolError } from '../errors.ts'
import type { BrokerEventInput, DropReason, SessionState } from '../events.ts'
import type { HookClient } from '../hooks.ts'
import type { ConnectPacket, InboundPacket, QoS, WillPacket } from '../messages.ts'
import type { Decision } from '../inspection.ts'
import type { GrantFeatures } from '../options.ts'
import type { Publication } from '../publication.ts'
import { ReasonCode } from '../reason-codes.ts'
import type { Job } from '../scheduled.ts'
import type { DeliveryGroup, Subscriber } from '../router/subscriber.ts'
import type { TurnClock } from '../router/turn-clock.ts'
import type { DecidingPermission } from '../roles.ts'
import { accessOf, SessionAccess } from './access.ts'
import type { AdmittedAtOnce, Exchange } from './authentication.ts'
import type { Connection } from './connection.ts'
import type { SessionCore, SessionPolicy } from './core.ts'
import type { Deadline } from './deadlines.ts'
import { dispatch } from './dispatch.ts'
import { ChartHost } from './chart-host.ts'
import { Decisions } from './decisions.ts'
import type { DormantChart } from './dormant.ts'
import { failSession, handlerFailed, outboxOverflowed } from './ending.ts'
import { hookClientOf } from './hook-client.ts'
import type { Inbound } from './inbound.ts'
import type { Watched } from './keepalive.ts'
import type { Keeper } from './keeper.ts'
import { observes, report } from './observing.ts'
import { holdAnswers } from './keeping.ts'
import type { OutboundHost } from './outbound-host.ts'
import { Outbound } from './outbound.ts'
import { reportEmitted, reportSnapshot } from './reporting.ts'
import type { SessionActor } from './session-actor.ts'
import type { RetainedReplay } from './retained-replay.ts'
import type { Subscriptions } from './subscriptions.ts'
import type { WillHost } from './will-host.ts'

export type { SessionActor }

/**
 * The host of one session actor: it holds what the chart may not (connection, secrets of a CONNECT
 * under way, payloads, inflight tables, subscriptions) and turns packets into events of the chart.
 * Parts that an idle session has no use for are made when they are first needed.
 */
export class Session extends ChartHost implements Subscriber, OutboundHost, Watched, Observer<InboundPacket> {
  policy: SessionPolicy
  clientId = ''
  state: SessionState = 'connecting'
  connection: Connection | undefined
  /** The promise of the store that its answers wait for just now. */
  heldFor: Promise<void> | undefined = undefined
  /** What the chart emitted in the transition under way. */
  emitted: BrokerEventInput[] | undefined = undefined

  /** The CONNECT that is being decided on; without its password and data. */
  connectPacket: ConnectPacket | undefined = undefined
  /** Secrets of an authentication under way, and nowhere else. */
  exchange: Exchange | undefined = undefined
  /** Set for a client that nothing has to be waited for. */
  immediate: AdmittedAtOnce | undefined = undefined
  /** The client identifier is of our making (MQTT-3.1.3-7). */
  hasAssignedId = false
  /** Data that the last successful authentication has for the client: with CONNACK or AUTH 0x00. */
  authenticatedReply: Uint8Array | undefined = undefined
  /** The broker has no room for it: what its CONNECT is answered with. */
  overload: ReasonCode | undefined = undefined
  /** What an authenticator put into the CONNACK that is due. */
  connackChanges: GrantFeatures | undefined = undefined
  /** A hook let it have the client identifier, and not the session that lives under it. */
  startsAfresh = false
  keepAliveSeconds = 0
  /** When it got its connection, or had it last; of one that an earlier process left, when it last said who it is. */
  connectedAtMs: number
  maxSilentTicks = Infinity
  dueTick = -1
  isMqtt5 = false

  inbound: Inbound | undefined = undefined
  outbound: Outbound | undefined = undefined
  subscriptions: Subscriptions | undefined = undefined
  replay: RetainedReplay | undefined = undefined
  pendingWill: WillPacket | undefined = undefined
  will: WillHost | undefined = undefined
  deadline: Deadline | undefined = undefined
  expiry: Job | undefined = undefined
  authenticationDeadline: Deadline | undefined = undefined
  grantDeadline: Deadline | undefined = undefined
  connectionDeadline: Deadline | undefined = undefined

  /** False once the grant was revoked, or has ended while the client stays: nothing goes in or out. */
  hasRights = true
  /** What it may do has changed in the transition under way. */
  mustReauthorise = false
  /** Revocations before it was asked who the client is, and the one that was its own; see `isRevokedSince`. */
  decidedAfter = 0
  revocation = 0

  mergeStamp = 0
  mergeQoS: QoS = 0
  mergeRetain = false
  mergeIdentifiers: number[] | undefined = undefined
  readonly isSession = true

  #packets: RxSubscription | undefined = undefined
  /** Made when there is one; a next connection has its own. */
  #decisions: Decisions | undefined = undefined
  /** The chart is `online`: data packets are served. */
  isOpen = false
  isAwake = false
  isThrottled = false
  isSuspended = false
  /** It is counted among the sessions without a connection. */
  isOffline = false
  /** It is counted among those that outlive theirs. */
  isLasting = false

  /** `dormant`: what an earlier process left, instead of a connection. */
  constructor(
    id: string,
    connection: Connection | undefined,
    policy: SessionPolicy,
    core: SessionCore,
    dormant?: DormantChart,
  ) {
    super(id, core, connection?.info, dormant)
    this.policy = policy
    this.connection = connection
    this.connectedAtMs = dormant?.head.grant?.authenticatedAtMs ?? core.clock.nowMs()
    core.registry.hosts.set(id, this)
    core.counters.levels.states.connecting++
  }

  override onSnapshot(snapshot: SnapshotFrom<SessionMachine>): void {
    reportSnapshot(this, snapshot)
  }

  override onEmitted(event: SessionEmitted): void {
    reportEmitted(this, event)
  }

  override onFailed(error: unknown): void {
    failSession(this, error)
  }

  start(): void {
    this.awaken()
    // An implementation of the embedder's that threw at once has ended it already (threat 60).
    if (!this.connection) return
    this.core.counters.connectionsOpened++
    const { events } = this.core
    if (events.observed) events.emit({ type: 'connection.opened', ...this.names, connection: this.connection.info })
    this.openConnection()
  }

  get names(): { readonly sessionId: string; readonly clientId: string } {
    return { sessionId: this.id, clientId: this.clientId }
  }

  /** The session as hooks see it: only called where it has a grant. */
  get hookClient(): HookClient {
    return hookClientOf(this, this.context)
  }

  get isFlowing(): boolean {
    return this.isAwake && !this.isThrottled && !this.isSuspended && this.hasRights
  }

  get isAvailable(): boolean {
    return this.connection !== undefined && this.isOpen && !this.isSuspended && this.hasRights
  }

  get load(): number {
    return this.outbound?.load ?? 0
  }

  get lastTick(): number {
    const { connection } = this
    return connection === undefined || this.#decisions?.isPending ? this.core.keepalive.tick : connection.lastTick
  }

  nowMs(): number {
    return this.core.clock.nowMs()
  }

  get turn(): TurnClock {
    return this.core.router.turn
  }

  onSilence(): void {
    this.send({ type: 'keepalive.lost' })
  }

  // --- the connection -----------------------------------------------------------------------

  openConnection(): void {
    const connection = this.connection!
    this.#decisions = undefined
    this.connectedAtMs = this.nowMs()
    connection.onWritable = (writable) => this.send({ type: writable ? 'delivery.drained' : 'delivery.blocked' })
    this.#packets = connection.packets$.subscribe(this)
  }

  /** Lets go of the connection without ending it. */
  releaseConnection(): Connection | undefined {
    const connection = this.connection
    this.#packets?.unsubscribe()
    this.#packets = undefined
    if (connection) connection.onWritable = undefined
    this.connection = undefined
    // What the next one is told waits for the same promise anew.
    this.heldFor = undefined
    return connection
  }

  next(packet: InboundPacket): void {
    try {
      dispatch(this, packet)
    } catch (error) {
      this.handlerFailed(error)
    }
  }

  error(error: unknown): void {
    const failure =
      error instanceof ProtocolError
        ? error
        : new ProtocolError(ReasonCode.ImplementationSpecificError, 'internal error')
    this.refusePacket(failure.reasonCode, failure.message, failure.silent)
  }

  complete(): void {
    this.send({ type: 'connection.closed' })
  }

  /** The peer broke the protocol: the chart decides how the connection ends. */
  refusePacket(reasonCode: ReasonCode, reason: string, silent = false, decision?: Decision): void {
    this.send({ type: 'connection.failed', reasonCode, reason, silent, ...(decision && { decision }) })
  }

  /** Something takes time: the connection is not read meanwhile, which keeps the client's order. */
  decide(pending: Promise<unknown> | undefined): void {
    if (pending === undefined) return
    this.#decisions ??= new Decisions(this.connection)
    this.#decisions.add(
      pending,
      () => this.core.keepalive.tick,
      (error) => this.handlerFailed(error),
    )
  }

  /** What was done for one packet or timer threw: this session ends by it, and no other. */
  handlerFailed(error: unknown): void {
    handlerFailed(this, error)
  }

  // --- the chart ----------------------------------------------------------------------------

  /** The will is published, withheld or cancelled: the chart of a session that still speaks of it forgets it. */
  willSettled(): void {
    this.will = undefined
    // Behind the transition under way, which may be what cancelled it, and whose cause it is not.
    queueMicrotask(() => {
      if (this.state === 'offline' && this.will === undefined) this.send({ type: 'will.settled' })
    })
  }

  /** What its roles let it do; made when there are any. */
  access: SessionAccess | undefined = undefined

  get checksMessages(): boolean {
    return this.core.roles.policy !== undefined && (this.access ??= new SessionAccess(this)).checksMessages
  }

  mayReceive(topic: string, qos: QoS, group: string | undefined): QoS | undefined {
    const access = accessOf(this)
    return access === undefined ? qos : access.receive(topic, qos, group)
  }

  /** A message that waited for the client is not for it any more. */
  denied(publication: Publication, qos: QoS, group: string | undefined): void {
    const { observed } = this.core.events
    const decision = observed
      ? accessOf(this)?.explainReceive(publication.ownTopic ?? publication.topic, qos, group)
      : undefined
    this.dropped(publication, qos, 'denied', decision?.allowed === false ? decision.rule : undefined)
  }

  // --- messages to the client ---------------------------------------------------------------

  deliver(
    publication: Publication,
    qos: QoS,
    retain: boolean,
    subscriptionIdentifiers: readonly number[] | undefined,
    group: DeliveryGroup | undefined,
  ): void {
    if (this.outbound === undefined && !this.core.registry.hosts.has(this.id)) {
      // It has ended since the message was matched: by a hook, or between two slices of a fan-out.
      if (!group?.redeliver(publication)) this.dropped(publication, qos, 'session-ended')
      return
    }
    if (!this.hasRights) {
      if (!group?.redeliver(publication)) this.dropped(publication, qos, 'denied')
      return
    }
    this.outbound ??= this.makeOutbound()
    this.outbound.deliver(publication, qos, retain, subscriptionIdentifiers, group)
  }

  get messageKeeper(): Keeper | undefined {
    return this.keeper !== undefined && this.isPersistent ? this.keeper : undefined
  }

  holdAnswers(): void {
    holdAnswers(this)
  }

  groupOf(shared: string): DeliveryGroup {
    return this.core.router.groupOf(shared)
  }

  get observesDrops(): boolean {
    return observes(this, 'message.dropped')
  }

  makeOutbound(): Outbound {
    const outbound = new Outbound(this, this.policy.limits, this.policy.features.overflowPolicy)
    outbound.wake(this.window)
    return outbound
  }

  /** QoS 1 and 2 messages that may be unacknowledged towards this client. */
  window = 0

  dropped(publication: Publication, qos: QoS, reason: DropReason, rule?: DecidingPermission): void {
    this.core.counters.dropped[reason]++
    this.core.registry.onDropped?.(publication, reason)
    if (!observes(this, 'message.dropped')) return
    const { topic } = publication
    report(this, { type: 'message.dropped', clientId: this.clientId, topic, qos, reason, ...(rule && { rule }) })
  }

  acknowledged(publication: Publication, qos: QoS): void {
    if (!observes(this, 'message.acknowledged')) return
    report(this, { type: 'message.acknowledged', clientId: this.clientId, topic: publication.topic, qos })
  }

  queuedOffline(publication: Publication, qos: QoS): void {
    if (!observes(this, 'message.queued')) return
    report(this, { type: 'message.queued', clientId: this.clientId, topic: publication.topic, qos })
  }

  overflowed(): void {
    // Not from within a delivery: the router is in the middle of a fan-out.
    queueMicrotask(() => outboxOverflowed(this))
  }

  hasRoom(): void {
    if (this.isWaking) {
      this.isWaking = false
      this.send({ type: 'delivery.ready' })
    }
    this.replay?.wake()
  }

  /** What an earlier connection left is still going out. */
  isWaking = false

  /** Sends what waits, as far as client and socket take it. It is called from microtasks, where nobody catches. */
  pump(): void {
    if (!this.isFlowing) return
    try {
      if (this.outbound) this.outbound.pump()
      else this.hasRoom()
    } catch (error) {
      this.handlerFailed(error)
    }
  }
}
