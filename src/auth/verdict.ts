import type { Allow, Challenge, Deny } from '../hooks.ts'
import { limitFault, type GrantLimits, type Limits } from '../limits.ts'
import { optionWords } from '../option-words.ts'
import type { GrantFeatures } from '../options.ts'
import { assignablePropertyNames, isPropertyName } from '../properties.ts'
import { ReasonCode } from '../reason-codes.ts'

/** UTF-8 bytes of a principal and of a role's name: both are keys of tables, and part of events and log lines. */
export const MAX_PRINCIPAL_BYTES = 1_024
const MAX_ROLE_BYTES = 256
const MAX_CREDENTIAL_BYTES = 256
const MAX_ROLES = 1_000
/** The longest string, and the most binary data, that a field of MQTT can hold. */
const MAX_STRING_BYTES = 65_535

/** What a verdict is measured against. */
export interface VerdictRules {
  /** Broker time: a grant that has ended already lets nobody in. */
  readonly nowMs: number
  readonly limits: Pick<Limits, 'maxSessionProperties' | 'maxSessionPropertyBytes'>
}

type Field = (value: unknown, rules: VerdictRules) => string | undefined

/**
 * What is wrong with a verdict, in words; undefined: nothing. Authenticators are written in
 * JavaScript too, and some answer with what another machine said (semantics 7.12). Values are left
 * out, since one could be a secret in the wrong place.
 */
export function verdictFault(verdict: unknown, rules: VerdictRules): string | undefined {
  if (typeof verdict !== 'object' || verdict === null) return 'gave no verdict'
  switch ((verdict as { type?: unknown }).type) {
    case 'allow':
      return fieldsFault(verdict, allowFields, rules, '')
    case 'deny':
      return fieldsFault(verdict, denyFields, rules, '') ?? missing(verdict, ['reasonCode', 'reason'])
    case 'challenge':
      return fieldsFault(verdict, challengeFields, rules, '')
    default:
      return 'gave no verdict'
  }
}

function fieldsFault(
  value: object,
  fields: Readonly<Record<string, Field>>,
  rules: VerdictRules,
  path: string,
): string | undefined {
  for (const [name, field] of Object.entries(value)) {
    const check = Object.hasOwn(fields, name) ? fields[name] : undefined
    if (!check) return `${path}${JSON.stringify(name.slice(0, 64))}: there is no such modifier`
    const fault = field === undefined ? undefined : check(field, rules)
    if (fault !== undefined) return `${path}${name}: ${fault}`
  }
  return undefined
}

