import { Observable } from 'rxjs'

import type { TransitionRecord } from '../inspection.ts'
import type { SessionCore } from './core.ts'

/** Steps that wait for one observer; beyond, new ones are given up, and the log says so. */
const MAX_QUEUED = 100_000

/**
 * The steps of every session's chart while somebody is subscribed: told behind the turn in which they were
 * taken, so that no observer can stall a session or change what it is about to do.
 */
export function transitionsOf({
  charts,
  logger,
}: Pick<SessionCore, 'charts' | 'logger'>): Observable<TransitionRecord> {
  return new Observable((observer) => {
    let queue: TransitionRecord[] = []
    let isLosing = false
    const flush = (): void => {
      const told = queue
      queue = []
      isLosing = false
      for (const record of told) observer.next(record)
    }
    return charts.observe(({ record }) => {
      if (queue.length >= MAX_QUEUED) {
        if (!isLosing) logger.warn({}, 'an observer of the transitions does not keep up; some are lost')
        isLosing = true
        return
      }
      if (queue.push(record) === 1) setImmediate(flush)
    })
  })
}
