import { z } from 'zod'

import { defaultLimits, type BrokerOptions, type Limits, type ListenerOptions } from '../options.ts'

/** The options that take code, which a file can't hold. */
type CodeOnly = 'authenticators' | 'hooks' | 'machine' | 'clock' | 'logger' | 'server'

const wholeOrInfinite = 'expected a whole number of 0 or more, or .inf'

/**
 * Zod's own number type refuses infinity, and a person may write it in words. Ranges that the
 * protocol sets are the broker's to check; a file is judged by the same rules as `createBroker`.
 */
const limitValue = z
  .union([z.number(), z.literal(Infinity), z.literal('Infinity').transform(() => Infinity)], { error: wholeOrInfinite })
  .refine((value) => value === Infinity || (Number.isSafeInteger(value) && value >= 0), { error: wholeOrInfinite })

type LimitShape = { [Name in keyof Limits]: z.ZodExactOptional<typeof limitValue> }

const limits = z.strictObject(
  Object.fromEntries(Object.keys(defaultLimits).map((name) => [name, limitValue.exactOptional()])) as LimitShape,
)

const filled = z.string().min(1)
const portNumber = z.int().min(0).max(65_535)

const common = {
  name: filled.exactOptional(),
  limits: limits.exactOptional(),
  allowAnonymous: z.boolean().exactOptional(),
}

const address = {
  port: portNumber.exactOptional(),
  host: filled.exactOptional(),
  backlog: z.int().min(1).exactOptional(),
  proxyProtocol: z.strictObject({ trustedAddresses: z.array(filled).min(1) }).exactOptional(),
}

const webSocket = {
  path: z
    .union([z.literal('*'), z.string().startsWith('/')], { error: 'expected a path that starts with /, or *' })
    .exactOptional(),
  origins: z.array(filled).exactOptional(),
}

/** Like `TlsOptions`, with the names of files instead of their contents. */
const tls = {
  keyFile: filled,
  certFile: filled,
  caFile: filled.exactOptional(),
  requestCert: z.boolean().exactOptional(),
  rejectUnauthorized: z.boolean().exactOptional(),
  minVersion: z.enum(['TLSv1.2', 'TLSv1.3']).exactOptional(),
  serverNames: z.record(filled, z.strictObject({ keyFile: filled, certFile: filled })).exactOptional(),
}

const listener = z.discriminatedUnion(
  'transport',
  [
    z.strictObject({ transport: z.literal('tcp'), ...common, ...address }),
    z.strictObject({ transport: z.literal('tls'), ...common, ...address, ...tls }),
    z.strictObject({ transport: z.literal('ws'), ...common, ...address, ...webSocket }),
    z.strictObject({ transport: z.literal('wss'), ...common, ...address, ...webSocket, ...tls }),
    z.strictObject({
      transport: z.literal('unix'),
      ...common,
      path: filled,
      mode: z.int().min(0).max(0o777).exactOptional(),
    }),
  ],
  { error: (issue) => (issue.code === 'invalid_union' ? 'expected "tcp", "tls", "ws", "wss" or "unix"' : undefined) },
)

/** Every option of `createBroker` that is not code; a new one without a place here does not compile. */
const brokerOptions = {
  limits: limits.exactOptional(),
  allowAnonymous: z.boolean().exactOptional(),
  overflowPolicy: z.enum(['drop-oldest', 'drop-newest', 'disconnect']).exactOptional(),
  sharedSubscriptionStrategy: z.enum(['round-robin', 'sticky', 'random', 'least-inflight']).exactOptional(),
  responseInformation: z.string().exactOptional(),
  maximumQoS: z.literal([0, 1, 2]).exactOptional(),
  retainAvailable: z.boolean().exactOptional(),
  wildcardSubscriptionAvailable: z.boolean().exactOptional(),
  subscriptionIdentifiersAvailable: z.boolean().exactOptional(),
  sharedSubscriptionAvailable: z.boolean().exactOptional(),
} satisfies Record<Exclude<keyof BrokerOptions, CodeOnly>, z.ZodType>

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

/** What a configuration file may say: strict, so that a misspelt key is an error and not a default. */
export const configSchema = z.strictObject({
  listeners: z.array(listener).min(1).exactOptional(),
  ...brokerOptions,
  store: z.literal('memory').exactOptional(),
  logLevel: z.enum(logLevels).exactOptional(),
  drainTimeoutMs: z.int().min(0).exactOptional(),
})

export type Config = z.infer<typeof configSchema>
export type ListenerConfig = z.infer<typeof listener>

/** The broker's part of the file, as `createBroker` takes it. */
export type BrokerConfig = Pick<Config, keyof typeof brokerOptions>

/** A listener's options with the key material read: what `broker.listen` takes. */
export type ListenerWithoutCode = Exclude<ListenerOptions, { server: unknown }>

export const brokerOptionNames = Object.keys(brokerOptions) as ReadonlyArray<keyof typeof brokerOptions>
