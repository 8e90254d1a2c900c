import type { Clock } from '../options.ts'

/** Node works it out anew each time that it is asked for. */
const startedAtMs = performance.timeOrigin

/** Epoch at the start of the process plus steady time since: a stepped wall clock moves no deadline. */
export const systemClock: Clock = {
  nowMs: () => startedAtMs + performance.now(),
  // A longer delay would make Node's timer fire at once (threat 98).
  setTimeout: (callback, delayMs) => setTimeout(callback, Math.min(delayMs, 2_147_483_647)),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout | undefined),
}
