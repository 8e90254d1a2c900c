import type { BrokerOptions, ReloadableOption } from './options.ts'

/** What those options may be that are one of a few words; the meaning of each stands at its type. */
export const optionWords = {
  partialSubscriptions: ['filter', 'refuse'],
  takeover: ['same-principal', 'same-principal-when-offline', 'anyone'],
  willPolicy: ['grant', 'unexpired-grant'],
  grantExpiry: ['disconnect', 'stay-without-rights'],
  enhancedUsername: ['same', 'any'],
  failedReauthentication: ['disconnect', 'keep'],
  reauthenticationProperties: ['keep', 'replace'],
  retainedOfRevoked: ['keep', 'purge'],
  overflowPolicy: ['drop-oldest', 'drop-newest', 'disconnect'],
  sharedSubscriptionStrategy: ['round-robin', 'sticky', 'random', 'least-inflight'],
} as const satisfies { readonly [K in keyof BrokerOptions]?: readonly NonNullable<BrokerOptions[K]>[] }

/** What a running broker takes anew; a new one without a place here does not compile. */
export const reloadableOptions = {
  limits: true,
  authenticators: true,
  allowAnonymous: true,
  anonymousRoles: true,
  roles: true,
  partialSubscriptions: true,
  clientIds: true,
  takeover: true,
  willPolicy: true,
  grantExpiry: true,
  enhancedUsername: true,
  failedReauthentication: true,
  reauthenticationProperties: true,
  proposedPropertyPrefix: true,
  deniedPublish: true,
  retainedOfRevoked: true,
  bans: true,
  hooks: true,
} as const satisfies Record<ReloadableOption, true>
