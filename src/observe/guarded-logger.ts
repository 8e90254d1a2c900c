import { logDetails } from '../log-text.ts'
import type { Logger } from '../options.ts'

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/**
 * The embedder's logger, or a silent one. Its failures stay its own: a line that can't be written
 * must not end a session, let alone the process (threat 60). Texts of clients can't forge lines (threat 95).
 */
export function guardLogger(logger: Logger | undefined): Logger {
  if (logger === undefined) return silent
  const guarded =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (details: object, message: string): void => {
      try {
        logger[level](logDetails(details), message)
      } catch {
        // There is nowhere left to tell.
      }
    }
  return {
    debug: guarded('debug'),
    info: guarded('info'),
    warn: guarded('warn'),
    error: guarded('error'),
    isLevelEnabled: (level) => logger.isLevelEnabled?.(level) ?? false,
  }
}
