/**
 * The MQTT 5 property table as the tests see it: written from the specification (section 2.2.2.2)
 * and sharing nothing with `src/codec`, so that the builders of `wire.ts` and the decoder of
 * `wire-decode.ts` are a second opinion and not an echo.
 */

/** How a property's value looks on the wire. */
export type PropertyKind = 'byte' | 'u16' | 'u32' | 'varint' | 'utf8' | 'binary' | 'pair'

/** The packets a property may appear in; `will` stands for the will properties inside CONNECT. */
export type PropertyHome =
  | 'connect'
  | 'connack'
  | 'publish'
  | 'will'
  | 'puback'
  | 'pubrec'
  | 'pubrel'
  | 'pubcomp'
  | 'subscribe'
  | 'suback'
  | 'unsubscribe'
  | 'unsuback'
  | 'disconnect'
  | 'auth'

interface PropertyRow {
  readonly id: number
  readonly kind: PropertyKind
  readonly homes: readonly PropertyHome[]
}

const acknowledgements = ['puback', 'pubrec', 'pubrel', 'pubcomp'] as const
const everywhere: readonly PropertyHome[] = [
  ...([
    'connect',
    'connack',
    'publish',
    'will',
    'subscribe',
    'suback',
    'unsubscribe',
    'unsuback',
    'disconnect',
    'auth',
  ] as const),
  ...acknowledgements,
]
const withReason: readonly PropertyHome[] = ['connack', 'suback', 'unsuback', 'disconnect', 'auth', ...acknowledgements]

export const propertyTable = {
  payloadFormatIndicator: { id: 0x01, kind: 'byte', homes: ['publish', 'will'] },
  messageExpiryInterval: { id: 0x02, kind: 'u32', homes: ['publish', 'will'] },
  contentType: { id: 0x03, kind: 'utf8', homes: ['publish', 'will'] },
  responseTopic: { id: 0x08, kind: 'utf8', homes: ['publish', 'will'] },
  correlationData: { id: 0x09, kind: 'binary', homes: ['publish', 'will'] },
  subscriptionIdentifiers: { id: 0x0b, kind: 'varint', homes: ['publish', 'subscribe'] },
  sessionExpiryInterval: { id: 0x11, kind: 'u32', homes: ['connect', 'connack', 'disconnect'] },
  assignedClientIdentifier: { id: 0x12, kind: 'utf8', homes: ['connack'] },
  serverKeepAlive: { id: 0x13, kind: 'u16', homes: ['connack'] },
  authenticationMethod: { id: 0x15, kind: 'utf8', homes: ['connect', 'connack', 'auth'] },
  authenticationData: { id: 0x16, kind: 'binary', homes: ['connect', 'connack', 'auth'] },
  requestProblemInformation: { id: 0x17, kind: 'byte', homes: ['connect'] },
  willDelayInterval: { id: 0x18, kind: 'u32', homes: ['will'] },
  requestResponseInformation: { id: 0x19, kind: 'byte', homes: ['connect'] },
  responseInformation: { id: 0x1a, kind: 'utf8', homes: ['connack'] },
  serverReference: { id: 0x1c, kind: 'utf8', homes: ['connack', 'disconnect'] },
  reasonString: { id: 0x1f, kind: 'utf8', homes: withReason },
  receiveMaximum: { id: 0x21, kind: 'u16', homes: ['connect', 'connack'] },
  topicAliasMaximum: { id: 0x22, kind: 'u16', homes: ['connect', 'connack'] },
  topicAlias: { id: 0x23, kind: 'u16', homes: ['publish'] },
  maximumQoS: { id: 0x24, kind: 'byte', homes: ['connack'] },
  retainAvailable: { id: 0x25, kind: 'byte', homes: ['connack'] },
  userProperties: { id: 0x26, kind: 'pair', homes: everywhere },
  maximumPacketSize: { id: 0x27, kind: 'u32', homes: ['connect', 'connack'] },
  wildcardSubscriptionAvailable: { id: 0x28, kind: 'byte', homes: ['connack'] },
  subscriptionIdentifiersAvailable: { id: 0x29, kind: 'byte', homes: ['connack'] },
  sharedSubscriptionAvailable: { id: 0x2a, kind: 'byte', homes: ['connack'] },
} as const satisfies Record<string, PropertyRow>

export type PropertyName = keyof typeof propertyTable

type ValueOf<Kind> = Kind extends 'byte' | 'u16' | 'u32' ? number : Kind extends 'utf8' ? string : Buffer

/**
 * Properties by name. Subscription identifiers and user properties are lists, because they may
 * occur more than once and their order counts; everything else occurs at most once.
 */
export type WireProperties = {
  [Name in Exclude<PropertyName, 'subscriptionIdentifiers' | 'userProperties'>]?: ValueOf<
    (typeof propertyTable)[Name]['kind']
  >
} & {
  subscriptionIdentifiers?: readonly number[]
  userProperties?: ReadonlyArray<readonly [string, string]>
}

const propertyNames = Object.keys(propertyTable) as readonly PropertyName[]

/** The name and row for an identifier on the wire; undefined for an identifier that MQTT 5 does not know. */
export function propertyById(id: number): readonly [PropertyName, PropertyRow] | undefined {
  const name = propertyNames.find((candidate) => propertyTable[candidate].id === id)
  return name && [name, propertyTable[name]]
}
