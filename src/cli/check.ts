import { stringify } from 'yaml'

import { prepare } from './prepare.ts'
import type { Settings } from './settings.ts'

const brokerDefaults = {
  partialSubscriptions: 'filter',
  takeover: 'same-principal',
  willPolicy: 'grant',
  grantExpiry: 'disconnect',
  enhancedUsername: 'same',
  failedReauthentication: 'disconnect',
  reauthenticationProperties: 'keep',
  proposedPropertyPrefix: 'session.',
  deniedPublish: { mqtt5: 'acknowledge', mqtt3: 'disconnect' },
  retainedOfRevoked: 'keep',
  overflowPolicy: 'drop-oldest',
  sharedSubscriptionStrategy: 'round-robin',
  maximumQoS: 2,
  retainAvailable: true,
  wildcardSubscriptionAvailable: true,
  subscriptionIdentifiersAvailable: true,
  sharedSubscriptionAvailable: true,
}

/**
 * What would run, as a complete configuration file: every option with the value that it has. Keys,
 * certificates and secrets stay what they are in the file, names of files and variables.
 */
export async function describeSettings(settings: Settings): Promise<string> {
  const prepared = await prepare(settings)
  await prepared.pool.discard()
  const { config, file } = settings
  const { limits: _changed, listeners, store, logLevel, drainTimeoutMs, authenticators, ...options } = config
  const { allowAnonymous = !authenticators?.length, deniedPublish, ...others } = options
  const effective = {
    listeners,
    ...(authenticators ? { authenticators } : {}),
    allowAnonymous,
    ...brokerDefaults,
    ...others,
    deniedPublish: { ...brokerDefaults.deniedPublish, ...deniedPublish },
    store,
    logLevel,
    drainTimeoutMs,
    limits: { ...prepared.limits },
  }
  const source = file === undefined ? 'no configuration file' : `${file} is valid`
  return `# ${source}; this would run:\n${stringify(effective, { aliasDuplicateObjects: false })}`
}
