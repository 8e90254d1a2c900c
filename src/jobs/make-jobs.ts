import type { Clock, Logger } from '../options.ts'
import type { JobLedger, Jobs } from '../scheduled.ts'
import { BullJobs } from './bullmq.ts'
import { EmbeddedJobs, type Timers } from './embedded.ts'
import type { JobLimits, JobReports } from './jobs.ts'

/** What makes the jobs of a broker, once it has timers. `clock`: one that is not the system's. */
export function jobsFor(
  store: { readonly jobs?: JobLedger } | undefined,
  clock: Clock | undefined,
  logger: Logger,
): (timers: Timers, limits: JobLimits, nowMs: () => number) => Jobs {
  const reports: JobReports = {
    onDead: (job, reason) => logger.error({ job, reason }, 'a job was given up: it is done when somebody retries it'),
    onAway: (error) => logger.warn({ err: error }, 'jobs wait: the connection to their server has broken'),
    onError: (error) => logger.error({ err: error }, 'doing jobs failed'),
  }
  // BullMQ goes by the system's time: where a broker has a time of its own, its jobs go by that.
  const ledger = clock === undefined ? store?.jobs : undefined
  return (timers, limits, nowMs) =>
    ledger === undefined
      ? new EmbeddedJobs({ ...reports, timers, limits, nowMs })
      : new BullJobs({ ...reports, ledger, timers, limits, nowMs })
}
