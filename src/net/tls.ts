import { constants, type X509Certificate } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { Socket } from 'node:net'
import { createSecureContext, createServer } from 'node:tls'
import type { SecureContext, SecureContextOptions, Server, TLSSocket } from 'node:tls'

import { StatemqError } from '../errors.ts'
import type { Clock, TlsOptions } from '../options.ts'
import { isCurrent, readAuthorities } from './authorities.ts'
import { ignoreError } from './handshake.ts'
import type { Handshake } from './handshake.ts'
import { tlsFacts } from './stream-info.ts'

/** Node's own handshake timer can't be switched off; ours, which follows the broker's clock, always comes first. */
const noHandshakeTimeoutMs = 2_147_483_647

const serverNamePattern = /^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*$/

function tlsInvalid(cause: unknown): StatemqError {
  return new StatemqError('SMQ_TLS_INVALID', cause instanceof Error ? cause.message : String(cause), { cause })
}

function contextOptions(options: TlsOptions, pair: Pick<TlsOptions, 'key' | 'cert'>): SecureContextOptions {
  return {
    key: pair.key,
    cert: pair.cert,
    ...(options.ca === undefined ? {} : { ca: options.ca }),
    ...(options.crl === undefined ? {} : { crl: [options.crl].flat() }),
    minVersion: options.minVersion ?? 'TLSv1.2',
    // Renegotiation costs the server more than the client, and it could change the certificate that was decided on.
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  }
}

/** Certificates by server name; the name of a client comes from outside, so looking it up can't throw. */
function serverNameContexts(options: TlsOptions): Map<string, SecureContext> {
  const contexts = new Map<string, SecureContext>()
  for (const [name, pair] of Object.entries(options.serverNames ?? {})) {
    const key = name.toLowerCase()
    if (!serverNamePattern.test(key))
      throw new StatemqError('SMQ_OPTION_INVALID', `serverNames: ${JSON.stringify(name)}`)
    contexts.set(key, createSecureContext(contextOptions(options, pair)))
  }
  return contexts
}

function findContext(contexts: ReadonlyMap<string, SecureContext>, serverName: string): SecureContext | undefined {
  const name = serverName.toLowerCase()
  const dot = name.indexOf('.')
  return contexts.get(name) ?? (dot > 0 ? contexts.get(`*${name.slice(dot)}`) : undefined)
}

function clientCertificateRules(options: TlsOptions): { requestCert: boolean; rejectUnauthorized: boolean } {
  const requestCert = options.requestCert ?? options.ca !== undefined
  const rejectUnauthorized = options.rejectUnauthorized ?? requestCert
  // TLS would let everyone in here, which is the opposite of what is written.
  if (rejectUnauthorized && !requestCert) {
    throw new StatemqError('SMQ_OPTION_INVALID', 'rejectUnauthorized needs requestCert or ca')
  }
  return { requestCert, rejectUnauthorized }
}

/** The socket that a TLS socket of a server was made from. */
function rawSocketOf(socket: TLSSocket): object {
  const parent: unknown = Reflect.get(socket, '_parent')
  return typeof parent === 'object' && parent !== null ? parent : socket
}

function createTlsServer(options: TlsOptions): Server {
  for (const name of ['key', 'cert'] as const) {
    // Without them every handshake would fail, and nobody but its client would know why.
    if (options[name] === undefined) throw new StatemqError('SMQ_OPTION_INVALID', `TLS: expected "${name}"`)
  }
  try {
    const contexts = serverNameContexts(options)
    // Every server has ticket keys of its own, made by OpenSSL: what another one has given is resumed by none.
    return createServer({
      ...contextOptions(options, options),
      ...clientCertificateRules(options),
      handshakeTimeout: noHandshakeTimeoutMs,
      // No context: the listener's own certificate.
      SNICallback: (serverName, callback) => callback(null, findContext(contexts, serverName)),
    })
  } catch (error) {
    throw error instanceof StatemqError ? error : tlsInvalid(error)
  }
}

/** Runs the handshakes of one listener. */
export class TlsUpgrade {
  readonly #secured: (socket: Duplex, handshake: Handshake) => void
  readonly #clock: Pick<Clock, 'nowMs'>
  readonly #handshakes = new WeakMap<object, Handshake>()
  #server: Server

  /** Throws SMQ_TLS_INVALID or SMQ_OPTION_INVALID. */
  constructor(
    options: TlsOptions,
    clock: Pick<Clock, 'nowMs'>,
    secured: (socket: Duplex, handshake: Handshake) => void,
  ) {
    this.#secured = secured
    this.#clock = clock
    this.#server = this.#serve(options)
  }

  /**
   * What holds for handshakes from now on. TLS sessions that began before are not resumed any more, so
   * that every certificate is verified anew (threat 74). Throws as the constructor does, and has then
   * changed nothing.
   */
  setSecureContext(options: TlsOptions): void {
    this.#server = this.#serve(options)
  }

  /** Makes a TLS socket of a raw one. */
  readonly upgrade = (socket: Socket, handshake: Handshake): void => {
    this.#handshakes.set(socket, handshake)
    // The server never listens; it is what Node runs a handshake by.
    this.#server.emit('connection', socket)
  }

  #serve(options: TlsOptions): Server {
    const authorities = readAuthorities(options.ca)
    const { rejectUnauthorized } = clientCertificateRules(options)
    const server = createTlsServer(options)
    server.on('secureConnection', (socket) => {
      socket.on('error', ignoreError)
      const handshake = this.#handshakes.get(rawSocketOf(socket))
      if (handshake === undefined) {
        socket.destroy()
        return
      }
      const tls = tlsFacts(socket)
      const hasEnded = tls.resumed && tls.authorized && this.#hasEnded(socket, authorities)
      if (hasEnded && rejectUnauthorized) {
        // Not `refuse`: OpenSSL is still at work below, and does not outlive its raw socket.
        handshake.report('client certificate refused: CERT_HAS_EXPIRED')
        socket.destroy()
        return
      }
      handshake.info = { ...handshake.info, tls: hasEnded ? { ...tls, authorized: false } : tls }
      this.#secured(socket, handshake)
    })
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
      socket.on('error', ignoreError)
      // Node cuts a client with a refused certificate as if it had hung up; the reason is at the socket.
      const refusal: unknown = socket.authorizationError
      const reason =
        typeof refusal === 'string' && refusal !== ''
          ? `client certificate refused: ${refusal}`
          : `TLS handshake failed: ${error.code ?? error.message}`
      this.#handshakes.get(rawSocketOf(socket))?.refuse(reason)
      socket.destroy()
    })
    return server
  }

  /**
   * Semantics 7.18: whoever resumes a session presents no certificate, and OpenSSL repeats what it
   * found at the beginning. The authorities are still the same, or the session would not be resumed;
   * time is not.
   */
  #hasEnded(socket: TLSSocket, authorities: readonly X509Certificate[]): boolean {
    const certificate = socket.getPeerX509Certificate()
    return certificate === undefined || !isCurrent(certificate, authorities, this.#clock.nowMs())
  }
}
