import type { Inspector } from '../api.ts'
import { StatemqError } from '../errors.ts'
import type { InspectOptions } from '../options.ts'
import type { InspectHost } from './host.ts'

/**
 * The open admin APIs of a broker. The server and what it needs are a third of a second of modules, which
 * nobody pays for who does not look in.
 */
export class Inspectors {
  readonly #host: InspectHost
  readonly #open = new Set<Inspector>()
  #isClosed = false
  /** That of `createBroker({ inspect })`. */
  own: Inspector | undefined = undefined

  constructor(host: InspectHost) {
    this.#host = host
  }

  async openOwn(options: InspectOptions): Promise<void> {
    this.own = await this.open(options)
  }

  async open(options: InspectOptions): Promise<Inspector> {
    this.#assertOpen()
    const { openInspector } = await import('./server.ts')
    const opened = await openInspector(this.#host, options)
    const close = async (): Promise<void> => {
      this.#open.delete(inspector)
      await opened.close()
    }
    const inspector: Inspector = { ...opened, close }
    this.#open.add(inspector)
    if (this.#isClosed) {
      await close()
      this.#assertOpen()
    }
    // The page shows the last hour: it begins with the first time that it is asked for.
    this.#host.broker.inspection.statsHistory()
    this.#host.logger.info({ address: inspector.address }, 'the admin API is open')
    return inspector
  }

  /** Last of all: until then it is asked how the drain goes. */
  async close(): Promise<void> {
    this.#isClosed = true
    // Streams still tell what has happened in this turn.
    await new Promise((resolve) => setImmediate(resolve))
    await Promise.all([...this.#open].map((inspector) => inspector.close()))
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new StatemqError('SMQ_BROKER_CLOSED')
  }
}
