import { pino, type Logger } from 'pino'

import { createBroker, type Broker, type BrokerListener } from '../broker.ts'
import type { Settings } from './settings.ts'
import { packageVersion } from './version.ts'

const schemes = { tcp: 'mqtt', tls: 'mqtts', ws: 'ws', wss: 'wss' } as const

/** Where clients connect to: `mqtt://127.0.0.1:1883`. */
function urlOf({ transport, address }: BrokerListener): string {
  if ('path' in address) return `unix:${address.path}`
  const host = address.host.includes(':') ? `[${address.host}]` : address.host
  const scheme = transport in schemes ? schemes[transport as keyof typeof schemes] : transport
  return `${scheme}://${host}:${address.port}`
}

/** The first signal drains and ends with status 0; whoever sends a second one does not want to wait. */
function stopOnSignals(broker: Broker, drainTimeoutMs: number, log: Logger): void {
  let draining = false
  const stop = (signal: NodeJS.Signals): void => {
    if (draining) process.exit(1)
    draining = true
    log.info({ signal, drainTimeoutMs }, 'draining; the same signal again stops at once')
    broker.close({ drainTimeoutMs }).then(
      () => {
        log.info({}, 'stopped')
        process.exit(0)
      },
      (error: unknown) => {
        log.error({ err: error }, 'the broker did not close')
        process.exit(1)
      },
    )
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
}

/** Runs a broker until a signal ends it. Rejects when it can't be created or a listener can't be opened. */
export async function start(settings: Settings): Promise<void> {
  const log = pino({ level: settings.logLevel })
  const broker = createBroker({ ...settings.broker, logger: log })
  stopOnSignals(broker, settings.drainTimeoutMs, log)
  const listeners: BrokerListener[] = []
  try {
    for (const options of settings.listenerOptions) listeners.push(await broker.listen(options))
  } catch (error) {
    await broker.close({ drainTimeoutMs: 0 })
    throw error
  }
  const open = listeners.map((listener) => ({
    name: listener.name,
    transport: listener.transport,
    ...listener.address,
  }))
  log.info(
    { version: packageVersion(), store: settings.store, listeners: open },
    `statemq listens on ${listeners.map(urlOf).join(', ')}`,
  )
}
