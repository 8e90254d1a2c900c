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
  const reader = readers[version]
  const found = reader.read(extent.bytes.subarray(extent.start, extent.end))
  if (isCommand(found, command)) return found
  refused(ReasonCode.ImplementationSpecificError, `mqtt-packet does not read a valid ${command}`)
}

/**
 * One parser of the library for all connections of a version: making one costs more than a packet.
 * It is replaced when a packet leaves anything behind in it, a remainder or an error, so that no
 * client's bytes can reach another's packet.
 */
class LibraryReader {
  readonly #version: ProtocolVersion
  #parser: ReturnType<typeof createParser> | undefined = undefined
  #found: Packet | undefined = undefined

  constructor(version: ProtocolVersion) {
    this.#version = version
  }

  read(bytes: Buffer): Packet | undefined {
    const parser = (this.#parser ??= this.#create())
    this.#found = undefined
    let remainder = -1
    try {
      remainder = parser.parse(bytes)
    } catch {
      this.#found = undefined
    }
    const found = this.#found
    this.#found = undefined
    if (remainder !== 0 || found === undefined) this.#parser = undefined
    return found
  }

  #create(): ReturnType<typeof createParser> {
    const parser = createParser({ protocolVersion: this.#version })
    parser.on('packet', (packet) => (this.#found = packet))
    // An 'error' event without a listener would be thrown.
    parser.on('error', () => (this.#found = undefined))
    return parser
  }
}

const readers = { 3: new LibraryReader(3), 4: new LibraryReader(4), 5: new LibraryReader(5) } as const

function isCommand<Command extends Packet['cmd']>(
  packet: Packet | undefined,
  command: Command,
): packet is PacketOf<Command> {
  return packet?.cmd === command
}
