import { expect, test } from 'vitest'

import type { Grant } from '../../../src/hooks.ts'
import { defaultLimits } from '../../../src/limits.ts'
import { Registry } from '../../../src/session/registry.ts'
import { SessionIndex } from '../../../src/session/session-index.ts'
import { SessionSelection } from '../../../src/session/session-selection.ts'
import type { Session } from '../../../src/session/session.ts'

function grantOf(principal: string | undefined, ...roles: string[]): Grant {
  return { principal, roles, properties: {}, propertySources: {} } as unknown as Grant
}

/** As much of a session as an index and a filter look at. */
function sessionOf(clientId: string, grant: Grant | undefined): Session {
  return { clientId, grant, state: 'online', context: { grant } } as unknown as Session
}

test('a session stands where its grant says, and nowhere else any more', () => {
  const index = new SessionIndex()
  const [a, b] = [sessionOf('a', undefined), sessionOf('b', undefined)]
  const sizes = (): number[] => [
    index.sizeOf('role', 'r1'),
    index.sizeOf('role', 'r2'),
    index.sizeOf('principal', 'ann'),
    index.sizeOf('principal', 'ben'),
  ]
  index.file(a, grantOf('ann', 'r1', 'r2'))
  index.file(b, grantOf('ann', 'r1'))
  expect(sizes()).toEqual([2, 1, 2, 0])
  expect([...index.sessionsOf('role', 'r1')]).toEqual([a, b])
  index.file(a, grantOf('ben', 'r2'))
  expect(sizes()).toEqual([1, 1, 1, 1])
  index.file(a, grantOf('ben', 'r2', 'r2'))
  index.file(a, grantOf(undefined, 'r1'))
  expect(sizes()).toEqual([2, 0, 1, 0])
  index.file(a, grantOf(undefined))
  index.file(b, undefined)
  index.file(b, undefined)
  expect(sizes()).toEqual([0, 0, 0, 0])
})

test.each([
  [`hasRoles ['all' 'few']`, 2],
  [`hasRoles ['few' 'all']`, 2],
  [`hasRoles ['all'] and $Principal is 'p3' and has x`, 1],
  [`$ClientId in ['c1' 'c2'] or $Principal is 'p3'`, 3],
  [`hasRoles ['none'] and has x`, 0],
  [`hasRoles ['all']`, 100],
  [`hasRoles ['few'] or has x`, 100],
  [`$ClientId in ['c1' 'c2'] and (hasRoles ['all'] or $ClientId is 'c5')`, 2],
])('%s looks at %i sessions of a hundred', (filter, count) => {
  const registry = new Registry()
  for (let i = 0; i < 100; i++) {
    const session = sessionOf(`c${i}`, grantOf(`p${i}`, 'all', ...(i < 2 ? ['few'] : [])))
    registry.sessions.set(session.clientId, session)
    registry.changed(session)
  }
  expect([...new SessionSelection(filter, registry, defaultLimits).candidates()]).toHaveLength(count)
})

test('threat 87: a plan is made in one walk, however deep the filter', () => {
  const registry = new Registry()
  const deep = `${`(hasRoles ['a'] and hasRoles ['b'] or `.repeat(200)}hasRoles ['c']${')'.repeat(200)}`
  const limits = { maxFilterLength: Infinity, maxFilterDepth: 1_000, maxFilterSteps: Infinity }
  expect([...new SessionSelection(deep, registry, limits)]).toEqual([])
})
