import { isDeepStrictEqual } from 'node:util'

import type { Broker, BrokerListener, Inspector } from '../api.ts'
import { StatemqError } from '../errors.ts'
import { reloadableOptions } from '../option-words.ts'
import type { ListenerOptions, Logger, ReloadableOption, ReloadOptions, TlsOptions } from '../options.ts'
import { ConfigurationError, problemLine } from './config-problems.ts'
import { reloadableListenerNames, tlsNames, type ListenerConfig } from './config-schema.ts'
import { reloadInspect } from './inspect.ts'
import { fixedInspect } from './inspect-settings.ts'
import { prepare, type Prepared } from './prepare.ts'
import { resolveSettings, type Flags, type Settings } from './settings.ts'

/** A listener of the configuration that is open. */
export interface OpenListener {
  readonly config: ListenerConfig
  readonly listener: BrokerListener
}

/** The options that a file can have, and a running broker takes anew. */
export const reloadableNames = Object.keys(reloadableOptions).filter((name) => name !== 'hooks') as ReadonlyArray<
  Exclude<ReloadableOption, 'hooks'>
>

/** What a reload works on. */
export interface Running {
  readonly broker: Broker
  readonly flags: Flags
  readonly log: Logger
  prepared: Prepared
  listeners: readonly OpenListener[]
  inspector?: Inspector
}

/**
 * Reads the configuration again and has the running broker take it: roles, authenticators and what
 * else can be taken anew, files of TLS, listeners that came or went. Everything is read and judged
 * before anything changes; a configuration that is not valid changes nothing, and the log says why.
 * Requests that come meanwhile are one more reload.
 */
export class Reloader {
  readonly #running: Running
  #begun = false
  #wanted = false
  #busy = false

  constructor(running: Running) {
    this.#running = running
  }

