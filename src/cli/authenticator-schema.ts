import { z } from 'zod'

import type { CertificateUser, MutualTlsOptions } from '../auth/mutual-tls.ts'
import type { JwksOptions, JwtOptions } from '../auth/jwt-options.ts'
import type { PasswordFileOptions } from '../auth/password-file.ts'
import type { ScramOptions } from '../auth/scram.ts'
import { verdictFault } from '../auth/verdict.ts'
import type { WebhookOptions } from '../auth/webhook.ts'

/** What every authenticator gets from the broker and not from a file. */
type Given = 'clock' | 'logger'

const filled = z.string().min(1)
const texts = z.array(filled)
const textMap = z.record(filled, z.string())
const count = z.int().min(1).exactOptional()
const countOrNone = z.int().min(0).exactOptional()
const flag = z.boolean().exactOptional()

/** A secret stands elsewhere: in a variable of the environment, or in a file, whose last line end does not count. */
export const secret = z.union([z.strictObject({ env: filled }), z.strictObject({ file: filled })], {
  error: 'expected { env: NAME } or { file: path }, since a secret does not belong here',
})
export type SecretReference = z.infer<typeof secret>

const header = z.union([z.string(), z.strictObject({ env: filled }), z.strictObject({ file: filled })], {
  error: 'expected text, { env: NAME } or { file: path }',
})
/** Names of headers that hold secrets: their values are taken by reference only, so that nobody prints them. */
const secretHeader = /auth|cookie|key|pass|secret|token/i
const headers = z.record(filled, header).superRefine((value, context) => {
  for (const [name, one] of Object.entries(value)) {
    if (typeof one !== 'string' || !secretHeader.test(name)) continue
    context.addIssue({ code: 'custom', path: [name], message: 'expected { env: NAME } or { file: path } for a secret' })
  }
})

/** A part of a verdict, measured as a verdict is: the same names, the same ranges. */
function verdictPart(name: 'limits' | 'connack' | 'properties') {
  const rules = { nowMs: 0, limits: { maxSessionProperties: Infinity, maxSessionPropertyBytes: Infinity } }
  const fault = (value: unknown): string | undefined =>
    verdictFault({ type: 'allow', [name]: value }, rules)?.replace(`${name}: `, '')
  return z.custom<Record<string, never>>((value) => fault(value) === undefined, {
    error: ({ input }) => fault(input) ?? '',
  })
}

const passwordFile = {
  name: filled.exactOptional(),
  path: filled,
  unknownUsers: z.enum(['deny', 'next']).exactOptional(),
  watch: flag,
  maxConcurrentHashes: count,
  maxWaitingHashes: countOrNone,
} satisfies Record<Exclude<keyof PasswordFileOptions, Given>, z.ZodType>

const claim = z.union([filled, z.array(filled).min(1)], { error: 'expected the name of a claim, or a list of names' })
const claimOrNone = z.union([filled, z.array(filled).min(1), z.literal(false)], {
  error: 'expected the name of a claim, a list of names, or false',
})
const expectedValue = z.union([filled, z.array(filled).min(1), z.literal(false)], {
  error: 'expected text, a list of texts, or false',
})

const jwks = {
  url: filled,
  allowHttp: flag,
  headers: headers.exactOptional(),
  refreshSeconds: countOrNone,
  cooldownSeconds: countOrNone,
  maxStaleSeconds: countOrNone,
  timeoutMs: count,
  maxBytes: count,
} satisfies Record<keyof JwksOptions, z.ZodType>

const kid = filled.exactOptional()
const jwtKey = z.union([z.strictObject({ pemFile: filled, kid }), z.strictObject({ secret, base64: flag, kid })], {
  error: 'expected { pemFile: path } or { secret: … }, with or without kid',
})

