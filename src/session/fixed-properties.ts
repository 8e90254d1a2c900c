import type { SessionContext } from '../../machines/session.machine.ts'
import type { SessionState } from '../events.ts'
import type { ConnectRequest } from '../hooks.ts'
import type { FixedProperties } from '../properties.ts'

/**
 * What the broker itself knows of a session, as text. `connect` is the CONNECT that is being decided
 * on, where the chart does not have it yet.
 */
export function fixedPropertiesOf(
  context: SessionContext,
  state: SessionState,
  connect: ConnectRequest | undefined = context.connect,
): FixedProperties {
  const { connection, grant } = context
  const properties: Record<string, string> = Object.create(null)
  const set = (name: string, value: string | number | undefined): void => {
    if (value !== undefined) properties[name] = String(value)
  }
  set('$SessionId', context.sessionId)
  set('$ClientId', connect?.clientId)
  set('$Principal', grant?.principal)
  if (grant) set('$Roles', encodeRoles(grant.roles))
  set('$State', state)
  set('$ClientIP', connection.remoteAddress)
  set('$Transport', connection.transport)
  set('$Listener', connection.listener)
  set('$ServerName', connection.tls?.serverName)
  set('$TlsVersion', connection.tls?.version)
  set('$ProtocolVersion', connect?.protocolVersion)
  set('$StartTime', Math.round(context.startedAtMs))
  set('$ExpiryTime', grant?.expiresAtMs)
  set('$Authenticator', grant?.authenticator)
  if (grant) for (const name of ['$Country', '$Language', '$Latitude', '$Longitude']) set(name, grant.properties[name])
  return properties
}

/** Roles as one text: quoted, separated by commas. */
export function encodeRoles(roles: readonly string[]): string {
  return roles.map((role) => JSON.stringify(role)).join(',')
}
