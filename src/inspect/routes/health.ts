import { z } from 'zod'

import type { InspectHost } from '../host.ts'
import { jsonRoute, textRoute, type AnyRoute } from '../route.ts'

function readiness({ isDraining, isReady, storeFault }: InspectHost) {
  if (isDraining()) return 'draining'
  if (!isReady()) return 'starting'
  return storeFault() === null ? 'ready' : 'store-fault'
}

/** For those who start and stop processes, and for Prometheus. The first two tell strangers nothing but one word. */
export const healthRoutes: readonly AnyRoute[] = [
  jsonRoute({
    method: 'GET',
    path: '/healthz',
    id: 'getHealth',
    role: 'none',
    summary: 'The process answers',
    answer: z.object({ status: z.literal('ok') }),
    handle: () => ({ status: 'ok' }),
  }),
  jsonRoute({
    method: 'GET',
    path: '/readyz',
    id: 'getReadiness',
    role: 'none',
    summary: 'Clients may come: the store is open and works, and the broker does not drain',
    statuses: [503],
    answer: z.object({ status: z.enum(['ready', 'starting', 'draining', 'store-fault']) }).meta({ id: 'Readiness' }),
    handle: ({ host, reply }) => {
      const status = readiness(host)
      if (status !== 'ready') void reply.code(503)
      return { status }
    },
  }),
  textRoute({
    method: 'GET',
    path: '/metrics',
    id: 'getMetrics',
    role: 'metrics',
    summary: 'Metrics for Prometheus',
    types: ['text/plain'],
    handle: async ({ host }) => {
      const { contentType: type, text } = await host.broker.metrics()
      return { type, text }
    },
  }),
]
