import { z } from 'zod'

import { defaultLimits, limitFault, type Limits } from '../limits.ts'
import { optionWords } from '../option-words.ts'
import type { BrokerOptions, CommonListenerOptions } from '../options.ts'
import { hasSecret, readRedisUrl } from '../store/redis-url.ts'
import { authenticators, secret } from './authenticator-schema.ts'
import { inspectSection } from './inspect-settings.ts'
import { logLevels } from './log-levels.ts'
import { durabilities, lmdbDurabilities, redisDurabilities, storeTypes } from './store-kinds.ts'

/** The options that take code, which a file can't hold. */
type CodeOnly = 'hooks' | 'machine' | 'clock' | 'logger' | 'server'

/** Named apart from the others: the command has defaults of its own for it. */
type NamedApart = 'store' | 'inspect'

/** Zod's own number type refuses infinity, and a person may write it as a word. */
function limitValue(name: keyof Limits) {
  return z
    .unknown()
    .transform((value) => (value === 'Infinity' ? Infinity : value))
    .pipe(
      z.custom<number>((value) => limitFault(name, value) === undefined, {
        error: ({ input }) => limitFault(name, input) ?? '',
      }),
    )
    .exactOptional()
}

const limits = z.strictObject(
  Object.fromEntries((Object.keys(defaultLimits) as Array<keyof Limits>).map((name) => [name, limitValue(name)])) as {
    [Name in keyof Limits]: ReturnType<typeof limitValue>
  },
)

const filled = z.string().min(1)
const portNumber = z.int().min(0).max(65_535)

const names = z.array(filled)
const clientIds = z.strictObject({
  fromPrincipal: z.boolean().exactOptional(),
  prefix: z.string().exactOptional(),
  pattern: z.string().exactOptional(),
})

/** What decides on the clients of a broker, and of one listener in place of the broker's. */
const identity = {
  authenticators: authenticators.exactOptional(),
  allowAnonymous: z.boolean().exactOptional(),
  anonymousRoles: names.exactOptional(),
  clientIds: clientIds.exactOptional(),
  takeover: z.enum(optionWords.takeover).exactOptional(),
  willPolicy: z.enum(optionWords.willPolicy).exactOptional(),
}

const common = {
  name: filled.exactOptional(),
  limits: limits.exactOptional(),
  ...identity,
} satisfies Record<Exclude<keyof CommonListenerOptions, CodeOnly>, z.ZodType>

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
  crlFile: filled.exactOptional(),
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

/** Whether one is named, and what an address can be, is for the broker to judge. */
const ban = z.strictObject({
  clientId: filled.exactOptional(),
  principal: filled.exactOptional(),
  address: filled.exactOptional(),
  reason: z.string().exactOptional(),
})

const actions = z.union([z.enum(['publish', 'subscribe']), z.array(z.enum(['publish', 'subscribe']))])
const permission = z.strictObject({
  allow: actions.exactOptional(),
  deny: actions.exactOptional(),
  topic: filled,
  qos: z.array(z.literal([0, 1, 2])).exactOptional(),
  retain: z.boolean().exactOptional(),
  shared: z.boolean().exactOptional(),
  group: filled.exactOptional(),
})
const role = z.strictObject({ include: names.exactOptional(), permissions: z.array(permission).exactOptional() })
/** Every option of `createBroker` that is not code; a new one without a place here does not compile. */
const brokerOptions = {
  limits: limits.exactOptional(),
  ...identity,
  roles: z.record(filled, role).exactOptional(),
  partialSubscriptions: z.enum(optionWords.partialSubscriptions).exactOptional(),
  grantExpiry: z.enum(optionWords.grantExpiry).exactOptional(),
  enhancedUsername: z.enum(optionWords.enhancedUsername).exactOptional(),
  failedReauthentication: z.enum(optionWords.failedReauthentication).exactOptional(),
  reauthenticationProperties: z.enum(optionWords.reauthenticationProperties).exactOptional(),
  proposedPropertyPrefix: filled.exactOptional(),
  deniedPublish: z
    .strictObject({
      mqtt5: z.enum(['acknowledge', 'disconnect']).exactOptional(),
      mqtt3: z.enum(['disconnect', 'drop']).exactOptional(),
    })
    .exactOptional(),
  retainedOfRevoked: z.enum(optionWords.retainedOfRevoked).exactOptional(),
  bans: z.array(ban).exactOptional(),
  history: z.boolean().exactOptional(),
  overflowPolicy: z.enum(optionWords.overflowPolicy).exactOptional(),
  sharedSubscriptionStrategy: z.enum(optionWords.sharedSubscriptionStrategy).exactOptional(),
  responseInformation: z.string().exactOptional(),
  maximumQoS: z.literal([0, 1, 2]).exactOptional(),
  retainAvailable: z.boolean().exactOptional(),
  wildcardSubscriptionAvailable: z.boolean().exactOptional(),
  subscriptionIdentifiersAvailable: z.boolean().exactOptional(),
  sharedSubscriptionAvailable: z.boolean().exactOptional(),
  sysTopics: z.strictObject({ intervalSeconds: z.int().min(0).max(86_400).exactOptional() }).exactOptional(),
} satisfies Record<Exclude<keyof BrokerOptions, CodeOnly | NamedApart>, z.ZodType>

