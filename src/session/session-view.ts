import type { SessionContext } from '../../machines/session.machine.ts'
import type { SessionState } from '../events.ts'
import type { Grant } from '../hooks.ts'
import type { Attributes, AttributeScope, AttributeValue, FixedProperties, SessionProperties } from '../properties.ts'
import type { ReasonCode } from '../reason-codes.ts'
import { fixedPropertiesOf, propertiesOf } from './fixed-properties.ts'
import { guardedActor } from './guarded-actor.ts'
import type { Session, SessionActor } from './session.ts'
import type { DirectDelivery, DirectMessage } from './session-delivery.ts'
import {
  attributeChange,
  disconnection,
  expiration,
  failed,
  isThere,
  propertyChange,
  revocation,
  roleChange,
  type AttributeChange,
  type PreviousValues,
  type PropertyChange,
  type RoleChange,
  type SessionOperation,
  type SessionOutcome,
} from './session-operations.ts'

/** A session as an embedder sees it. What it tells is what is so when it is asked. */
export interface SessionView {
  readonly clientId: string
  /** Unique for the life of the process. */
  readonly sessionId: string
  readonly state: SessionState
  /** What the chart knows of it: grant, settings, will, deadlines. Never a secret or a payload. */
  readonly context: SessionContext
  /** The actor: observe it; send it events only if you know the chart. An observer that throws is logged and unsubscribed. */
  readonly actorRef: SessionActor
  /** Who it is: principal, roles, and since when. */
  readonly grant: Grant | undefined
  /** User-defined session properties. */
  readonly properties: SessionProperties
  /** What the broker itself knows of it, as text: `$ClientIP`, `$StartTime` and so on. */
  readonly fixedProperties: FixedProperties
  /** What the server wrote to it, by how long it lives. */
  readonly attributes: Readonly<Record<AttributeScope, Attributes>>
  /** Messages that wait in its outbox. */
  readonly queuedMessages: number
  readonly queuedBytes: number
  /** QoS 1 and 2 messages that it has not acknowledged. */
  readonly inflightMessages: number
  /** Filters as its client wrote them. */
  readonly subscriptions: readonly string[]
  /** Ends the connection with a DISCONNECT (MQTT 5); its will is published by the rules. Default 0x98. */
  disconnect(reasonCode?: ReasonCode, reason?: string): SessionOutcome
  /** Ends the session, and its connection if it has one. */
  expire(): SessionOutcome
  /** See `BrokerSessions.revoke`. */
  revoke(reason?: string): SessionOutcome
  /** See `BrokerSessions.changeRoles`; throws what that one rejects with. */
  changeRoles(change: RoleChange): SessionOutcome<readonly string[]>
  /** See `BrokerSessions.setProperties`; throws what that one rejects with. */
  setProperties(change: PropertyChange): SessionOutcome<PreviousValues<string>>
  /** See `BrokerSessions.setAttributes`; throws what that one rejects with. */
  setAttributes(
    change: AttributeChange,
    options: { readonly scope: AttributeScope },
  ): SessionOutcome<PreviousValues<AttributeValue>>
  /** See `BrokerSessions.publishTo`; throws what that one rejects with. */
  publish(message: DirectMessage): SessionOutcome
}

export class LiveSessionView implements SessionView {
  readonly #session: Session
  readonly #delivery: DirectDelivery

  readonly #by: string

  constructor(session: Session, delivery: DirectDelivery, by: string) {
    this.#by = by
    this.#session = session
    this.#delivery = delivery
  }

  get clientId(): string {
    return this.#session.clientId
  }

  get sessionId(): string {
    return this.#session.id
  }

  get state(): SessionState {
    return this.#session.state
  }

  get context(): SessionContext {
    return this.#session.context
  }

  get actorRef(): SessionActor {
    return guardedActor(this.#session)
  }

  get grant(): Grant | undefined {
    return this.#session.grant
  }

  get properties(): SessionProperties {
    const properties = Object.create(null) as Record<string, string>
    for (const [name, value] of Object.entries(propertiesOf(this.grant))) {
      if (!name.startsWith('$')) properties[name] = value
    }
    return properties
  }

  get fixedProperties(): FixedProperties {
    return fixedPropertiesOf(this.context, this.state)
  }

  get attributes(): Readonly<Record<AttributeScope, Attributes>> {
    const { sessionAttributes, connectionAttributes } = this.context
    return { session: sessionAttributes, connection: connectionAttributes }
  }

  get queuedMessages(): number {
    return this.#session.outbound?.queued ?? 0
  }

  get queuedBytes(): number {
    return this.#session.outbound?.queuedBytes ?? 0
  }

  get inflightMessages(): number {
    return this.#session.outbound?.inflight ?? 0
  }

  get subscriptions(): readonly string[] {
    return [...(this.#session.subscriptions?.entries() ?? [])].map(([filter]) => filter)
  }

  disconnect(reasonCode?: ReasonCode, reason?: string): SessionOutcome {
    return this.#run(disconnection(reasonCode, reason))
  }

  expire(): SessionOutcome {
    return this.#run(expiration())
  }

  revoke(reason?: string): SessionOutcome {
    return this.#run(revocation(reason))
  }

  changeRoles(change: RoleChange): SessionOutcome<readonly string[]> {
    return this.#run(roleChange(change))
  }

  setProperties(change: PropertyChange): SessionOutcome<PreviousValues<string>> {
    return this.#run(propertyChange(change))
  }

  setAttributes(
    change: AttributeChange,
    options: { readonly scope: AttributeScope },
  ): SessionOutcome<PreviousValues<AttributeValue>> {
    return this.#run(attributeChange(change, options))
  }

  publish(message: DirectMessage): SessionOutcome {
    return this.#run(this.#delivery.operation(message))
  }

  #run<Previous>(operation: SessionOperation<Previous>): SessionOutcome<Previous> {
    const session = this.#session
    return isThere(session)
      ? operation(session, this.#by)
      : failed(session, 'SMQ_SESSION_UNKNOWN', 'the session has ended')
  }
}
