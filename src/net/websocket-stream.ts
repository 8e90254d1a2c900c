import { Duplex } from 'node:stream'

import type { RawData, WebSocket } from 'ws'

type Callback = (error?: Error | null) => void

const closeNormal = 1000
const closeUnsupportedData = 1003

/**
 * The byte stream in a WebSocket. Each write is one binary message, and a write is finished when the
 * system has taken it; reading pauses the socket when nobody takes the bytes. Where messages begin
 * and end means nothing: packets may span or share them (MQTT-6.0.0-2).
 *
 * `end` starts the closing handshake, `destroy` cuts the connection as a socket's does.
 */
export class WebSocketStream extends Duplex {
  readonly #webSocket: WebSocket
  /** A close frame with the reason is on its way; cutting the connection now would lose it. */
  #closing = false

  constructor(webSocket: WebSocket) {
    super({ allowHalfOpen: false })
    this.#webSocket = webSocket
    webSocket.on('message', (data, isBinary) => this.#onMessage(data, isBinary))
    webSocket.on('close', () => {
      if (!this.destroyed) this.push(null)
    })
    // Oversize (1009), too many fragments (1008) and malformed frames (1002): ws has sent the close frame.
    webSocket.on('error', (error) => {
      this.#closing = true
      this.destroy(error)
    })
  }

  #onMessage(data: RawData, isBinary: boolean): void {
    if (this.destroyed) return
    if (!isBinary) {
      // MQTT-6.0.0-1: data that is not binary ends the connection.
      this.#closing = true
      this.#webSocket.close(closeUnsupportedData, 'MQTT needs binary frames')
      this.destroy(new Error('a WebSocket text frame came in'))
      return
    }
    // With the default binaryType every message is one Buffer.
    const bytes = data as Buffer
    if (bytes.length > 0 && !this.push(bytes)) this.#webSocket.pause()
  }

  override _read(): void {
    if (this.#webSocket.isPaused) this.#webSocket.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    this.#webSocket.send(chunk, callback)
  }

  override _final(callback: Callback): void {
    this.#webSocket.close(closeNormal)
    callback()
  }

  override _destroy(error: Error | null, callback: Callback): void {
    // A paused socket would not read the peer's answer to the close frame.
    if (this.#closing) this.#webSocket.resume()
    else this.#webSocket.terminate()
    callback(error)
  }
}
