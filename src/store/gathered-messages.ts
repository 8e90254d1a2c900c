import type { Publication } from '../publication.ts'
import type { QueuedMessage } from '../stored.ts'
import type { PendingWrites } from './pending.ts'

/** Messages of one session in one record at most: a page that is read is not much more than what was asked for. */
const MAX_BATCH_MESSAGES = 256
const MAX_BATCH_BYTES = 262_144

/** The messages of one session as they go into records. */
export function* batchesOf(messages: Iterable<QueuedMessage>): Generator<readonly QueuedMessage[], void> {
  let batch: QueuedMessage[] = []
  let bytes = 0
  for (const message of messages) {
    batch.push(message)
    bytes += message.publication.sizeBytes
    if (batch.length < MAX_BATCH_MESSAGES && bytes < MAX_BATCH_BYTES) continue
    yield batch
    batch = []
    bytes = 0
  }
  if (batch.length > 0) yield batch
}

/** The messages that more than one session waits for, in the order in which that shows. */
export function sharedAmong(appended: PendingWrites['appended']): ReadonlySet<Publication> {
  const shared = new Set<Publication>()
  if (appended.size < 2) return shared
  const seen = new Set<Publication>()
  for (const messages of appended.values()) {
    for (const { publication } of messages.values()) {
      if (seen.has(publication)) shared.add(publication)
      else seen.add(publication)
    }
  }
  return shared
}
