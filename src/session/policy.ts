import { StatemqError } from '../errors.ts'
import { limitFault, type Limits } from '../limits.ts'
import type { BrokerOptions, CommonListenerOptions } from '../options.ts'
import type { Features, SessionPolicy } from './core.ts'
import { decisionsOf, pluginsOf } from './hook-chain.ts'
import { observersOf } from './observer-calls.ts'
import { clientIdPolicy } from './ownership.ts'

/**
 * What holds for the sessions of one listener: its own options, else the broker's, else the defaults.
 * Throws SMQ_OPTION_INVALID.
 */
export function sessionPolicy(broker: BrokerOptions, own: CommonListenerOptions, limits: Limits): SessionPolicy {
  const authenticators = own.authenticators ?? broker.authenticators ?? []
  const [shared, added] = [pluginsOf(broker.hooks), pluginsOf(own.hooks)]
  return {
    limits: mergeLimits(limits, own.limits),
    features: featuresOf(broker),
    hooks: decisionsOf(shared, added),
    observers: observersOf(shared, added),
    authenticators,
    allowAnonymous: own.allowAnonymous ?? broker.allowAnonymous ?? authenticators.length === 0,
    anonymousRoles: own.anonymousRoles ?? broker.anonymousRoles ?? [],
    clientIds: clientIdPolicy(own.clientIds ?? broker.clientIds),
    takeover: own.takeover ?? broker.takeover ?? 'same-principal',
    willPolicy: own.willPolicy ?? broker.willPolicy ?? 'grant',
    grantExpiry: broker.grantExpiry ?? 'disconnect',
    enhancedUsername: broker.enhancedUsername ?? 'same',
    failedReauthentication: broker.failedReauthentication ?? 'disconnect',
    reauthenticationProperties: broker.reauthenticationProperties ?? 'keep',
    proposedPropertyPrefix: broker.proposedPropertyPrefix ?? 'session.',
    deniedPublish: { mqtt5: 'acknowledge', mqtt3: 'disconnect', ...broker.deniedPublish },
  }
}

function featuresOf(broker: BrokerOptions): Features {
  return {
    maximumQoS: broker.maximumQoS ?? 2,
    retainAvailable: broker.retainAvailable ?? true,
    wildcardSubscriptionAvailable: broker.wildcardSubscriptionAvailable ?? true,
    subscriptionIdentifiersAvailable: broker.subscriptionIdentifiersAvailable ?? true,
    sharedSubscriptionAvailable: broker.sharedSubscriptionAvailable ?? true,
    responseInformation: broker.responseInformation,
    sharedSubscriptionStrategy: broker.sharedSubscriptionStrategy ?? 'round-robin',
    overflowPolicy: broker.overflowPolicy ?? 'drop-oldest',
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
