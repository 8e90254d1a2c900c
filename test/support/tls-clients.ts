import { once } from 'node:events'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { onTestFinished } from 'vitest'

import { testAuthority } from './certificates.ts'
import { RawClient } from './raw-client.ts'

/** A raw MQTT client over TLS, with what it needs to come back on the same TLS session. */
export interface TlsClient {
  readonly socket: TLSSocket
  readonly mqtt: RawClient
  /** The newest session that the server has given: with TLS 1.3 it comes behind the first bytes. */
  session(): Promise<Buffer>
}

/** Connects to a listener on loopback whose certificate is of {@link testAuthority}; rejects where the handshake fails. */
export async function connectTls(port: number, options: ConnectionOptions = {}): Promise<TlsClient> {
  const socket = connect({
    port,
    host: '127.0.0.1',
    ca: testAuthority().cert,
    servername: 'localhost',
    checkServerIdentity: () => undefined,
    ...options,
  })
  onTestFinished(() => void socket.destroy())
  const sessions: Buffer[] = []
  socket.on('session', (session: Buffer) => sessions.push(session))
  await once(socket, 'secureConnect')
  const mqtt = new RawClient(socket)
  const session = async (): Promise<Buffer> => {
    // A session that was resumed is good for another time: OpenSSL gives no new one.
    if (socket.isSessionReused()) return options.session!
    if (sessions.length === 0) await once(socket, 'session')
    return sessions.at(-1)!
  }
  return { socket, mqtt, session }
}
