import { readFileSync } from 'node:fs'

import { defaultLimits, type Limits } from '../limits.ts'

/** File descriptors that are not for connections: the store, the listeners, the log. */
const RESERVED_FILES = 64

/** How many connections the system gives file descriptors for; undefined where it does not say. */
function connectionsByFileLimit(): number | undefined {
  try {
    const line = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
    return line ? Math.max(1, Number(line[1]) - RESERVED_FILES) : undefined
  } catch {
    // Another system: accept pauses when the descriptors run out (threat 59).
    return undefined
  }
}

/** The defaults, and as many connections as the system gives files for. */
export function defaultLimitsHere(): Limits {
  return { ...defaultLimits, maxConnections: connectionsByFileLimit() ?? defaultLimits.maxConnections }
}
