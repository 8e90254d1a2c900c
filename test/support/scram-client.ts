/**
 * A SCRAM client for tests (RFC 5802 section 3), written against the RFC and not against `src/auth`.
 *
 * ```ts
 * const client = new ScramClient('SCRAM-SHA-256', 'user', 'pencil')
 * send(client.first())
 * send(client.final(received))        // throws where the server's first message is not sound
 * client.verify(receivedAtTheEnd)     // throws where the server does not know the user's key
 * ```
 */
import assert from 'node:assert/strict'
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'

export interface ScramClientOptions {
  /** Default `n,,`. */
  readonly header?: string
  /** Data of the channel. Default: none. */
  readonly channelData?: Buffer
  readonly nonce?: string
  /** The nonce of the final message, made from the right one; the proof is made for it. Default: as it is. */
  readonly finalNonce?: (nonce: string) => string
}

export class ScramClient {
  readonly #hash: 'sha256' | 'sha512'
  readonly #user: string
  readonly #password: string
  readonly #header: string
  readonly #channelData: Buffer
  readonly nonce: string
  readonly #finalNonce: (nonce: string) => string
  #serverSignature = ''

  constructor(mechanism: string, user: string, password: string, options: ScramClientOptions = {}) {
    this.#hash = mechanism.startsWith('SCRAM-SHA-512') ? 'sha512' : 'sha256'
    this.#user = user.replaceAll('=', '=3D').replaceAll(',', '=2C')
    this.#password = password
    this.#header = options.header ?? 'n,,'
    this.#channelData = options.channelData ?? Buffer.alloc(0)
    this.#finalNonce = options.finalNonce ?? ((nonce) => nonce)
    this.nonce = options.nonce ?? randomBytes(12).toString('base64')
  }

  first(): Buffer {
    return Buffer.from(`${this.#header}n=${this.#user},r=${this.nonce}`)
  }

  final(serverFirst: Buffer | undefined): Buffer {
    const parts = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(String(serverFirst))
    assert(parts, `no first message of a server: ${String(serverFirst)}`)
    const [text, nonce, salt, iterations] = parts
    assert(nonce!.startsWith(this.nonce) && nonce!.length > this.nonce.length, 'the nonce is not a longer one of ours')
    const length = this.#hash === 'sha512' ? 64 : 32
    const salted = pbkdf2Sync(this.#password, Buffer.from(salt!, 'base64'), Number(iterations), length, this.#hash)
    const clientKey = this.#hmac(salted, 'Client Key')
    const storedKey = createHash(this.#hash).update(clientKey).digest()
    const channel = Buffer.concat([Buffer.from(this.#header), this.#channelData]).toString('base64')
    const withoutProof = `c=${channel},r=${this.#finalNonce(nonce!)}`
    const authMessage = `n=${this.#user},r=${this.nonce},${text},${withoutProof}`
    const signature = this.#hmac(storedKey, authMessage)
    const proof = Buffer.from(clientKey.map((byte, at) => byte ^ signature[at]!))
    this.#serverSignature = this.#hmac(this.#hmac(salted, 'Server Key'), authMessage).toString('base64')
    return Buffer.from(`${withoutProof},p=${proof.toString('base64')}`)
  }

  verify(serverFinal: Buffer | undefined): void {
    assert.equal(String(serverFinal), `v=${this.#serverSignature}`)
  }

  #hmac(key: Buffer, text: string): Buffer {
    return createHmac(this.#hash, key).update(text).digest()
  }
}
