import { z } from 'zod'

import { StatemqError } from '../../errors.ts'
import { plain } from '../plain.ts'
import { jsonRoute, type AnyRoute } from '../route.ts'
import { booleanInQuery, clientId, filterText, page } from '../schemas-asked.ts'
import { sessionDetail, sessionPage } from '../schemas-session.ts'
import { list, transitionRecord } from '../schemas.ts'

const sorts = z.enum([
  'clientId',
  'principal',
  'state',
  'connectedAtMs',
  'queuedMessages',
  'inflightMessages',
  'subscriptions',
  'address',
])

/** Who is connected, and what is known of them. */
export const sessionRoutes: readonly AnyRoute[] = [
  jsonRoute({
    method: 'GET',
    path: '/api/v1/sessions',
    id: 'listSessions',
    role: 'read',
    summary: 'Sessions that a filter selects, a page of them',
    query: z.strictObject({
      filter: filterText.default(''),
      sort: sorts.default('clientId'),
      descending: booleanInQuery,
      ...page,
    }),
    answer: sessionPage,
    handle: ({ host, query }) => host.broker.inspection.sessions(query),
  }),
  jsonRoute({
    method: 'GET',
    path: '/api/v1/session',
    id: 'getSession',
    role: 'read',
    summary: 'One session',
    query: z.strictObject({ clientId }),
    answer: sessionDetail,
    handle: async ({ host, query }) => {
      const detail = await host.broker.inspection.session(query.clientId)
      if (!detail) throw new StatemqError('SMQ_SESSION_UNKNOWN', JSON.stringify(query.clientId.slice(0, 200)))
      return plain(detail) as z.input<typeof sessionDetail>
    },
  }),
  jsonRoute({
    method: 'GET',
    path: '/api/v1/session/history',
    id: 'getSessionHistory',
    role: 'read',
    summary: 'The last transitions of one client, refused connections too; empty where none are known',
    query: z.strictObject({ clientId }),
    answer: z.object({ records: list(transitionRecord) }).meta({ id: 'SessionHistory' }),
    handle: ({ host, query }) => ({ records: host.broker.inspection.history(query.clientId) }),
  }),
]
