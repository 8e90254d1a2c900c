import { Keeping, Publication } from '../publication.ts'

/**
 * A message of the broker's own, retained. At QoS 0, and kept in memory only: it is told anew every few
 * seconds, and no disk is written to for that.
 */
export function systemPublication(topic: string, text: string): Publication {
  const payload = Buffer.from(text)
  const publication = new Publication(topic, 0, true, false, 0, payload, 0, payload.length)
  publication.keeping = Keeping.Never
  return publication
}
