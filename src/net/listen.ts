import type { ListenOptions } from 'node:net'
import type { Duplex } from 'node:stream'

import { StatemqError } from '../errors.ts'
import { reachesOtherMachines, type AddressOptions, type ListenerOptions, type TlsOptions } from '../options.ts'
import type { Handshake } from './handshake.ts'
import { createProxyTrust } from './proxy-trust.ts'
import { SocketServer, type SocketServerOptions } from './socket-server.ts'
import { TlsUpgrade } from './tls.ts'
import type { ListenContext, Listener } from './types.ts'
import { openUnixListener } from './unix.ts'
import { attachWebSocketListener } from './websocket-attached.ts'
import { createWebSocketUpgrade } from './websocket.ts'

export type { ListenContext, Listener } from './types.ts'

const defaultHost = '127.0.0.1'
const defaultBacklogConnections = 1_024
const defaultPorts = { tcp: 1883, tls: 8883, ws: 8083, wss: 8084 } as const

/** Whether other machines can reach it; a server that an embedder brings is the embedder's to protect. */
export function isExposed(options: ListenerOptions): boolean {
  return !('server' in options && options.server) && reachesOtherMachines(options)
}

function bindOptions(transport: keyof typeof defaultPorts, options: AddressOptions): ListenOptions {
  const { port = defaultPorts[transport], host = defaultHost, backlog = defaultBacklogConnections } = options
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new StatemqError('SMQ_OPTION_INVALID', `port ${port}`)
  if (!Number.isInteger(backlog) || backlog < 1) throw new StatemqError('SMQ_OPTION_INVALID', `backlog ${backlog}`)
  // An empty host would mean every interface to the system.
  if (host === '') throw new StatemqError('SMQ_OPTION_INVALID', 'host is empty')
  return { port, host, backlog }
}

/**
 * Opens one listener of a transport that there is. Rejects with SMQ_OPTION_INVALID for options that can't be used,
 * SMQ_TLS_INVALID for keys or certificates that can't, SMQ_LISTEN_FAILED for an address that can't.
 */
export async function openListener(options: ListenerOptions, context: ListenContext): Promise<Listener> {
  if (options.transport === 'unix') return openUnixListener(options, context)
  if (options.transport === 'ws' && options.server !== undefined)
    return attachWebSocketListener(options, options.server, context)
  const { transport, name } = options
  const common = {
    transport,
    name,
    bind: bindOptions(transport, options),
    proxyTrust: createProxyTrust(options.proxyProtocol),
  }
  switch (transport) {
    case 'tcp':
      return SocketServer.open(common, context)
    case 'tls':
      return SocketServer.open(
        overTls(common, options, context, (socket, handshake) => acceptStream(socket, handshake, context)),
        context,
      )
    case 'ws':
      return SocketServer.open({ ...common, upgrade: createWebSocketUpgrade(options, context) }, context)
    case 'wss':
      return SocketServer.open(overTls(common, options, context, createWebSocketUpgrade(options, context)), context)
  }
}

function overTls(
  common: SocketServerOptions,
  options: TlsOptions,
  { clock }: ListenContext,
  secured: (socket: Duplex, handshake: Handshake) => void,
): SocketServerOptions {
  const tls = new TlsUpgrade(options, clock, secured)
  return { ...common, upgrade: tls.upgrade, setSecureContext: (changed) => tls.setSecureContext(changed) }
}

function acceptStream(socket: Duplex, handshake: Handshake, context: ListenContext): void {
  if (handshake.complete()) context.accept(socket, handshake.info)
}
