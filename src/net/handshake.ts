import type { Duplex } from 'node:stream'

import type { ConnectionInfo } from '../messages.ts'
import type { ListenContext } from './types.ts'

/** A socket's errors always end in its `close`, which is what the rooms above act on. */
export function ignoreError(): void {}

/**
 * What stands between accepting a socket and having a stream: PROXY header, TLS handshake,
 * WebSocket upgrade, all of them under one deadline that begins at accept. It ends once, by
 * `complete` or by `refuse`.
 */
export class Handshake {
  /** Refined on the way: addresses by the PROXY header, facts by TLS. */
  info: ConnectionInfo
  readonly #socket: Duplex
  readonly #context: ListenContext
  readonly #pending: Set<Handshake>
  readonly #timer: unknown
  #done = false

  constructor(socket: Duplex, info: ConnectionInfo, context: ListenContext, pending: Set<Handshake>) {
    this.info = info
    this.#socket = socket
    this.#context = context
    this.#pending = pending
    const { handshakeTimeoutMs } = context.limits
    // Threat 61: a stalled handshake must not hold its socket longer than this.
    this.#timer = Number.isFinite(handshakeTimeoutMs)
      ? context.clock.setTimeout(() => this.refuse(`no handshake within ${handshakeTimeoutMs} ms`), handshakeTimeoutMs)
      : undefined
    socket.once('close', this.#onClose)
    pending.add(this)
  }

  /** TLS learns of the close after the raw socket does, and may know a better reason: it gets one turn to tell. */
  readonly #onClose = (): void => process.nextTick(() => this.refuse('the connection closed during the handshake'))

  /** The handshake is over and the connection may be used; false: it was refused before. */
  complete(): boolean {
    return this.#settle()
  }

  /** Reports the reason and ends the connection. After the first end it does nothing. */
  refuse(reason: string): void {
    if (this.report(reason)) this.#socket.destroy()
  }

  /** As `refuse`, but leaves ending the connection to the caller, who has a reply to send; false: refused before. */
  report(reason: string): boolean {
    if (!this.#settle()) return false
    this.#context.refused(this.info, reason)
    return true
  }

  /** The listener is closing: ends the connection without a report. */
  abandon(): void {
    if (this.#settle()) this.#socket.destroy()
  }

  #settle(): boolean {
    if (this.#done) return false
    this.#done = true
    this.#pending.delete(this)
    this.#socket.removeListener('close', this.#onClose)
    if (this.#timer !== undefined) this.#context.clock.clearTimeout(this.#timer)
    return true
  }
}
