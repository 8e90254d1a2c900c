import type { BrokerEvent, EventOf } from './events.ts'
import type { ConnectRequest, HookClient } from './hooks.ts'

/** Nobody waits for what an observer returns; a promise counts as under way until it settles. */
export type Observed = void | Promise<void>

/**
 * The points at which an embedder watches, in the order of a session's life. Observers are called
 * behind the turn in which it happened, from a queue of `limits.maxObserverCalls` for each plugin:
 * they cannot slow a session or change anything, and one that throws is reported as `hook.failed`.
 */
export interface ObserverHooks {
  /** An authenticator, a hook or a quota refused a CONNECT. */
  onRefused?(event: EventOf<'session.refused'>, request: ConnectRequest): Observed
  /** A session has a connection, and what was left for its client is about to go out. */
  onWakeup?(event: EventOf<'session.woken'>, client: HookClient): Observed
  /** CONNACK 0x00 was sent. */
  onOnline?(event: EventOf<'session.online'>, client: HookClient): Observed
  /** Another connection took the session over, and `client` is who has it now; or it ended for a fresh one. */
  onTakenOver?(event: EventOf<'session.taken-over'>, client: HookClient): Observed
  /** A filter was granted. */
  onSubscribed?(event: EventOf<'subscription.added'>, client: HookClient): Observed
  /** A filter was removed: by UNSUBSCRIBE, or with the session. */
  onUnsubscribed?(event: EventOf<'subscription.removed'>, client: HookClient): Observed
  /** A PUBLISH of the client was given to everybody. */
  onPublished?(event: EventOf<'message.published'>, client: HookClient): Observed
  /** The client acknowledged a message. */
  onAcknowledged?(event: EventOf<'message.acknowledged'>, client: HookClient): Observed
  /** A message did not reach the client, or did not leave it. */
  onDropped?(event: EventOf<'message.dropped'>, client: HookClient): Observed
  /** A message waits for the client, which is offline. */
  onOfflineMessage?(event: EventOf<'message.queued'>, client: HookClient): Observed
  /** A re-authentication succeeded. */
  onReauthenticated?(event: EventOf<'session.reauthenticated'>, client: HookClient): Observed
  /** The grant is about to end. */
  onAuthorityExpiring?(event: EventOf<'authority.expiring'>, client: HookClient): Observed
  /** The grant has ended, grace included. */
  onAuthorityExpired?(event: EventOf<'authority.expired'>, client: HookClient): Observed
  /** The server took the grant away. */
  onAuthorityRevoked?(event: EventOf<'authority.revoked'>, client: HookClient): Observed
  /** The server changed the roles of the grant. */
  onRolesChanged?(event: EventOf<'roles.changed'>, client: HookClient): Observed
  /** User-defined session properties have other values. */
  onPropertiesChanged?(event: EventOf<'properties.changed'>, client: HookClient): Observed
  /** Attributes of the session or of its connection have other values. */
  onAttributesChanged?(event: EventOf<'attributes.changed'>, client: HookClient): Observed
  /** The connection is gone, the session is kept. */
  onOffline?(event: EventOf<'session.offline'>, client: HookClient): Observed
  /** A session that was online ended together with its connection. */
  onGone?(event: EventOf<'session.gone'>, client: HookClient): Observed
  /** A session that was offline ended. */
  onExpired?(event: EventOf<'session.expired'>, client: HookClient): Observed
  /** A client with a will is online. */
  onWillArmed?(event: EventOf<'will.armed'>, client: HookClient): Observed
  /** The will was published. */
  onWillPublished?(event: EventOf<'will.published'>, client: HookClient): Observed
  /** The will was due and was not published. */
  onWillWithheld?(event: EventOf<'will.withheld'>, client: HookClient): Observed
}

/** What each observer is told: the type of its event. */
export const observedEvents = {
  onRefused: 'session.refused',
  onWakeup: 'session.woken',
  onOnline: 'session.online',
  onTakenOver: 'session.taken-over',
  onSubscribed: 'subscription.added',
  onUnsubscribed: 'subscription.removed',
  onPublished: 'message.published',
  onAcknowledged: 'message.acknowledged',
  onDropped: 'message.dropped',
  onOfflineMessage: 'message.queued',
  onReauthenticated: 'session.reauthenticated',
  onAuthorityExpiring: 'authority.expiring',
  onAuthorityExpired: 'authority.expired',
  onAuthorityRevoked: 'authority.revoked',
  onRolesChanged: 'roles.changed',
  onPropertiesChanged: 'properties.changed',
  onAttributesChanged: 'attributes.changed',
  onOffline: 'session.offline',
  onGone: 'session.gone',
  onExpired: 'session.expired',
  onWillArmed: 'will.armed',
  onWillPublished: 'will.published',
  onWillWithheld: 'will.withheld',
} as const satisfies { readonly [Name in keyof ObserverHooks]-?: BrokerEvent['type'] }
