import { pino, type Logger } from 'pino'

import type { LogLevel } from './log-levels.ts'
import { rest } from './rest.ts'

/** How long an end waits for a reader of the log who is slow. */
const LAST_LINES_MS = 1_000

/** The log of a broker on standard output, and the only way to end its process. */
export interface CommandLog {
  readonly log: Logger
  /** Ends the process once the log is written. */
  exit(status: number): void
  /** Ends it now; what is not written yet is lost. */
  exitNow(status: number): never
}

/**
 * The lines are written beside everything else, so that a slow reader of the log holds nobody up. When a process exits,
 * pino writes what is left in a loop that tries until it succeeds: for a pipe that nobody reads any more that is for
 * ever. So the end waits here, where time goes on, and takes that loop away.
 */
export function openLog(level: LogLevel): CommandLog {
  const destination = pino.destination({ dest: 1 })
  const log = pino({ level }, destination)
  const exitNow = (status: number): never => {
    destination.flushSync = () => {}
    return process.exit(status)
  }
  const exit = (status: number): void => {
    const written = new Promise<void>((resolve) => {
      const end = (): void => resolve()
      destination.once('drain', end).once('error', end)
      setTimeout(end, LAST_LINES_MS)
      // Where the last line was written before, or its level is not logged, this is what there is to wait for.
      destination.write('')
    })
    void Promise.all([written, rest()]).then(() => exitNow(status))
  }
  return { log, exit, exitNow }
}
