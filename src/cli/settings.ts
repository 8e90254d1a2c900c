import { StatemqError } from '../errors.ts'
import { reachesOtherMachines } from '../options.ts'
import { loadConfig, type LoadedConfig } from './config-file.ts'
import type { Config, ListenerConfig } from './config-schema.ts'
import { mergeInspect, type InspectFlags } from './inspect-settings.ts'
import type { LogLevel } from './log-levels.ts'
import { resolveStore, type StoreFlags, type StoreSettings } from './store-settings.ts'

/** The named flags of the command line; each beats the file and `--set`. */
export interface Flags extends StoreFlags, InspectFlags {
  readonly config?: string
  readonly set?: readonly string[]
  readonly port?: number
  readonly host?: string
  readonly wsPort?: number
  readonly wsHost?: string
  readonly unix?: string
  readonly logLevel?: LogLevel
  readonly allowAnonymous?: true
}

/** What is to run, as a configuration with everything on top of it. What files and variables it names is not read yet. */
export interface Settings {
  readonly file: string | undefined
  readonly config: Omit<Config, 'store'> &
    Required<Pick<Config, 'listeners' | 'logLevel' | 'drainTimeoutMs'>> & { readonly store: StoreSettings }
  /** File and `--set` say nothing. */
  readonly isEmpty: boolean
  readonly locate: LoadedConfig['locate']
}

type Transport = ListenerConfig['transport']

/** Changes the first listener of this transport, or adds one. */
function withListener<Kind extends Transport>(
  listeners: readonly ListenerConfig[],
  transport: Kind,
  change: Partial<Extract<ListenerConfig, { transport: Kind }>>,
  fresh: Extract<ListenerConfig, { transport: Kind }>,
): ListenerConfig[] {
  const index = listeners.findIndex((listener) => listener.transport === transport)
  if (index < 0) return [...listeners, { ...fresh, ...change }]
  return listeners.with(index, { ...listeners[index]!, ...change } as ListenerConfig)
}

/** Without any listener configured there is one: TCP on the loopback address. */
function mergeListeners(config: Config, flags: Flags): ListenerConfig[] {
  const { port, host, wsPort, wsHost = host, unix } = flags
  let listeners: ListenerConfig[] = config.listeners ?? [{ transport: 'tcp' }]
  if (port !== undefined || host !== undefined) {
    const change = { ...(port === undefined ? {} : { port }), ...(host === undefined ? {} : { host }) }
    listeners = withListener(listeners, 'tcp', change, { transport: 'tcp' })
  }
  if (wsPort !== undefined || flags.wsHost !== undefined) {
    const change = {
      ...(wsPort === undefined ? {} : { port: wsPort }),
      ...(wsHost === undefined ? {} : { host: wsHost }),
    }
    listeners = withListener(listeners, 'ws', change, { transport: 'ws' })
  }
  return unix === undefined
    ? listeners
    : withListener(listeners, 'unix', { path: unix }, { transport: 'unix', path: unix })
}

/** Whoever reaches a listener without authenticators may do everything: that must have been said. */
function refuseUnprotected(listeners: readonly ListenerConfig[], config: Config): void {
  for (const listener of listeners) {
    const { transport, authenticators = config.authenticators ?? [] } = listener
    const isOpen = (listener.allowAnonymous ?? config.allowAnonymous) === true
    if (authenticators.length > 0 || isOpen || !reachesOtherMachines(listener)) continue
    const host = transport === 'unix' ? '' : (listener.host ?? '')
    throw new StatemqError(
      'SMQ_LISTEN_UNPROTECTED',
      `${transport} on ${host}: everyone who reaches it could publish and read everything. ` +
        'Configure authenticators, keep to 127.0.0.1, or say --allow-anonymous if an open broker is what you want',
    )
  }
}

/**
 * Puts together what runs: defaults, then the file, then `--set`, then the named flags. Throws what
 * {@link loadConfig} throws, and SMQ_LISTEN_UNPROTECTED.
 */
export function resolveSettings(flags: Flags): Settings {
  const { config: written, isEmpty, locate } = loadConfig(flags.config, flags.set ?? [])
  const { allowAnonymous = written.allowAnonymous } = flags
  const inspect = mergeInspect(flags, written.inspect)
  const config = {
    ...written,
    ...(inspect && { inspect }),
    listeners: mergeListeners(written, flags),
    ...(allowAnonymous === undefined ? {} : { allowAnonymous }),
    store: resolveStore(flags, flags.config, written.store),
    logLevel: flags.logLevel ?? written.logLevel ?? 'info',
    drainTimeoutMs: written.drainTimeoutMs ?? defaultDrainTimeoutMs,
  }
  refuseUnprotected(config.listeners, config)
  return { file: flags.config, config, isEmpty, locate }
}

/** The default of `broker.close`, and below the ten seconds after which container runtimes kill what does not stop. */
const defaultDrainTimeoutMs = 5_000
