import { compileRoles, type RolePolicy } from '../auth/access-policy.ts'
import type { Access } from '../auth/access.ts'
import type { Grant } from '../hooks.ts'
import type { BrokerOptions, ReloadOptions } from '../options.ts'
import type { PartialSubscriptions } from '../roles.ts'
import type { SessionCore } from './core.ts'
import { propertiesOf, rolesOf } from './fixed-properties.ts'
import type { Session } from './session.ts'

/** The roles in force, for all sessions of a broker. */
export interface RolesInForce {
  /** Undefined: none are configured, and everything is allowed. */
  readonly policy: RolePolicy | undefined
  readonly partialSubscriptions: PartialSubscriptions
  readonly retainedOfRevoked: 'keep' | 'purge'
}

/** Throws SMQ_ROLES_INVALID. `version` is that of the definitions. */
export function rolesInForce(
  options: Pick<BrokerOptions, 'roles' | 'partialSubscriptions' | 'retainedOfRevoked'>,
  version: number,
): RolesInForce {
  return {
    policy: options.roles && compileRoles(options.roles, version),
    partialSubscriptions: options.partialSubscriptions ?? 'filter',
    retainedOfRevoked: options.retainedOfRevoked ?? 'keep',
  }
}

/** Whether another {@link RolesInForce} follows from options that are taken anew. */
export function reloadsRoles(changes: ReloadOptions): boolean {
  return 'roles' in changes || 'partialSubscriptions' in changes || 'retainedOfRevoked' in changes
}

/** What a grant allows under the roles in force; undefined: everything. */
export function accessOfGrant(core: SessionCore, clientId: string, grant: Grant | undefined): Access | undefined {
  const { policy } = core.roles
  if (policy === undefined) return undefined
  return policy.accessFor({
    clientId,
    principal: grant?.principal,
    roles: rolesOf(grant),
    properties: propertiesOf(grant),
  })
}

/**
 * What one session may do. It is looked up anew as soon as the grant is another one or the roles are
 * (semantics 7.16). Made when roles are in force and somebody asks.
 */
export class SessionAccess {
  readonly #session: Session
  #grant: Grant | undefined = undefined
  #policy: RolePolicy | undefined = undefined
  #access: Access | undefined = undefined
  /** By what subscriptions and messages were looked at last. */
  #authorisedBy: Access | undefined = undefined
  #authorisedVersion = -1
  /** Some of its subscriptions match more than it may read. */
  isPartial = false

  constructor(session: Session) {
    this.#session = session
  }

  /** Undefined: everything is allowed. */
  get current(): Access | undefined {
    const { core, clientId, grant } = this.#session
    const { policy } = core.roles
    if (grant !== this.#grant || policy !== this.#policy) {
      this.#access = accessOfGrant(core, clientId, grant)
      this.#grant = grant
      this.#policy = policy
    }
    return this.#access
  }

  get authorisedBy(): Access | undefined {
    return this.#authorisedBy
  }

  /**
   * Whether messages are to be looked at one by one: a subscription matches more than may be read, or
   * the roles have changed since the subscriptions were compared with them (threat 84).
   */
  get checksMessages(): boolean {
    return this.isPartial || this.#authorisedVersion !== this.#session.core.policyVersion
  }

  /** Subscriptions and messages are about to be looked at by the current access; true if it is another one. */
  authorise(): boolean {
    const access = this.current
    const isOther = access !== this.#authorisedBy || this.#authorisedVersion < 0
    this.#authorisedBy = access
    this.#authorisedVersion = this.#session.core.policyVersion
    return isOther
  }
}

/** What the session may do now; undefined: everything. */
export function accessOf(session: Session): Access | undefined {
  if (session.core.roles.policy === undefined) return undefined
  return (session.access ??= new SessionAccess(session)).current
}
