import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'

import type { StatemqError } from '../../../src/errors.ts'
import type { Grant } from '../../../src/hooks.ts'
import { defaultLimits } from '../../../src/limits.ts'
import type { Clock } from '../../../src/options.ts'
import { Registry } from '../../../src/session/registry.ts'
import { SessionSelection } from '../../../src/session/session-selection.ts'
import type { SessionView } from '../../../src/session/session-view.ts'
import { SessionWatch } from '../../../src/session/session-watch.ts'
import type { Session } from '../../../src/session/session.ts'

test('a watch that falls too far behind ends with an error and keeps nothing', async () => {
  const registry = new Registry()
  const attributes = { sessionAttributes: {}, connectionAttributes: {}, connection: {} }
  const session = { clientId: 'a', state: 'online', context: attributes } as unknown as Session
  registry.sessions.set('a', session)
  let told = 0
  let failure: StatemqError | undefined = undefined
  const observer = {
    next: () => told++,
    error: (error: unknown) => (failure = error as StatemqError),
    complete: () => {},
  }
  const selection = new SessionSelection('all', registry, defaultLimits)
  const clock = { nowMs: () => 0 } as Clock
  registry.watches.add(new SessionWatch(selection, () => ({}) as SessionView, clock, observer, 1_000))
  const grants = ['r1', 'r2'].map((role) => ({ roles: [role], properties: {} }) as unknown as Grant)
  const change = (i: number): void => {
    Object.assign(session, { context: { ...attributes, grant: grants[i % 2] } })
    registry.watches.changed(session)
  }
  // The session that it began with comes on top.
  for (let i = 0; i < 1_000; i++) change(i)
  while (told < 1_001) await turn()
  expect(failure).toBe(undefined)
  for (let i = 0; i < 2_001; i++) change(i)
  for (let turns = 0; turns < 3; turns++) await turn()
  expect((failure as StatemqError | undefined)?.code).toBe('SMQ_WATCH_OVERFLOW')
  expect(told).toBe(1_001)
})
