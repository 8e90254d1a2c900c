import type { Duplex } from 'node:stream'

import { StatemqError } from '../errors.ts'
import type { ConnectionInfo, Transport } from '../messages.ts'
import type { Limits } from '../limits.ts'
import type { Clock, Logger, TlsOptions } from '../options.ts'

/** An open listener. */
export interface Listener {
  readonly name: string
  readonly transport: Transport
  /** Where it listens: with port 0 in the options, this is the port that the system chose. */
  readonly address: { readonly host: string; readonly port: number } | { readonly path: string }
  /** Connections that are open now, those in a handshake included. */
  readonly connections: number
  /**
   * Other keys, certificates and authorities for handshakes from now on. Who is connected stays; TLS
   * sessions that began before are not resumed any more. With the options unchanged it is a change of
   * ticket keys. Throws SMQ_TLS_INVALID, or SMQ_OPTION_INVALID, also where the listener has no TLS of
   * its own, and has then changed nothing.
   */
  setSecureContext(options: TlsOptions): void
  /** Stops accepting and drops unfinished handshakes; accepted streams live on. May be called twice. */
  close(): Promise<void>
}

/** What the room above gives to a listener. */
export interface ListenContext {
  /** The broker's limits with the listener's own merged in. */
  readonly limits: Limits
  readonly logger: Logger
  readonly clock: Clock
  /** Asked before anything is read or any handshake work is done; false: the connection is destroyed at once. */
  admit(): boolean
  /** Asked as soon as it is known where a connection comes from, before anything else of it is read. */
  isBanned(address: string | undefined): boolean
  /** A connection is ready to carry MQTT. It must attach its listeners before it returns. */
  accept(stream: Duplex, info: ConnectionInfo): void
  /** A connection ended before it became a stream: a timeout, a TLS error, a bad PROXY header or upgrade. */
  refused(info: ConnectionInfo, reason: string): void
}

/** `setSecureContext` of a listener without TLS. */
export function withoutTls(): never {
  throw new StatemqError('SMQ_OPTION_INVALID', 'the listener has no TLS of its own')
}
