import type { Broker } from '../api.ts'
import type { Logger } from '../options.ts'
import type { Config } from './config-schema.ts'

/** What of the configuration is about a stop. */
export type StopSettings = Required<Pick<Config, 'drainTimeoutMs'>> & Pick<Config, 'drain'>

/** Sends clients away as the configuration says, slowly or all at once, and closes the broker. */
export async function stopBroker(broker: Broker, { drain, drainTimeoutMs }: StopSettings, log: Logger): Promise<void> {
  if (drain !== undefined) {
    // Whoever stops a process does not wait for ever: without a word about it as long as for the rest.
    const { timeoutMs = drainTimeoutMs } = drain
    const sessions = await broker.drain({ ...drain, timeoutMs })
    log.info({ sessions }, 'clients were sent away')
  }
  await broker.close({ drainTimeoutMs })
}
