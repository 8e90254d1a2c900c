import { stringify } from 'yaml'

import { createBroker } from '../broker.ts'
import type { Settings } from './settings.ts'

const brokerDefaults = {
  overflowPolicy: 'drop-oldest',
  sharedSubscriptionStrategy: 'round-robin',
  maximumQoS: 2,
  retainAvailable: true,
  wildcardSubscriptionAvailable: true,
  subscriptionIdentifiersAvailable: true,
  sharedSubscriptionAvailable: true,
}

/**
 * What would run, as a complete configuration file: every option with the value that it has. Keys
 * and certificates stay what they are in the file, names of files.
 */
export async function describeSettings(settings: Settings): Promise<string> {
  // What the broker itself refuses, a check has to refuse too; nothing is opened by creating one.
  const broker = createBroker(settings.broker)
  await broker.close({ drainTimeoutMs: 0 })
  const { limits: _changed, allowAnonymous = true, ...options } = settings.broker
  const effective = {
    listeners: settings.listeners,
    allowAnonymous,
    ...brokerDefaults,
    ...options,
    store: settings.store,
    logLevel: settings.logLevel,
    drainTimeoutMs: settings.drainTimeoutMs,
    limits: { ...broker.limits },
  }
  const source = settings.file === undefined ? 'no configuration file' : `${settings.file} is valid`
  return `# ${source}; this would run:\n${stringify(effective)}`
}