/** A secret in it would be seen by whoever sees the file, and be printed with it. */
const redisUrl = z.string().superRefine((url, context) => {
  const fault = hasSecret(url)
    ? 'expected { env: NAME } or { file: path }, since a secret does not belong here'
    : undefined
  const message = fault ?? redisUrlFault(url)
  if (message !== undefined) context.addIssue({ code: 'custom', message })
})

function redisUrlFault(url: string): string | undefined {
  try {
    readRedisUrl(url)
    return undefined
  } catch (error) {
    return (error as Error).message.replace(/^.*store\.url: /, '')
  }
}

/** What may be said of each kind of store. */
const storeKeys: Readonly<Record<(typeof storeTypes)[number], readonly string[]>> = {
  memory: [],
  lmdb: ['directory', 'durability'],
  redis: ['url', 'durability', 'prefix', 'timeoutMs'],
}

/** `store: memory` says the same as `store: { type: memory }`. */
const store = z
  .unknown()
  .transform((value) => (typeof value === 'string' ? { type: value } : value))
  .pipe(
    z
      .strictObject({
        type: z.enum(storeTypes).exactOptional(),
        directory: filled.exactOptional(),
        durability: z.enum(durabilities).exactOptional(),
        url: z.union([redisUrl, secret]).exactOptional(),
        prefix: z
          .string()
          .regex(/^[\w.-]{1,64}$/, { error: 'expected letters, digits, dots, dashes and underscores, 64 at most' })
          .exactOptional(),
        timeoutMs: z.int().min(100).max(600_000).exactOptional(),
      })
      .superRefine((written, context) => {
        const { type = 'lmdb' } = written
        const others = Object.keys(written).filter((name) => name !== 'type' && !storeKeys[type].includes(name))
        for (const name of others) context.addIssue({ code: 'custom', path: [name], message: `${type} has none` })
        const { durability } = written
        const known: readonly string[] = type === 'redis' ? redisDurabilities : lmdbDurabilities
        if (type === 'memory' || durability === undefined || known.includes(durability)) return
        context.addIssue({
          code: 'custom',
          path: ['durability'],
          message: `expected ${known.join(' or ')} for ${type}`,
        })
      }),
  )

/** What a configuration file may say: strict, so that a misspelt key is an error and not a default. */
export const configSchema = z.strictObject({
  listeners: z.array(listener).min(1).exactOptional(),
  ...brokerOptions,
  store: store.exactOptional(),
  inspect: inspectSection.exactOptional(),
  logLevel: z.enum(logLevels).exactOptional(),
  drainTimeoutMs: z.int().min(0).exactOptional(),
  drain: z
    .strictObject({
      serverReference: filled.exactOptional(),
      permanent: z.boolean().exactOptional(),
      perSecond: z.number().positive().exactOptional(),
      timeoutMs: z.int().min(0).exactOptional(),
    })
    .exactOptional(),
})

export type Config = z.infer<typeof configSchema>
export type ListenerConfig = z.infer<typeof listener>

export type RolesConfig = NonNullable<Config['roles']>

/** The keys of the file that are options of `createBroker`. */
export const brokerOptionNames = Object.keys(brokerOptions) as ReadonlyArray<keyof typeof brokerOptions>

/** Those of a listener that can be taken anew without opening it again; with TLS also what is in its files. */
export const reloadableListenerNames = [...Object.keys(identity), 'limits'] as ReadonlyArray<
  keyof typeof identity | 'limits'
>
export const tlsNames = Object.keys(tls) as ReadonlyArray<keyof typeof tls>
