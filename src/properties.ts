/** Who gave a session property: the client, and an authenticator that let it; an authenticator; the server. */
export type PropertySource = 'client' | 'authenticator' | 'server'

/** User-defined session properties: names without `$` or `@` in front, white space, quotes, parentheses. Null prototype, frozen. */
export type SessionProperties = Readonly<Record<string, string>>

/** What an attribute may hold. */
export type AttributeValue = string | number | boolean

/** Values that only the server writes, kept with a connection or with a session. Null prototype, frozen. */
export type Attributes = Readonly<Record<string, AttributeValue>>

/** `connection`: gone when the connection ends; `session`: gone when the session ends. */
export type AttributeScope = 'connection' | 'session'

/** Names of the properties that the broker itself knows of every session. */
export const fixedPropertyNames = [
  '$SessionId',
  '$ClientId',
  '$Principal',
  '$Roles',
  '$State',
  '$ClientIP',
  '$Transport',
  '$Listener',
  '$ServerName',
  '$TlsVersion',
  '$ProtocolVersion',
  '$StartTime',
  '$ExpiryTime',
  '$Authenticator',
  '$Country',
  '$Language',
  '$Latitude',
  '$Longitude',
] as const
export type FixedPropertyName = (typeof fixedPropertyNames)[number]

/** The fixed ones that an authenticator may set; the others are facts. */
export const assignablePropertyNames = ['$Country', '$Language', '$Latitude', '$Longitude'] as const

/** Fixed properties as hooks and authenticators read them; null prototype. */
export type FixedProperties = Readonly<Partial<Record<FixedPropertyName, string>>>

/** A name that a user-defined property or an attribute may have. */
export function isPropertyName(name: string): boolean {
  return name.length > 0 && name.length <= MAX_NAME && !/^[$@]|[\s'"()[\],]/u.test(name) && name.isWellFormed()
}
const MAX_NAME = 256
