import { expect, test } from 'vitest'

import type { Takeover } from '../../../machines/session.machine.ts'
import type { SessionCore } from '../../../src/session/core.ts'
import { sessionGuards } from '../../../src/session/guards.ts'
import type { Session } from '../../../src/session/session.ts'

/** Whether a newcomer must be decided on again, when this session lives under its client identifier by now. */
function changed(present: object | undefined, incumbent: string | undefined, previousState?: 'online' | 'offline') {
  const takeover: Takeover | undefined = previousState && {
    previousPrincipal: 'anna',
    nextPrincipal: 'otto',
    previousState,
    policy: 'anyone',
    isAllowedByHook: false,
  }
  const sessions = new Map(present ? [['c', present]] : [])
  const core = { registry: { sessions } } as unknown as SessionCore
  const newcomer = { clientId: 'c', decidedAfter: 3 } as unknown as Session
  const { incumbentChanged } = sessionGuards(core, () => newcomer)
  return incumbentChanged({ context: {} as never }, { incumbent, takeover })
}

test('what was decided counts only for the session that it was decided about, in the state that it had', () => {
  const present = { id: 's1', state: 'online', revocation: 0, grant: { principal: 'anna' } }
  expect(changed(present, 's1', 'online')).toBe(false)
  expect(changed(present, 's1', 'offline')).toBe(true)
  expect(changed({ ...present, state: 'offline' }, 's1', 'online')).toBe(true)
  expect(changed(present, 's2', 'online')).toBe(true)
  expect(changed(present, undefined)).toBe(true)
  expect(changed(undefined, 's1', 'online')).toBe(true)
  expect(changed(undefined, undefined)).toBe(false)
  // An `admit` of an embedder's own need not say what state it knew of.
  expect(changed(present, 's1')).toBe(false)
  // Somebody else has taken it over meanwhile.
  expect(changed({ ...present, grant: { principal: 'otto' } }, 's1', 'online')).toBe(true)
  // Its grant was taken away meanwhile.
  expect(changed({ ...present, revocation: 4 }, 's1', 'online')).toBe(true)
})
