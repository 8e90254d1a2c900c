import { timingSafeEqual } from 'node:crypto'

import { hash, hashLength, hmac, type ScramCredentials } from './scram-credentials.ts'
import { parseClientFinal, type ClientFirst } from './scram-messages.ts'

/** The server's part of one SCRAM exchange, from the client's first message to the verdict (RFC 5802 section 3). */
export class ScramExchange {
  /** What the client is sent in answer to its first message. */
  readonly serverFirst: string
  readonly username: string
  readonly #credentials: ScramCredentials
  readonly #isKnown: boolean
  readonly #nonce: string
  readonly #channelBinding: Buffer
  readonly #firstMessages: string

  /**
   * `username` is the name after SASLprep, `channelData` what the client must have bound to, empty
   * without channel binding. For a user that does not exist the credentials are made up and
   * `isKnown` is false: the exchange takes its course and ends like one with a wrong password.
   */
  constructor(
    first: ClientFirst,
    username: string,
    credentials: ScramCredentials,
    isKnown: boolean,
    channelData: Buffer,
    serverNonce: string,
  ) {
    this.username = username
    this.#credentials = credentials
    this.#isKnown = isKnown
    this.#nonce = first.nonce + serverNonce
    this.#channelBinding = Buffer.concat([Buffer.from(first.header), channelData])
    this.serverFirst = `r=${this.#nonce},s=${credentials.salt.toString('base64')},i=${credentials.iterations}`
    this.#firstMessages = `${first.bare},${this.serverFirst}`
  }

  /**
   * The server's final message where the client has proven that it knows the password, undefined
   * where not. Throws ScramSyntaxError. To be called once: a proof is worth one attempt.
   */
  finish(data: Buffer): string | undefined {
    const { mechanism, storedKey, serverKey } = this.#credentials
    const final = parseClientFinal(data)
    const authMessage = `${this.#firstMessages},${final.withoutProof}`
    const isBound = equal(final.channelBinding, this.#channelBinding)
    const isNonce = equal(Buffer.from(final.nonce), Buffer.from(this.#nonce))
    const isProven = this.#isProof(final.proof, hmac(mechanism, storedKey, authMessage))
    const verifier = hmac(mechanism, serverKey, authMessage)
    // Everything is computed and compared whatever was wrong, so that time tells nothing (threat 64).
    if (!(isBound && isNonce && isProven && this.#isKnown)) return undefined
    return `v=${verifier.toString('base64')}`
  }

  /** The proof is the client's key, hidden under the signature; the key is known by its hash. */
  #isProof(proof: Buffer, signature: Buffer): boolean {
    const { mechanism, storedKey } = this.#credentials
    if (proof.length !== hashLength(mechanism)) return false
    const clientKey = Buffer.from(proof.map((byte, at) => byte ^ signature[at]!))
    return timingSafeEqual(hash(mechanism, clientKey), storedKey)
  }
}

function equal(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}
