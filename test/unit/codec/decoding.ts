import { Decoder } from '../../../src/codec/decoder.ts'
import { ProtocolError } from '../../../src/errors.ts'
import type { InboundPacket } from '../../../src/messages.ts'
import { Publication } from '../../../src/publication.ts'
import type { Limits } from '../../../src/limits.ts'
import { defaultLimits } from '../../../src/limits.ts'
import { connect, type Version } from '../../support/wire.ts'

/** A decoder of a client that the session has let in. */
export function connected(version: Version, limits: Partial<Limits> = {}): Decoder {
  const decoder = new Decoder({ ...defaultLimits, ...limits })
  decoder.feed(connect({ version, clientId: 'c' }))
  decoder.next()
  decoder.accept()
  decoder.topicAliasMaximum = 10
  return decoder
}

/** What a refusal is to a test: its code, and whether the connection closes without a word. */
export interface Refusal {
  readonly refused: number
  readonly silent: boolean
}

/** A packet as plain data: a publication loses its buffers, which depend on the chunking. */
function plain(packet: InboundPacket): unknown {
  if (!(packet instanceof Publication)) return packet
  const { topic, qos, retain, dup, packetId, properties, propertyBytes, payload, image } = packet
  return {
    topic,
    qos,
    retain,
    dup,
    packetId,
    properties,
    propertyHex: propertyBytes?.toString('hex'),
    payload: payload.toString('hex'),
    // A large one has an encoding to pass on only if it came in one chunk.
    image: payload.length < 32_000 &&
      image && {
        key: image.key,
        hex: image.bytes.subarray(image.start, image.end).toString('hex'),
        idAt: image.idOffset === -1 ? -1 : image.idOffset - image.start,
      },
  }
}

/** Everything that comes out of these chunks, up to and including a refusal. */
export function outcomes(decoder: Decoder, ...chunks: readonly Buffer[]): unknown[] {
  const found: unknown[] = []
  try {
    for (const chunk of chunks) {
      decoder.feed(chunk)
      for (let packet = decoder.next(); packet !== undefined; packet = decoder.next()) found.push(plain(packet))
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    found.push({ refused: error.reasonCode, silent: error.silent } satisfies Refusal)
  }
  return found
}

/** The refusal that these bytes lead to; undefined when they are decoded or more is needed. */
export function refusal(decoder: Decoder, bytes: Buffer): Refusal | undefined {
  const last = outcomes(decoder, bytes).at(-1)
  return typeof last === 'object' && last !== null && 'refused' in last ? (last as Refusal) : undefined
}
