import type { QueuedMessage, SessionKey, SessionStore } from '../stored.ts'
import type { GroupCommit } from './group-commit.ts'
import type { Line } from './line.ts'

export type Place = NonNullable<ReturnType<SessionStore['oldest']>>

/** See {@link SessionStore.oldest}: the store has it, or it is on its way there. */
export function oldestOf(
  key: SessionKey,
  from: number,
  lines: ReadonlyMap<SessionKey, Line>,
  { gathering, committing }: GroupCommit,
): Place | undefined {
  if (gathering.deletedSessions.has(key) || committing?.deletedSessions.has(key) === true) return undefined
  const early = gathering.settledEarly.get(key)
  return (
    lines.get(key)?.oldest(from, early) ??
    firstOf(committing?.appended.get(key), from, early) ??
    firstOf(gathering.appended.get(key), from, undefined)
  )
}

/** The first of some messages of `from` or more that is not settled. */
function firstOf(
  messages: ReadonlyMap<number, QueuedMessage> | undefined,
  from: number,
  settled: ReadonlySet<number> | undefined,
): Place | undefined {
  if (messages === undefined) return undefined
  // Mostly it is this one: whoever asks goes from one to the next.
  const next = settled?.has(from) === true ? undefined : messages.get(from)
  if (next !== undefined) return { sequence: from, bytes: next.publication.storedBytes }
  for (const { sequence, publication } of messages.values()) {
    if (sequence >= from && settled?.has(sequence) !== true) return { sequence, bytes: publication.storedBytes }
  }
  return undefined
}
