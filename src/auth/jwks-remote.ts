import type { CryptoKey, LocalJWKSet } from 'jose'

import type { Clock, Logger } from '../options.ts'
import { jwtDefaults, type JwksOptions } from './jwt-options.ts'
import { keysOf, readKeySet, type KeyQuery, type KeySource } from './jwt-keys.ts'
import { TokenRefusal } from './jwt-refusal.ts'
import { tell } from './tell.ts'

/**
 * The keys that an identity provider publishes.
 *
 * ```text
 *   fetched ── refreshSeconds ──▶ due: fetched again before a token is judged
 *                                  │ fails: at most once per cooldownSeconds
 *                                  └─ maxStaleSeconds ──▶ no keys: every token is refused
 * ```
 *
 * jose's own `createRemoteJWKSet` has neither a bound for stale keys, nor a cooldown after failures,
 * nor one for the size of the answer. Requests are never made for more than one reason at a time.
 */
export class RemoteKeys implements KeySource {
  readonly #url: URL
  readonly #headers: Headers
  readonly #refreshMs: number
  readonly #cooldownMs: number
  readonly #staleMs: number
  readonly #timeoutMs: number
  readonly #maxBytes: number
  readonly #clock: Pick<Clock, 'nowMs'>
  readonly #logger: Pick<Logger, 'warn'> | undefined
  readonly #closed = new AbortController()
  #set: LocalJWKSet | undefined = undefined
  #fetchedAtMs = -Infinity
  #triedAtMs = -Infinity
  #fetching: Promise<void> | undefined = undefined

  constructor(options: JwksOptions, clock: Pick<Clock, 'nowMs'>, logger?: Pick<Logger, 'warn'>) {
    const { url, headers, refreshSeconds, cooldownSeconds, maxStaleSeconds, timeoutMs, maxBytes } = {
      ...jwtDefaults,
      ...options,
    }
    this.#url = new URL(url)
    this.#headers = new Headers(headers)
    if (!this.#headers.has('accept')) this.#headers.set('accept', 'application/jwk-set+json, application/json')
    this.#refreshMs = refreshSeconds * 1000
    this.#cooldownMs = cooldownSeconds * 1000
    this.#staleMs = maxStaleSeconds * 1000
    this.#timeoutMs = timeoutMs
    this.#maxBytes = maxBytes
    this.#clock = clock
    this.#logger = logger
  }

  async *keysFor(query: KeyQuery): AsyncGenerator<CryptoKey> {
    const set = await this.#current()
    let found = false
    for await (const key of await keysOf(set, query)) {
      found = true
      yield key
    }
    if (found) return
    // A key that is not known may be a new one.
    await this.#refresh()
    if (this.#set && this.#set !== set) yield* await keysOf(this.#set, query)
  }

  close(): void {
    this.#closed.abort()
  }

  /** Keys that may be used now; throws a {@link TokenRefusal} where there are none. */
  async #current(): Promise<LocalJWKSet> {
    if (this.#set && !this.#isOver(this.#fetchedAtMs, this.#refreshMs)) return this.#set
    await this.#refresh()
    if (this.#isOver(this.#fetchedAtMs, this.#refreshMs + this.#staleMs)) this.#set = undefined
    if (!this.#set) throw new TokenRefusal('noKeys')
    return this.#set
  }

  /** Whoever asks while a request is under way waits for that one. Never rejects. */
  async #refresh(): Promise<void> {
    if (!this.#fetching) {
      if (this.#closed.signal.aborted || !this.#isOver(this.#triedAtMs, this.#cooldownMs)) return
      this.#triedAtMs = this.#clock.nowMs()
      this.#fetching = this.#fetch().finally(() => {
        this.#fetching = undefined
      })
    }
    await this.#fetching
  }

  async #fetch(): Promise<void> {
    const startedAtMs = this.#clock.nowMs()
    try {
      this.#set = readKeySet(await this.#answer())
      // From the start: the answer is as old as that.
      this.#fetchedAtMs = startedAtMs
    } catch (error) {
      if (this.#closed.signal.aborted) return
      const { origin, pathname } = this.#url
      const details = { url: origin + pathname, reason: problemOf(error) }
      tell(this.#logger, 'warn', details, 'the JWT keys could not be fetched')
    }
  }

  async #answer(): Promise<unknown> {
    const signal = AbortSignal.any([this.#closed.signal, AbortSignal.timeout(this.#timeoutMs)])
    // A redirect leads to an address that nobody has configured.
    const response = await fetch(this.#url, { headers: this.#headers, redirect: 'error', signal })
    if (response.status !== 200 || !response.body) {
      await response.body?.cancel()
      throw new Error(`the answer has status ${response.status}`)
    }
    const chunks: Uint8Array[] = []
    let bytes = 0
    for await (const chunk of response.body as ReadableStream<Uint8Array>) {
      bytes += chunk.length
      if (bytes > this.#maxBytes) throw new Error(`the answer has more than ${this.#maxBytes} bytes`)
      chunks.push(chunk)
    }
    return JSON.parse(Buffer.concat(chunks).toString())
  }

  /** A clock that was set back makes everything old, not young. */
  #isOver(sinceMs: number, durationMs: number): boolean {
    const ageMs = this.#clock.nowMs() - sinceMs
    return ageMs < 0 || ageMs >= durationMs
  }
}

/** In short, without what the other side sent. */
function problemOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  if (error instanceof SyntaxError) return 'the answer is not JSON'
  const { cause } = error
  if (cause instanceof Error) return 'code' in cause ? String(cause.code) : cause.message
  return error.name === 'TimeoutError' ? 'it took too long' : error.message
}