function missing(value: object, names: readonly string[]): string | undefined {
  const name = names.find((one) => (value as Record<string, unknown>)[one] === undefined)
  return name === undefined ? undefined : `${name}: is missing`
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Text that can be sent and compared: Unicode without halves of surrogate pairs, and without U+0000 (MQTT-1.5.4-2). */
const isText = (value: unknown, maxBytes: number): value is string =>
  typeof value === 'string' && value.isWellFormed() && !value.includes('\0') && Buffer.byteLength(value) <= maxBytes

const text: Field = (value) =>
  isText(value, MAX_STRING_BYTES) ? undefined : `expected text of at most ${MAX_STRING_BYTES} bytes`
const flag: Field = (value) => (typeof value === 'boolean' ? undefined : 'expected true or false')
const anything: Field = () => undefined
const bytes: Field = (value) =>
  value instanceof Uint8Array && value.length <= MAX_STRING_BYTES
    ? undefined
    : `expected at most ${MAX_STRING_BYTES} bytes`

function oneOf(...allowed: readonly unknown[]): Field {
  return (value) => (allowed.includes(value) ? undefined : `expected one of ${JSON.stringify(allowed)}`)
}

function wholeNumber(max: number): Field {
  return (value) =>
    Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max
      ? undefined
      : `expected a whole number from 0 to ${max}`
}

const limitNames = {
  maxPacketBytes: true,
  maxInflightMessages: true,
  receiveMaximumMessages: true,
  maxQueuedMessages: true,
  maxQueuedBytes: true,
  maxMessagesPerSecond: true,
  messageBurst: true,
  maxBytesPerSecond: true,
  burstBytes: true,
  maxSubscribesPerSecond: true,
  subscribeBurst: true,
  maxTopicLevels: true,
  topicAliasMaximum: true,
  maxOutboundTopicAliases: true,
  maxSubscriptionsPerSession: true,
  maxSessionsPerPrincipal: true,
  maxSessionExpirySeconds: true,
  maxKeepAliveSeconds: true,
  maxConnectionSeconds: true,
  grantExpiringMs: true,
  grantGraceMs: true,
} satisfies Record<keyof GrantLimits, true>

const limitFields = Object.fromEntries(
  (Object.keys(limitNames) as Array<keyof GrantLimits>).map((name) => [
    name,
    (value: unknown) => limitFault(name, value),
  ]),
)

const featureFields = {
  maximumQoS: oneOf(0, 1, 2),
  retainAvailable: flag,
  wildcardSubscriptionAvailable: flag,
  subscriptionIdentifiersAvailable: flag,
  sharedSubscriptionAvailable: flag,
  sharedSubscriptionStrategy: oneOf(...optionWords.sharedSubscriptionStrategy),
  overflowPolicy: oneOf(...optionWords.overflowPolicy),
  responseInformation: text,
  sessionExpiryIntervalSeconds: wholeNumber(4_294_967_295),
  keepAliveSeconds: wholeNumber(65_535),
  reasonString: text,
  userProperties: (value) =>
    Array.isArray(value) && value.every(isPair) ? undefined : 'expected a list of pairs of texts',
} satisfies Record<keyof GrantFeatures, Field>

function isPair(pair: unknown): boolean {
  return Array.isArray(pair) && pair.length === 2 && pair.every((part) => isText(part, MAX_STRING_BYTES))
}

const allowFields = {
  type: anything,
  principal: (value) =>
    value !== '' && isText(value, MAX_PRINCIPAL_BYTES)
      ? undefined
      : `expected text of 1 to ${MAX_PRINCIPAL_BYTES} bytes`,
  roles: (value) => {
    if (!Array.isArray(value) || value.length > MAX_ROLES) return `expected a list of at most ${MAX_ROLES} names`
    const isName = (role: unknown): boolean => role !== '' && isText(role, MAX_ROLE_BYTES)
    return value.every(isName) ? undefined : `expected names of 1 to ${MAX_ROLE_BYTES} bytes`
  },
  properties: (value, { limits }) => (isMap(value) ? propertiesFault(value, limits) : 'expected a map of texts'),
  expiresAtMs: (value, { nowMs }) => {
    if (typeof value !== 'number' || !Number.isFinite(value)) return 'expected milliseconds since the epoch'
    return value > nowMs ? undefined : 'is over already'
  },
  limits: (value, rules) => (isMap(value) ? fieldsFault(value, limitFields, rules, '') : 'expected a map'),
  connack: (value, rules) => (isMap(value) ? fieldsFault(value, featureFields, rules, '') : 'expected a map'),
  authenticationData: bytes,
  credential: (value) =>
    isText(value, MAX_CREDENTIAL_BYTES) ? undefined : `expected text of at most ${MAX_CREDENTIAL_BYTES} bytes`,
} satisfies Record<keyof Allow, Field>

const denyFields = {
  type: anything,
  reasonCode: (value) => (failureCodes.has(value) ? undefined : 'expected a reason code that means failure'),
  reason: text,
  serverReference: text,
} satisfies Record<keyof Deny, Field>

const failureCodes: ReadonlySet<unknown> = new Set(Object.values(ReasonCode).filter((code) => code >= 0x80))

const challengeFields = { type: anything, authenticationData: bytes } satisfies Record<keyof Challenge, Field>

/** User-defined properties are counted; the few fixed ones that may be set are not. */
function propertiesFault(
  properties: Readonly<Record<string, unknown>>,
  { maxSessionProperties, maxSessionPropertyBytes }: VerdictRules['limits'],
): string | undefined {
  let count = 0
  let size = 0
  for (const [name, value] of Object.entries(properties)) {
    const isFixed = (assignablePropertyNames as readonly string[]).includes(name)
    if (!isFixed && !isPropertyName(name)) return `${JSON.stringify(name.slice(0, 64))} is no name for a property`
    if (!isText(value, MAX_STRING_BYTES)) return `${name}: expected text`
    if (!isFixed) count += 1
    size += Buffer.byteLength(name) + Buffer.byteLength(value)
  }
  if (count > maxSessionProperties) return `more than maxSessionProperties (${maxSessionProperties})`
  return size > maxSessionPropertyBytes ? `more than maxSessionPropertyBytes (${maxSessionPropertyBytes})` : undefined
}
