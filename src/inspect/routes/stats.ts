import { z } from 'zod'

import { jsonRoute, type AnyRoute } from '../route.ts'
import { numberInQuery } from '../schemas-asked.ts'
import { brokerStats, flow, list, slowSubscriber, states, statsSample } from '../schemas.ts'

/** How the broker fares, as a whole. */
export const statsRoutes: readonly AnyRoute[] = [
  jsonRoute({
    method: 'GET',
    path: '/api/v1/stats',
    id: 'getStats',
    role: 'read',
    summary: 'What has been counted since the start, and what is so now',
    answer: brokerStats,
    handle: ({ host }) => host.broker.inspection.stats(),
  }),
  jsonRoute({
    method: 'GET',
    path: '/api/v1/stats/history',
    id: 'getStatsHistory',
    role: 'read',
    summary: 'The last hour, oldest first',
    answer: z.object({ samples: list(statsSample) }).meta({ id: 'StatsHistory' }),
    handle: ({ host }) => ({ samples: host.broker.inspection.statsHistory() }),
  }),
  jsonRoute({
    method: 'GET',
    path: '/api/v1/census',
    id: 'getCensus',
    role: 'read',
    summary: 'How many sessions are in each state',
    answer: z.object({ states }).meta({ id: 'Census' }),
    handle: ({ host }) => ({ states: host.broker.inspection.census() }),
  }),
  jsonRoute({
    method: 'GET',
    path: '/api/v1/flows',
    id: 'getFlows',
    role: 'read',
    summary: 'Transitions taken since the start',
    answer: z.object({ flows: list(flow) }).meta({ id: 'Flows' }),
    handle: ({ host }) => ({ flows: host.broker.inspection.flows() }),
  }),
  jsonRoute({
    method: 'GET',
    path: '/api/v1/slow-subscribers',
    id: 'getSlowSubscribers',
    role: 'read',
    summary: 'Sessions that take longest to take what waits for them',
    query: z.strictObject({ max: numberInQuery(1, 1_000, 100) }),
    answer: z.object({ subscribers: list(slowSubscriber) }).meta({ id: 'SlowSubscribers' }),
    handle: ({ host, query }) => ({ subscribers: host.broker.inspection.slowSubscribers(query.max) }),
  }),
]
