import { z } from 'zod'

import type { Identity } from '../credentials.ts'
import { addressOf, jsonRoute, type AnyRoute, type Ask } from '../route.ts'
import { empty } from '../schemas.ts'
import { TICKET_SECONDS } from '../tickets.ts'

const secret = z.string().min(1).max(1_024)
const asked = z
  .union([z.strictObject({ token: secret }), z.strictObject({ user: secret, password: secret })])
  .meta({ id: 'LoginRequest' })

const who = z
  .object({
    name: z.string(),
    role: z.enum(['metrics', 'read', 'operate']),
    csrfToken: z
      .string()
      .nullable()
      .meta({ description: 'For the header x-csrf-token of whatever is no GET. Null: who asks has no cookie' }),
  })
  .meta({ id: 'Login' })

async function logIn({ gate, body, request, reply, audit }: Ask<undefined, z.output<typeof asked>>) {
  const address = addressOf(request)
  let identity: Identity
  try {
    identity =
      'token' in body ? gate.byToken(body.token, address) : await gate.byPassword(body.user, body.password, address)
  } catch (error) {
    audit.done('login', 'user' in body ? { user: body.user } : {}, 'refused')
    throw error
  }
  const { cookie, login } = gate.start(request, identity)
  audit.done('login', { user: identity.name, as: identity.role }, 'done')
  void reply.header('set-cookie', cookie)
  return { name: identity.name, role: identity.role, csrfToken: login.csrfToken }
}

/** The page logs in once and has a cookie that scripts cannot read: a token in its memory could be stolen. */
export const loginRoutes: readonly AnyRoute[] = [
  jsonRoute({
    method: 'POST',
    path: '/api/v1/login',
    id: 'logIn',
    role: 'none',
    summary: 'Logs in with a token, or a user and a password: the answer sets a cookie',
    body: asked,
    answer: who,
    handle: logIn,
  }),
  jsonRoute({
    method: 'GET',
    path: '/api/v1/login',
    id: 'whoAmI',
    role: 'metrics',
    summary: 'Who one is',
    answer: who,
    handle: ({ gate, request, identity }) => ({
      name: identity!.name,
      role: identity!.role,
      csrfToken: request.headers.authorization === undefined ? (gate.loginOf(request)?.login.csrfToken ?? null) : null,
    }),
  }),
  jsonRoute({
    method: 'POST',
    path: '/api/v1/logout',
    id: 'logOut',
    role: 'none',
    summary: 'Makes the cookie void',
    answer: empty,
    handle: ({ gate, request, reply }) => {
      void reply.header('set-cookie', gate.end(request))
      return {}
    },
  }),
  jsonRoute({
    method: 'POST',
    path: '/api/v1/tickets',
    id: 'issueTicket',
    role: 'read',
    summary: 'A ticket for the query of /inspect/stately: for one connection, soon',
    answer: z.object({ ticket: z.string(), seconds: z.int() }).meta({ id: 'Ticket' }),
    handle: ({ gate, identity }) => ({ ticket: gate.issueTicket(identity!), seconds: TICKET_SECONDS }),
  }),
]
