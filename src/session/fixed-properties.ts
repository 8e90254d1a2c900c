import type { SessionContext } from '../../machines/session.machine.ts'
import type { SessionState } from '../events.ts'
import type { ConnectRequest, Grant } from '../hooks.ts'
import {
  fixedPropertyNames,
  type FixedProperties,
  type FixedPropertyName,
  type SessionProperties,
} from '../properties.ts'

/** What the broker knows of a session: a number where it is a time, in milliseconds since the epoch. */
export type FixedValue = string | number | undefined

/** Where a fixed property is read from. */
export interface FixedFacts {
  readonly grant: Grant | undefined
  readonly context: SessionContext
  readonly state: SessionState
  readonly connect: ConnectRequest | undefined
}

const readers: { readonly [Name in FixedPropertyName]: (facts: FixedFacts) => FixedValue } = {
  $SessionId: ({ context }) => context.sessionId,
  $ClientId: ({ connect }) => connect?.clientId,
  $Principal: ({ grant }) => grant?.principal,
  $Roles: ({ grant }) => grant && encodeRoles(rolesOf(grant)),
  $State: ({ state }) => state,
  $ClientIP: ({ context }) => context.connection.remoteAddress,
  $Transport: ({ context }) => context.connection.transport,
  $Listener: ({ context }) => context.connection.listener,
  $ServerName: ({ context }) => context.connection.tls?.serverName,
  $TlsVersion: ({ context }) => context.connection.tls?.version,
  // Text, as every fixed property that is no time.
  $ProtocolVersion: ({ connect }) => connect && String(connect.protocolVersion),
  $StartTime: ({ context }) => Math.round(context.startedAtMs),
  $ExpiryTime: ({ grant }) => grant?.expiresAtMs,
  $Authenticator: ({ grant }) => grant?.authenticator,
  $Country: ({ grant }) => propertyOf(grant, '$Country'),
  $Language: ({ grant }) => propertyOf(grant, '$Language'),
  $Latitude: ({ grant }) => propertyOf(grant, '$Latitude'),
  $Longitude: ({ grant }) => propertyOf(grant, '$Longitude'),
}

const readersByName: ReadonlyMap<string, (facts: FixedFacts) => FixedValue> = new Map(Object.entries(readers))

/**
 * One fixed property. `connect` is the CONNECT that is being decided on, where the chart does not
 * have it yet. Undefined where the session has none, and for a name that is none.
 */
export function fixedPropertyOf(name: string, facts: FixedFacts): FixedValue {
  return readersByName.get(name)?.(facts)
}

/** What the broker itself knows of a session, as text. */
export function fixedPropertiesOf(
  context: SessionContext,
  state: SessionState,
  connect: ConnectRequest | undefined = context.connect,
): FixedProperties {
  const properties = Object.create(null) as Partial<Record<FixedPropertyName, string>>
  const facts = { grant: context.grant, context, state, connect }
  for (const name of fixedPropertyNames) {
    const value = readers[name](facts)
    if (value !== undefined) properties[name] = String(value)
  }
  return properties
}

// A grant may come from an embedder's own `authenticate` actor, which may have made it of ordinary
// objects, or have left out what it had no use for.

export function rolesOf(grant: Grant | undefined): readonly string[] {
  return grant?.roles ?? NO_ROLES
}

export function propertiesOf(grant: Grant | undefined): SessionProperties {
  return grant?.properties ?? NO_PROPERTIES
}

export function propertyOf(grant: Grant | undefined, name: string): string | undefined {
  const properties = propertiesOf(grant)
  return Object.hasOwn(properties, name) ? properties[name] : undefined
}

const NO_ROLES: readonly string[] = []
const NO_PROPERTIES: SessionProperties = Object.freeze(Object.create(null) as Record<string, string>)

/** Roles as `$Roles` holds them: `"operator","admin"`, with `\` before a quote or another `\`. */
export function encodeRoles(roles: readonly string[]): string {
  return roles.map((role) => `"${role.replace(/["\\]/g, '\\$&')}"`).join(',')
}

/** The roles of a `$Roles`. Throws a TypeError for text that {@link encodeRoles} does not make. */
export function decodeRoles(text: string): string[] {
  const roles: string[] = []
  const role = /"((?:[^"\\]|\\["\\])*)"(,(?=")|$)/suy
  while (role.lastIndex < text.length) {
    const match = role.exec(text)
    if (!match) throw new TypeError('not a list of quoted roles')
    roles.push(match[1]!.replace(/\\(.)/gsu, '$1'))
  }
  return roles
}