  /**
   * All listeners are open. A request that came before is served now: while they were being opened a
   * reload would have opened the rest of them a second time.
   */
  begin(): void {
    this.#begun = true
    if (this.#wanted) this.request()
  }

  request(): void {
    this.#wanted = true
    if (this.#begun && !this.#busy) void this.#work()
  }

  async #work(): Promise<void> {
    this.#busy = true
    while (this.#wanted) {
      this.#wanted = false
      const prepared = await this.#prepare()
      if (!prepared) continue
      // All of it was judged before, so this is a broker that is being closed, or a fault of ours.
      await this.#apply(prepared).catch((error: unknown) =>
        this.#running.log.error(
          { err: error },
          'the configuration was read, but the broker did not take it as a whole',
        ),
      )
    }
    this.#busy = false
  }

  async #prepare(): Promise<Prepared | undefined> {
    const { flags, log } = this.#running
    try {
      const settings = resolveSettings(flags)
      // It would be a configuration, the most open one: who writes a file in place truncates it first.
      if (flags.config !== undefined && settings.isEmpty) {
        const message = 'the file is empty; perhaps it is just being written'
        throw new ConfigurationError([{ where: settings.locate([]), message }])
      }
      return await prepare(settings, log, this.#running.prepared)
    } catch (error) {
      this.#refuse(error)
      return undefined
    }
  }

  #refuse(error: unknown): void {
    const { flags, log } = this.#running
    const problems = error instanceof ConfigurationError ? error.problems.map(problemLine) : undefined
    const details = problems
      ? { problems }
      : error instanceof StatemqError
        ? { problems: [error.message] }
        : { err: error }
    log.error({ file: flags.config, ...details }, 'the configuration was not reloaded; nothing has changed')
  }

  async #apply(prepared: Prepared): Promise<void> {
    const { broker, log } = this.#running
    const { kept, gone, fresh } = this.#compare(prepared)
    const changes: ReloadOptions = Object.fromEntries(reloadableNames.map((name) => [name, prepared.broker[name]]))
    // In between a listener may have neither its old authenticators nor its new ones from the broker,
    // and would be refused as open to everybody: until the broker has its options, it gets all as its own.
    for (const { open, options } of kept) await open.listener.reload({ ...identityOf(prepared), ...options })
    await broker.reload(changes)
    for (const { open, options } of kept) await open.listener.reload(options)
    for (const { open, options } of kept) this.#renewTls(open, options)
    for (const { listener } of gone) await listener.close()
    const { inspector } = this.#running
    if (inspector && prepared.inspect) await reloadInspect(inspector, prepared.inspect)
    const opened = await this.#open(fresh)
    this.#warnOfRest(prepared.settings)
    this.#running.listeners = [...kept.map(({ open, config }) => ({ ...open, config })), ...opened]
    await this.#running.prepared.pool.retire(prepared.pool)
    this.#running.prepared = prepared
    const count = { kept: kept.length, opened: opened.length, closed: gone.length }
    log.info({ file: prepared.settings.file, listeners: count }, 'the configuration was reloaded')
  }

  /** A listener stays open when all stays that it was opened with; the port that the system chose for 0 stays then, too. */
  #compare({ settings, listeners }: Prepared) {
    const gone = [...this.#running.listeners]
    const kept: { open: OpenListener; config: ListenerConfig; options: ListenerOptions }[] = []
    const fresh: { config: ListenerConfig; options: ListenerOptions }[] = []
    for (const [index, config] of settings.config.listeners.entries()) {
      const options = listeners[index]!
      const at = gone.findIndex((open) => isDeepStrictEqual(addressPart(open.config), addressPart(config)))
      if (at < 0) fresh.push({ config, options })
      else kept.push({ open: gone.splice(at, 1)[0]!, config, options })
    }
    return { kept, gone, fresh }
  }

  /** Also with the same files: their contents may be others, and who resumes a TLS session is verified anew. */
  #renewTls({ listener }: OpenListener, options: ListenerOptions): void {
    if (options.transport !== 'tls' && options.transport !== 'wss') return
    try {
      listener.setSecureContext(options satisfies TlsOptions)
    } catch (error) {
      this.#running.log.error(
        { listener: listener.name, err: error },
        'the TLS files were not taken; the old ones stay',
      )
    }
  }

  async #open(fresh: readonly { config: ListenerConfig; options: ListenerOptions }[]): Promise<OpenListener[]> {
    const { broker, log } = this.#running
    const opened: OpenListener[] = []
    for (const { config, options } of fresh) {
      try {
        opened.push({ config, listener: await broker.listen(options) })
      } catch (error) {
        log.error(
          { err: error },
          'a listener of the reloaded configuration was not opened; the next reload tries again',
        )
      }
    }
    return opened
  }

  #warnOfRest({ config }: Settings): void {
    const { log, prepared } = this.#running
    const before = prepared.settings.config
    const names = new Set([...Object.keys(config), ...Object.keys(before)])
    const ignored = ['listeners', 'drainTimeoutMs', 'drain', ...reloadableNames] as readonly string[]
    const changed = [...names].filter((name) => {
      const key = name as keyof typeof config
      const [now, then] = [config, before].map((one) => (key === 'inspect' ? fixedInspect(one.inspect) : one[key]))
      return !ignored.includes(name) && !isDeepStrictEqual(now, then)
    })
    if (changed.length > 0) log.warn({ options: changed }, 'these options have changed and need a restart')
  }
}

/** What decides on the clients of all listeners that do not say otherwise. */
function identityOf({ broker }: Prepared): Partial<ListenerOptions> {
  const entries = reloadableListenerNames.map((name) => [name, broker[name]])
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as Partial<ListenerOptions>
}

/** What a listener is opened with and can't be taken anew. */
function addressPart(config: ListenerConfig): object {
  const renewed: readonly string[] = [...reloadableListenerNames, ...tlsNames]
  return Object.fromEntries(Object.entries(config).filter(([name]) => !renewed.includes(name)))
}
