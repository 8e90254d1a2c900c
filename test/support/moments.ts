/** Real time, for tests of processes that are killed: nothing in them can be waited for instead. */

/** A moment that a seed has chosen; never a wait for something to have happened. */
export function elapsed(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** Whether the condition came to hold within that time: a guard. */
export async function until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
  for (const endsAt = Date.now() + timeoutMs; !condition(); await elapsed(5)) if (Date.now() > endsAt) return false
  return true
}
