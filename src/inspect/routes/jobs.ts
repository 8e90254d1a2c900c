import { z } from 'zod'

import type { BrokerInspection } from '../../inspection.ts'
import { ApiError } from '../problem.ts'
import { jsonRoute, type AnyRoute, type Ask } from '../route.ts'
import { page, wellFormed } from '../schemas-asked.ts'
import { empty, jobKind, jobPage } from '../schemas.ts'

const oneJob = z.strictObject({ id: wellFormed.min(1).max(65_535) }).meta({ id: 'OneJob' })

async function decide(
  { host, body, audit, identity }: Ask<undefined, z.output<typeof oneJob>>,
  what: 'retryJob' | 'dropJob',
): Promise<Record<string, never>> {
  const inspection: BrokerInspection = host.broker.inspection
  const isThere = await (what === 'retryJob'
    ? inspection.retryJob(body.id, identity?.name)
    : inspection.dropJob(body.id))
  audit.done(what === 'retryJob' ? 'job.retry' : 'job.drop', { job: body.id }, isThere ? 'done' : 'not found')
  if (!isThere) throw new ApiError(404, 'it is not there any more')
  return {}
}

/** What waits to be done. */
export const jobRoutes: readonly AnyRoute[] = [
  jsonRoute({
    method: 'GET',
    path: '/api/v1/jobs',
    id: 'listJobs',
    role: 'read',
    summary: 'Offline queues, wills and expiries, and what was given up',
    query: z.strictObject({ kind: z.enum([...jobKind.options, 'dead']), ...page }),
    answer: jobPage,
    handle: ({ host, query }) => host.broker.inspection.jobs(query),
  }),
  jsonRoute({
    method: 'POST',
    path: '/api/v1/jobs/retry',
    id: 'retryJob',
    role: 'operate',
    summary: 'Does a job now, or tries one again that was given up',
    body: oneJob,
    answer: empty,
    handle: (ask) => decide(ask, 'retryJob'),
  }),
  jsonRoute({
    method: 'POST',
    path: '/api/v1/jobs/drop',
    id: 'dropJob',
    role: 'operate',
    summary: 'Gives a job up; an offline queue is emptied',
    body: oneJob,
    answer: empty,
    handle: (ask) => decide(ask, 'dropJob'),
  }),
]
