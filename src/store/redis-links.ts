import { StatemqError } from '../errors.ts'
import { plainError, type RedisModules } from './redis-connect.ts'
import { RedisLink, type LinkOptions, type Opened } from './redis-link.ts'
import { RENEWALS_PER_LEASE, type RedisOwner } from './redis-owner.ts'

/** Between two attempts to reach a server that is away: twice as long each time, up to the second. */
const FIRST_RETRY_MS = 50
const MAX_RETRY_MS = 1_000

export interface LinksOptions extends LinkOptions {
  readonly leaseMs: number
  /** Looks at what a new link found. Throws where the store can't go on with it. */
  readonly onOpened: (opened: Opened) => void
  readonly onDown: () => void
  /** Nothing is gained by trying again. */
  readonly onLost: (error: StatemqError) => void
}

/** Always one link to Redis, or an attempt to make one. */
export class RedisLinks {
  readonly #modules: RedisModules
  readonly #options: LinksOptions
  readonly #owner: RedisOwner
  #link: RedisLink | undefined
  #connecting: Promise<RedisLink> | undefined
  #end: StatemqError | undefined
  #renewal: NodeJS.Timeout | undefined
  #retry: { readonly timer: NodeJS.Timeout; readonly go: () => void } | undefined

  constructor(modules: RedisModules, options: LinksOptions, owner: RedisOwner) {
    this.#modules = modules
    this.#options = options
    this.#owner = owner
  }

  /** One attempt; rejects with SMQ_STORE_UNAVAILABLE where the server can't be reached. */
  async open(): Promise<void> {
    try {
      this.#accept(await RedisLink.open(this.#modules, this.#options, this.#owner))
    } catch (error) {
      if (error instanceof StatemqError) throw error
      throw unavailable(error)
    }
    this.#renewal = setInterval(() => void this.#renew(), this.#options.leaseMs / RENEWALS_PER_LEASE).unref()
  }

  get isUp(): boolean {
    return this.#link !== undefined
  }

  /** The link, as soon as there is one. Rejects once there can't be any more. */
  async current(): Promise<RedisLink> {
    if (this.#end !== undefined) throw this.#end
    return this.#link ?? (await (this.#connecting ??= this.#connect()))
  }

  /** A link is of no use any more. */
  fail(link: RedisLink, error: unknown): void {
    link.fail(error instanceof Error ? error : new Error(String(error)))
  }

  /** Gives the store to whoever comes next. */
  async close(): Promise<void> {
    const link = this.#link
    this.#stop(new StatemqError('SMQ_STORE_CLOSED'))
    if (link?.isUp === true) await this.#owner.release(link.reader).catch(() => {})
    link?.disconnect()
  }

  /** Nothing can be written any more. */
  stop(error: StatemqError): void {
    const link = this.#link
    this.#stop(error)
    link?.disconnect()
  }

  #stop(error: StatemqError): void {
    this.#end ??= error
    this.#link = undefined
    clearInterval(this.#renewal)
    if (this.#retry === undefined) return
    clearTimeout(this.#retry.timer)
    this.#retry.go()
  }

  #accept(opened: Opened): RedisLink {
    const { link } = opened
    try {
      if (this.#end !== undefined) throw this.#end
      this.#options.onOpened(opened)
    } catch (error) {
      link.disconnect()
      throw error
    }
    this.#link = link
    link.onFailure = () => {
      if (this.#link !== link) return
      this.#link = undefined
      if (this.#end !== undefined) return
      this.#options.onDown()
      this.#connecting ??= this.#connect()
      // Whoever needs one is told; there may be nobody just now.
      this.#connecting.catch(() => {})
    }
    return link
  }

  async #connect(): Promise<RedisLink> {
    try {
      for (let waitMs = FIRST_RETRY_MS; ; waitMs = Math.min(waitMs * 2, MAX_RETRY_MS)) {
        if (this.#end !== undefined) throw this.#end
        try {
          return this.#accept(await RedisLink.open(this.#modules, this.#options, this.#owner))
        } catch (error) {
          if (error instanceof StatemqError) throw error
        }
        await this.#pause(waitMs)
      }
    } catch (error) {
      const end = error as StatemqError
      if (this.#end === undefined) this.#options.onLost(end)
      this.#stop(end)
      throw end
    } finally {
      this.#connecting = undefined
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#retry = { timer: setTimeout(resolve, ms), go: resolve }
    })
  }

  async #renew(): Promise<void> {
    const link = this.#link
    if (link === undefined) return
    try {
      await this.#owner.renew(link.reader)
    } catch (error) {
      if (error instanceof StatemqError) this.#options.onLost(error)
      else link.fail(error as Error)
    }
  }
}

function unavailable(error: unknown): StatemqError {
  const cause = plainError(error)
  return new StatemqError('SMQ_STORE_UNAVAILABLE', cause.message, { cause })
}
