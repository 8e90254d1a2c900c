import { z } from 'zod'

import type { Broker } from '../../api.ts'
import { plain } from '../plain.ts'
import { jsonRoute, type AnyRoute } from '../route.ts'
import { question } from '../schemas-asked.ts'
import { grant } from '../schemas-session.ts'
import { list, role, rule, sessionState } from '../schemas.ts'

const explanation = z
  .object({
    clientId: z.string(),
    action: z.enum(['connect', 'publish', 'subscribe', 'deliver']),
    verdict: z.enum(['allow', 'deny', 'filter']),
    reason: z.string(),
    state: sessionState.nullable(),
    grant: grant.nullable(),
    standing: z.enum(['valid', 'expired', 'revoked']).nullable(),
    rule: rule.nullable(),
    qos: z.literal([0, 1, 2]).nullable(),
    roles: list(z.string()),
    policyVersion: z.int(),
    refusal: z
      .object({
        atMs: z.number(),
        from: sessionState,
        event: z.string(),
        reasonCode: z.int(),
        reason: z.string(),
      })
      .nullable(),
  })
  .meta({ id: 'Explanation' })

/** Who may do what, and why. */
export const rightsRoutes: readonly AnyRoute[] = [
  jsonRoute({
    method: 'POST',
    path: '/api/v1/explain',
    id: 'explain',
    role: 'read',
    summary: 'What a client may do and why, or why it was refused last',
    body: question,
    answer: explanation,
    handle: ({ host, body }) =>
      plain(host.broker.explain(body as Parameters<Broker['explain']>[0])) as z.input<typeof explanation>,
  }),
  jsonRoute({
    method: 'GET',
    path: '/api/v1/roles',
    id: 'listRoles',
    role: 'read',
    summary: 'The roles that are defined; none: everything is allowed',
    answer: z.object({ roles: list(role), isDefined: z.boolean() }).meta({ id: 'Roles' }),
    handle: ({ host }) => {
      const roles = host.broker.inspection.roles()
      return { roles: roles ?? [], isDefined: roles !== undefined }
    },
  }),
]
