import type { QoS } from './messages.ts'

/** What a permission is about. Deliveries, retained and queued messages are `subscribe`; a will is `publish`. */
export type PermissionAction = 'publish' | 'subscribe'

interface PermissionScope {
  /**
   * A topic filter. `%c` stands for the client identifier, `%u` for the principal and `%p{key}` for a
   * session property, within a level or as a whole one; `%%` is a per cent sign. A value is compared as
   * text: one that is missing or empty, holds `+`, `#` or `/`, or would begin a topic with `$`, makes an
   * allowing permission match nothing, and a denying one match every value of that level.
   */
  readonly topic: string
  /** QoS levels that it speaks of. Default: all. */
  readonly qos?: readonly QoS[]
  /** Publish: only messages with (true) or without (false) RETAIN. Default: both. */
  readonly retain?: boolean
  /** Subscribe: only through (true) or outside of (false) shared subscriptions. Default: both. */
  readonly shared?: boolean
  /** Subscribe: only through shared subscriptions of this group. */
  readonly group?: string
}

/** Allows or denies actions on topics. Of those that match, one that denies wins. */
export type Permission =
  | (PermissionScope & { readonly allow: PermissionAction | readonly PermissionAction[]; readonly deny?: never })
  | (PermissionScope & { readonly deny: PermissionAction | readonly PermissionAction[]; readonly allow?: never })

/** What a role lets its sessions do. */
export interface RoleDefinition {
  /** Roles whose permissions this one has as well; no circles. */
  readonly include?: readonly string[]
  readonly permissions?: readonly Permission[]
}

/**
 * Roles by name. Once any is configured, what no permission allows is denied; an empty map therefore
 * denies everything. A grant's role that is not in the map adds nothing.
 */
export type RoleDefinitions = Readonly<Record<string, RoleDefinition>>

/**
 * What becomes of a subscription that could match topics which its session may not read: `filter`
 * grants it and checks each delivery, `refuse` answers 0x87.
 */
export type PartialSubscriptions = 'filter' | 'refuse'

/** The permission that decided about something. */
export interface DecidingPermission {
  /** The role that has it itself, which may be one that a role of the session includes. */
  readonly role: string
  /** Its place in that role's `permissions`, from 0. */
  readonly index: number
  readonly effect: 'allow' | 'deny'
  /** Its topic, as it is written. */
  readonly topic: string
}
