import { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'

import type { Broker } from '../api.ts'
import type { ConnectRequest } from '../hooks.ts'
import type { MessageInput } from '../messages.ts'
import type { PublishPacket } from './types.ts'

type DirectMessage = Omit<MessageInput, 'retain'>

interface ClientEvents {
  connected: []
  error: [error: Error]
}

/** One connection, by the names that Aedes gives what is known of it. */
export class AedesClient extends EventEmitter<ClientEvents> {
  /** Empty before CONNECT. */
  id = ''
  clean = true
  /** 3, 4 or 5; 0 before CONNECT. */
  version = 0
  connecting = false
  connected = false
  closed = false
  readonly conn: Duplex
  readonly req: IncomingMessage | undefined
  readonly #broker: Broker

  constructor(broker: Broker, conn: Duplex, req: IncomingMessage | undefined) {
    super()
    this.#broker = broker
    this.conn = conn
    this.req = req
  }

  /** For the broker: what CONNECT says. */
  introduce({ clientId, cleanStart, protocolVersion }: ConnectRequest): void {
    this.connecting = true
    this.id = clientId
    this.clean = cleanStart
    this.version = protocolVersion
  }

  /** Sends this client a message, whether or not it has subscribed to its topic; RETAIN is always 0. */
  publish({ topic, payload = '', qos = 0 }: PublishPacket, callback?: (error?: Error) => void): void {
    void answer(this.#send({ topic, payload, qos }), callback)
  }

  async #send(message: DirectMessage): Promise<void> {
    const [outcome] = await this.#broker.sessions.publishTo({ clientId: this.id }, message)
    if (outcome?.outcome !== 'done') throw new Error(outcome?.reason ?? 'the client has no session')
  }

  /** Ends the connection without a word, so that the will is published. */
  close(callback?: () => void): void {
    if (callback) {
      if (this.conn.closed) return callback()
      this.conn.once('close', callback)
    }
    this.conn.destroy()
  }
}

/** Calls back when it is done, in a turn of its own, where what is thrown is nobody's rejection. */
export async function answer(work: Promise<unknown>, callback: ((error?: Error) => void) | undefined): Promise<void> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => (reason instanceof Error ? reason : new Error(String(reason))),
  )
  if (callback) setImmediate(() => callback(error))
}
