import { StatemqError } from '../errors.ts'
import type { Clock } from '../options.ts'

/**
 * Waits for a decision hook, no longer than `timeoutMs`. Rejects with SMQ_HOOK_TIMEOUT, or with
 * what the hook threw; the caller turns either into a refusal (semantics 7.11).
 */
export function withTimeout<T>(clock: Clock, timeoutMs: number, hook: string, decision: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const expire = (): void => reject(new StatemqError('SMQ_HOOK_TIMEOUT', `${hook} took over ${timeoutMs} ms`))
    // A timer takes no more than 2^31 - 1 ms and would fire at once: so long is for ever (threat 98).
    const timer = timeoutMs > 0x7fff_ffff ? undefined : clock.setTimeout(expire, timeoutMs)
    decision.then(
      (value) => {
        clock.clearTimeout(timer)
        resolve(value)
      },
      (error: unknown) => {
        clock.clearTimeout(timer)
        reject(error instanceof Error ? error : new Error(String(error)))
      },
    )
  })
}
