import type { BrokerListener } from '../api.ts'
import { createBroker } from '../broker.ts'
import { packageVersion } from '../version.ts'
import { openInspect } from './inspect.ts'
import { openLog, type CommandLog } from './log.ts'
import { prepare } from './prepare.ts'
import { Reloader, type OpenListener, type Running } from './reload.ts'
import { resolveSettings, type Flags } from './settings.ts'
import { stopBroker } from './stop.ts'
import { tellSystemd } from './systemd.ts'

const schemes = { tcp: 'mqtt', tls: 'mqtts', ws: 'ws', wss: 'wss' } as const

/** Where clients connect to: `mqtt://127.0.0.1:1883`. */
function urlOf({ transport, address }: BrokerListener): string {
  if ('path' in address) return `unix:${address.path}`
  const host = address.host.includes(':') ? `[${address.host}]` : address.host
  const scheme = transport in schemes ? schemes[transport as keyof typeof schemes] : transport
  return `${scheme}://${host}:${address.port}`
}

/**
 * The first signal drains and ends with status 0; whoever sends a second one does not want to wait.
 * SIGHUP reloads instead.
 */
function obeySignals(
  running: Running,
  reloader: Reloader,
  { exit, exitNow }: CommandLog,
): { readonly draining: boolean } {
  const { broker, log } = running
  const state = { draining: false }
  const stop = (signal: NodeJS.Signals): void => {
    if (state.draining) exitNow(1)
    state.draining = true
    const { drainTimeoutMs, drain } = running.prepared.settings.config
    log.info({ signal, drainTimeoutMs, ...(drain && { drain }) }, 'draining; the same signal again stops at once')
    tellSystemd(['STOPPING=1'], log)
    stopBroker(broker, { drainTimeoutMs, ...(drain && { drain }) }, log).then(
      () => {
        log.info({}, 'stopped')
        exit(0)
      },
      (error: unknown) => {
        log.error({ err: error }, 'the broker did not close')
        exit(1)
      },
    )
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  process.on('SIGHUP', () => {
    if (!state.draining) reloader.request()
  })
  return state
}

/** Runs a broker until a signal ends it. Rejects when it can't be created, or its store or a listener can't be opened. */
export async function start(flags: Flags): Promise<void> {
  const settings = resolveSettings(flags)
  const { logLevel, store, listeners: configs } = settings.config
  const opened = openLog(logLevel)
  const { log } = opened
  const prepared = await prepare(settings, log)
  const broker = createBroker({ sysTopics: {}, ...prepared.broker, store: prepared.store, logger: log })
  const listeners: OpenListener[] = []
  const running: Running = { broker, flags, log, prepared, listeners }
  const reloader = new Reloader(running)
  const state = obeySignals(running, reloader, opened)
  try {
    // Before the store is read: whoever watches over the broker sees it start.
    if (prepared.inspect) running.inspector = await openInspect(broker, prepared.inspect, log)
    for (const [index, options] of prepared.listeners.entries())
      listeners.push({ config: configs[index]!, listener: await broker.listen(options) })
  } catch (error) {
    // A signal came while the store was being read: that closes the broker, and ends the process.
    if (state.draining) return
    await broker.close({ drainTimeoutMs: 0 })
    await prepared.pool.discard()
    throw error
  }
  const open = listeners.map(({ listener: { name, transport, address } }) => ({ name, transport, ...address }))
  const urls = listeners.map(({ listener }) => urlOf(listener)).join(', ')
  log.info({ version: packageVersion(), store, listeners: open }, `statemq listens on ${urls}`)
  tellSystemd(['READY=1', `STATUS=listens on ${urls}`], log)
  reloader.begin()
}
