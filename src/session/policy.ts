import { StatemqError } from '../errors.ts'
import { limitFault, type BrokerOptions, type CommonListenerOptions, type Limits } from '../options.ts'
import type { SessionPolicy } from './core.ts'

/** What holds for the sessions of one listener: its own options, else the broker's, else the defaults. */
export function sessionPolicy(broker: BrokerOptions, own: CommonListenerOptions, limits: Limits): SessionPolicy {
  const authenticators = own.authenticators ?? broker.authenticators ?? []
  return {
    limits: mergeLimits(limits, own.limits),
    hooks: { ...broker.hooks, ...own.hooks },
    authenticators,
    allowAnonymous: own.allowAnonymous ?? broker.allowAnonymous ?? authenticators.length === 0,
    anonymousRoles: own.anonymousRoles ?? broker.anonymousRoles ?? [],
    clientIds: own.clientIds ?? broker.clientIds ?? {},
    takeover: own.takeover ?? broker.takeover ?? 'same-principal',
    willPolicy: own.willPolicy ?? broker.willPolicy ?? 'grant',
    grantExpiry: broker.grantExpiry ?? 'disconnect',
    failedReauthentication: broker.failedReauthentication ?? 'disconnect',
    reauthenticationProperties: broker.reauthenticationProperties ?? 'keep',
    proposedPropertyPrefix: broker.proposedPropertyPrefix ?? 'session.',
    deniedPublish: { mqtt5: 'acknowledge', mqtt3: 'disconnect', ...broker.deniedPublish },
  }
}

/** Throws SMQ_OPTION_INVALID. */
export function mergeLimits(base: Limits, changes: Partial<Limits> | undefined): Limits {
  for (const [name, value] of Object.entries(changes ?? {})) {
    if (!Object.hasOwn(base, name))
      throw new StatemqError('SMQ_OPTION_INVALID', `there is no limit ${JSON.stringify(name)}`)
    const fault = limitFault(name as keyof Limits, value)
    if (fault !== undefined) throw new StatemqError('SMQ_OPTION_INVALID', `limits.${name}: ${fault}`)
  }
  return Object.freeze({ ...base, ...changes })
}
