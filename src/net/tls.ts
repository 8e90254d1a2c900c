import { constants, X509Certificate } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { Socket } from 'node:net'
import { createSecureContext, createServer } from 'node:tls'
import type { SecureContext, SecureContextOptions, TLSSocket } from 'node:tls'

import { StatemqError } from '../errors.ts'
import type { TlsOptions } from '../options.ts'
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

function createTlsServer(options: TlsOptions): ReturnType<typeof createServer> {
  const rules = clientCertificateRules(options)
  try {
    // Node skips what is not a certificate in `ca`, and then trusts nobody without saying so.
    if (options.ca !== undefined) void new X509Certificate(options.ca)
    const contexts = serverNameContexts(options)
    return createServer({
      ...contextOptions(options, options),
      ...rules,
      handshakeTimeout: noHandshakeTimeoutMs,
      // No context: the listener's own certificate.
      SNICallback: (serverName, callback) => callback(null, findContext(contexts, serverName)),
    })
  } catch (error) {
    throw error instanceof StatemqError ? error : tlsInvalid(error)
  }
}

/** Makes TLS sockets of raw ones. Throws SMQ_TLS_INVALID or SMQ_OPTION_INVALID. */
export function createTlsUpgrade(
  options: TlsOptions,
  secured: (socket: Duplex, handshake: Handshake) => void,
): (socket: Socket, handshake: Handshake) => void {
  // This server never listens; it is what Node runs a handshake by.
  const server = createTlsServer(options)
  const handshakes = new WeakMap<object, Handshake>()
  server.on('secureConnection', (socket) => {
    socket.on('error', ignoreError)
    const handshake = handshakes.get(rawSocketOf(socket))
    if (handshake === undefined) {
      socket.destroy()
      return
    }
    handshake.info = { ...handshake.info, tls: tlsFacts(socket) }
    secured(socket, handshake)
  })
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    socket.on('error', ignoreError)
    // Node cuts a client with a refused certificate as if it had hung up; the reason is at the socket.
    const refusal: unknown = socket.authorizationError
    const reason =
      typeof refusal === 'string' && refusal !== ''
        ? `client certificate refused: ${refusal}`
        : `TLS handshake failed: ${error.code ?? error.message}`
    handshakes.get(rawSocketOf(socket))?.refuse(reason)
    socket.destroy()
  })
  return (socket, handshake) => {
    handshakes.set(socket, handshake)
    server.emit('connection', socket)
  }
}
