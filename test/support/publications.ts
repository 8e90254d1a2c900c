import { type QoS } from '../../src/messages.ts'
import { Publication } from '../../src/publication.ts'

/** A message as the decoder would have made it, for tests of single parts. */
export function publicationOf(topic: string, payload: string | Buffer = '', qos: QoS = 0): Publication {
  const bytes = Buffer.from(payload)
  return new Publication(topic, qos, false, false, 0, bytes, 0, bytes.length)
}
