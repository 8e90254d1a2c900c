import type { Logger } from '../options.ts'

/**
 * Writes a line to the logger that an authenticator was made with. Its failures stay its own: a line
 * that can't be written must not decide on a client, let alone end the process (threat 60).
 */
export function tell<Level extends 'debug' | 'info' | 'warn'>(
  logger: Pick<Logger, Level> | undefined,
  level: Level,
  details: object,
  message: string,
): void {
  try {
    logger?.[level](details, message)
  } catch {
    // There is nowhere left to tell.
  }
}
