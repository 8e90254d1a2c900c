import type { Packet } from 'mqtt-packet'
import { parser as createParser } from 'mqtt-packet'

import type { ProtocolVersion } from '../messages.ts'
import { ReasonCode } from '../reason-codes.ts'
import { refused } from './faults.ts'

/** Where one packet lies: its fixed header begins at `start`, what follows the remaining length at `body`. */
export interface Extent {
  readonly bytes: Buffer
  readonly start: number
  readonly body: number
  readonly end: number
}

type PacketOf<Command extends Packet['cmd']> = Extract<Packet, { cmd: Command }>

/**
 * Has mqtt-packet decode a packet that our own validation has passed. The library trusts its input
 * (it takes duplicates, foreign properties, any bytes for UTF-8), so it never comes first; and
 * should it disagree with our validation, that ends one connection and nothing else.
 */
export function parseValidated<Command extends Packet['cmd']>(
  command: Command,
  extent: Extent,
  version: ProtocolVersion,
): PacketOf<Command> {
  let found: Packet | undefined
  // A parser for each packet: no remainder and no error of one client can reach another's.
  const parser = createParser({ protocolVersion: version })
  parser.on('packet', (packet) => (found = packet))
  // An 'error' event without a listener would be thrown.
  parser.on('error', () => (found = undefined))
  try {
    parser.parse(extent.bytes.subarray(extent.start, extent.end))
  } catch {
    found = undefined
  }
  if (isCommand(found, command)) return found
  refused(ReasonCode.ImplementationSpecificError, `mqtt-packet does not read a valid ${command}`)
}

function isCommand<Command extends Packet['cmd']>(
  packet: Packet | undefined,
  command: Command,
): packet is PacketOf<Command> {
  return packet?.cmd === command
}
