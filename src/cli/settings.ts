import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

import { StatemqError } from '../errors.ts'
import { reachesOtherMachines, type BrokerOptions, type ListenerOptions } from '../options.ts'
import { loadConfig, type LoadedConfig } from './config-file.ts'
import { ConfigurationError, type Problem } from './config-problems.ts'
import { brokerOptionNames, type Config, type ListenerConfig, type logLevels } from './config-schema.ts'

/** The named flags of the command line; each beats the file and `--set`. */
export interface Flags {
  readonly config?: string
  readonly set?: readonly string[]
  readonly port?: number
  readonly host?: string
  readonly wsPort?: number
  readonly wsHost?: string
  readonly unix?: string
  readonly store?: 'memory'
  readonly logLevel?: (typeof logLevels)[number]
  readonly allowAnonymous?: true
}

/** All that a start needs, decided: nothing here is optional any more. */
export interface Settings {
  readonly file: string | undefined
  readonly listeners: readonly ListenerConfig[]
  readonly broker: BrokerOptions
  readonly store: 'memory'
  readonly logLevel: (typeof logLevels)[number]
  readonly drainTimeoutMs: number
  /** The listeners as `broker.listen` takes them, keys and certificates read. */
  readonly listenerOptions: readonly ListenerOptions[]
}

type Transport = ListenerConfig['transport']

/** Changes the first listener of this transport, or adds one. */
function withListener<Kind extends Transport>(
  listeners: readonly ListenerConfig[],
  transport: Kind,
  change: Partial<Extract<ListenerConfig, { transport: Kind }>>,
  fresh: Extract<ListenerConfig, { transport: Kind }>,
): readonly ListenerConfig[] {
  const index = listeners.findIndex((listener) => listener.transport === transport)
  if (index < 0) return [...listeners, { ...fresh, ...change }]
  return listeners.with(index, { ...listeners[index]!, ...change } as ListenerConfig)
}

/** Without any listener configured there is one: TCP on the loopback address. */
function mergeListeners(config: Config, flags: Flags): readonly ListenerConfig[] {
  const { port, host, wsPort, wsHost = host, unix } = flags
  let listeners: readonly ListenerConfig[] = config.listeners ?? [{ transport: 'tcp' }]
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

/** Reads the files that listeners name, relative to the configuration file; collects what can't be read. */
class MaterialReader {
  readonly problems: Problem[] = []
  readonly #folder: string
  readonly #locate: LoadedConfig['locate']

  constructor(file: string | undefined, locate: LoadedConfig['locate']) {
    this.#folder = file === undefined ? process.cwd() : dirname(resolve(file))
    this.#locate = locate
  }

  resolve(path: string): string {
    return resolve(this.#folder, path)
  }

  read(path: string, place: ReadonlyArray<string | number>): Buffer {
    try {
      return readFileSync(this.resolve(path))
    } catch (error) {
      this.problems.push({ where: this.#locate(place), message: `${place.join('.')}: ${(error as Error).message}` })
      return Buffer.alloc(0)
    }
  }
}

function toListenerOptions(listener: ListenerConfig, index: number, reader: MaterialReader): ListenerOptions {
  const place = ['listeners', index]
  if (listener.transport === 'unix') return { ...listener, path: reader.resolve(listener.path) }
  if (listener.transport === 'tcp' || listener.transport === 'ws') return listener
  const { keyFile, certFile, caFile, serverNames, ...others } = listener
  const names = Object.entries(serverNames ?? {}).map(([name, files]) => {
    const inside = [...place, 'serverNames', name]
    return [
      name,
      {
        key: reader.read(files.keyFile, [...inside, 'keyFile']),
        cert: reader.read(files.certFile, [...inside, 'certFile']),
      },
    ]
  })
  return {
    ...others,
    key: reader.read(keyFile, [...place, 'keyFile']),
    cert: reader.read(certFile, [...place, 'certFile']),
    ...(caFile === undefined ? {} : { ca: reader.read(caFile, [...place, 'caFile']) }),
    ...(serverNames === undefined
      ? {}
      : { serverNames: Object.fromEntries(names) as Record<string, { key: Buffer; cert: Buffer }> }),
  }
}

/** A file can't name authenticators yet, so whoever reaches a listener may do everything. */
function refuseUnprotected(listeners: readonly ListenerConfig[], allowAnonymous: boolean | undefined): void {
  for (const listener of listeners) {
    if ((listener.allowAnonymous ?? allowAnonymous) === true || !reachesOtherMachines(listener)) continue
    const { transport } = listener
    const host = transport === 'unix' ? '' : (listener.host ?? '')
    throw new StatemqError(
      'SMQ_LISTEN_UNPROTECTED',
      `${transport} on ${host}: everyone who reaches it could publish and read everything. ` +
        'Keep to 127.0.0.1, or say --allow-anonymous if an open broker is what you want',
    )
  }
}

/**
 * Puts together what runs: defaults, then the file, then `--set`, then the named flags. Throws what
 * {@link loadConfig} throws, and SMQ_LISTEN_UNPROTECTED.
 */
export function resolveSettings(flags: Flags): Settings {
  const { config, locate } = loadConfig(flags.config, flags.set ?? [])
  const listeners = mergeListeners(config, flags)
  const allowAnonymous = flags.allowAnonymous ?? config.allowAnonymous
  refuseUnprotected(listeners, allowAnonymous)
  const reader = new MaterialReader(flags.config, locate)
  const listenerOptions = listeners.map((listener, index) => toListenerOptions(listener, index, reader))
  if (reader.problems.length > 0) throw new ConfigurationError(reader.problems)
  const named = brokerOptionNames.filter((name) => config[name] !== undefined).map((name) => [name, config[name]])
  return {
    file: flags.config,
    listeners,
    listenerOptions,
    broker: {
      ...(Object.fromEntries(named) as BrokerOptions),
      ...(allowAnonymous === undefined ? {} : { allowAnonymous }),
    },
    store: flags.store ?? config.store ?? 'memory',
    logLevel: flags.logLevel ?? config.logLevel ?? 'info',
    drainTimeoutMs: config.drainTimeoutMs ?? defaultDrainTimeoutMs,
  }
}

/** The default of `broker.close`, and below the ten seconds after which container runtimes kill what does not stop. */
const defaultDrainTimeoutMs = 5_000