const jwt = {
  name: filled.exactOptional(),
  jwks: z.strictObject(jwks).exactOptional(),
  jwksFile: filled.exactOptional(),
  keys: z.array(jwtKey).min(1).exactOptional(),
  algorithms: texts.exactOptional(),
  issuer: expectedValue,
  audience: expectedValue,
  otherIssuers: z.enum(['deny', 'next']).exactOptional(),
  typ: filled.exactOptional(),
  skewSeconds: z.int().min(0).max(60).exactOptional(),
  maxTokenBytes: count,
  maxLifetimeSeconds: count,
  requiredClaims: texts.exactOptional(),
  password: flag,
  method: z.union([filled, z.literal(false)], { error: 'expected text or false' }).exactOptional(),
  usernameClaim: claimOrNone.exactOptional(),
  principalClaim: claim.exactOptional(),
  rolesClaim: claimOrNone.exactOptional(),
  roleMapping: z
    .record(filled, z.union([filled, texts], { error: 'expected a role or a list of roles' }))
    .exactOptional(),
  roles: texts.exactOptional(),
  properties: z.record(filled, claim).exactOptional(),
  limits: verdictPart('limits').exactOptional(),
  connack: verdictPart('connack').exactOptional(),
  limitsClaim: claim.exactOptional(),
} satisfies Record<Exclude<keyof JwtOptions, Given>, z.ZodType>

const certificateUser = {
  principal: filled.exactOptional(),
  roles: texts.exactOptional(),
  properties: textMap.exactOptional(),
} satisfies Record<keyof CertificateUser, z.ZodType>

const mutualTls = {
  name: filled.exactOptional(),
  principalFrom: z.enum(['commonName', 'subject', 'dns', 'email', 'uri', 'ip', 'fingerprint']).exactOptional(),
  users: z.record(filled, z.strictObject(certificateUser)).exactOptional(),
  roles: texts.exactOptional(),
  properties: verdictPart('properties').exactOptional(),
  issuers: texts.exactOptional(),
  trustedFingerprints: texts.exactOptional(),
  revokedFingerprints: texts.exactOptional(),
  otherwise: z.enum(['next', 'deny']).exactOptional(),
  username: z.enum(['match', 'ignore']).exactOptional(),
  expireWithCertificate: flag,
} satisfies Record<Exclude<keyof MutualTlsOptions, Given | 'isRevoked'>, z.ZodType>

const scram = {
  name: filled.exactOptional(),
  path: filled,
  mechanisms: z
    .array(z.enum(['SCRAM-SHA-256', 'SCRAM-SHA-512']))
    .min(1)
    .exactOptional(),
  channelBinding: z.enum(['offer', 'require', 'none']).exactOptional(),
  connectUsername: z.enum(['same', 'any']).exactOptional(),
  unknownIterations: count,
} satisfies Record<Exclude<keyof ScramOptions, Given | 'users' | 'secret'> | 'path', z.ZodType>

const webhook = {
  name: filled.exactOptional(),
  url: filled,
  headers: headers.exactOptional(),
  caFile: filled.exactOptional(),
  allowPlainHttp: flag,
  timeoutMs: count,
  maxConcurrentRequests: count,
  maxWaitingRequests: countOrNone,
  maxAnswerBytes: count,
  maxCachedAnswers: countOrNone,
  maxCacheSeconds: countOrNone,
} satisfies Record<Exclude<keyof WebhookOptions, Given | 'ca'> | 'caFile', z.ZodType>

/** The authenticators of a broker or a listener, in the order in which they are asked. */
export const authenticators = z.array(
  z.discriminatedUnion(
    'type',
    [
      z.strictObject({ type: z.literal('password-file'), ...passwordFile }),
      z.strictObject({ type: z.literal('jwt'), ...jwt }),
      z.strictObject({ type: z.literal('mutual-tls'), ...mutualTls }),
      z.strictObject({ type: z.literal('scram'), ...scram }),
      z.strictObject({ type: z.literal('webhook'), ...webhook }),
    ],
    {
      error: (issue) =>
        issue.code === 'invalid_union'
          ? 'expected "password-file", "jwt", "mutual-tls", "scram" or "webhook"'
          : undefined,
    },
  ),
)

export type AuthenticatorConfig = z.infer<typeof authenticators>[number]
