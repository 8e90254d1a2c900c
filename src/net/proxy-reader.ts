import type { Socket } from 'node:net'

import type { ConnectionInfo } from '../messages.ts'
import type { Handshake } from './handshake.ts'
import { parseProxyHeader } from './proxy-protocol.ts'
import type { ProxySource } from './proxy-protocol.ts'

/** The connection as it looks from behind the proxy. */
function applySource(info: ConnectionInfo, source: ProxySource): ConnectionInfo {
  switch (source.kind) {
    case 'local':
      return info
    case 'unknown':
      return { ...info, proxyAddress: info.remoteAddress }
    case 'unix':
      // The proxy's own address must not pass for the client's in rules about addresses.
      return { ...info, remoteAddress: undefined, remotePort: undefined, proxyAddress: info.remoteAddress }
    case 'address':
      return { ...info, remoteAddress: source.address, remotePort: source.port, proxyAddress: info.remoteAddress }
  }
}

/** Without an encoding a socket gives buffers only. */
function readChunk(socket: Socket): Buffer | null {
  return socket.read() as Buffer | null
}

/**
 * Takes the PROXY header off a trusted peer's connection and gives back what follows it, so that
 * the socket is as good as new. The handshake's deadline covers a header that never comes.
 */
export function readProxyHeader(socket: Socket, handshake: Handshake, done: (info: ConnectionInfo) => void): void {
  let bytes: Buffer = Buffer.alloc(0)
  const onReadable = (): void => {
    for (let chunk = readChunk(socket); chunk !== null; chunk = readChunk(socket)) {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
    }
    // An end or a reset is told by `close`, which the handshake watches.
    if (bytes.length === 0) return
    const header = parseProxyHeader(bytes)
    if (header === 'incomplete') return
    socket.removeListener('readable', onReadable)
    if (header === 'malformed') {
      handshake.refuse('the PROXY header is malformed')
      return
    }
    const rest = bytes.subarray(header.lengthBytes)
    if (rest.length > 0) socket.unshift(rest)
    done(applySource(handshake.info, header.source))
  }
  socket.on('readable', onReadable)
}
