import { z } from 'zod'

import { StatemqError } from '../../errors.ts'
import { fixedPropertyNames } from '../../properties.ts'
import type { InspectHost } from '../host.ts'
import { jsonRoute, type AnyRoute } from '../route.ts'
import { filterText } from '../schemas-asked.ts'
import { list } from '../schemas.ts'

const names = list(z.string())

/** Names that clients or servers made up are taken from the first so many sessions, so that it takes no time. */
const MAX_SESSIONS_READ = 500
const MAX_NAMES = 200

function wordsOf({ broker }: InspectHost) {
  const properties = new Set<string>()
  const attributes = new Set<string>()
  let read = 0
  for (const session of broker.sessions.values()) {
    if (++read > MAX_SESSIONS_READ || properties.size + attributes.size > MAX_NAMES) break
    for (const name of Object.keys(session.properties)) properties.add(name)
    for (const scope of ['session', 'connection'] as const)
      for (const name of Object.keys(session.attributes[scope])) attributes.add(`@${scope}.${name}`)
  }
  return {
    fields: fixedPropertyNames,
    functions: ['all', 'not', 'and', 'or', 'has', 'hasRoles', 'in', 'like'],
    attributes: [...attributes].toSorted(),
    properties: [...properties].toSorted(),
    roles: (broker.inspection.roles() ?? []).map(({ name }) => name),
  }
}

/** Help for whoever writes a filter. */
export const filterRoutes: readonly AnyRoute[] = [
  jsonRoute({
    method: 'POST',
    path: '/api/v1/filter/check',
    id: 'checkFilter',
    role: 'read',
    summary: 'Whether a filter can be read, and where it cannot',
    body: z.strictObject({ filter: filterText }).meta({ id: 'FilterText' }),
    answer: z
      .object({ valid: z.boolean(), message: z.string().nullable(), offset: z.int().nullable() })
      .meta({ id: 'FilterVerdict' }),
    handle: ({ host, body }) => {
      if (body.filter === '') return { valid: true, message: null, offset: null }
      try {
        // Reads it, and looks at no session before somebody subscribes.
        host.broker.sessions.watch(body.filter)
        return { valid: true, message: null, offset: null }
      } catch (error) {
        if (!(error instanceof StatemqError) || error.code !== 'SMQ_SESSION_FILTER_INVALID') throw error
        return { valid: false, message: error.message, offset: error.offset ?? null }
      }
    },
  }),
  jsonRoute({
    method: 'GET',
    path: '/api/v1/filter/words',
    id: 'getFilterWords',
    role: 'read',
    summary: 'Words that a filter may be made of',
    answer: z
      .object({ fields: names, functions: names, attributes: names, properties: names, roles: names })
      .meta({ id: 'FilterWords' }),
    handle: ({ host }) => wordsOf(host),
  }),
]
