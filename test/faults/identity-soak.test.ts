import { queryObjects } from 'node:v8'
import { describe, expect, test } from 'vitest'

import { Exchange } from '../../src/session/authentication.ts'
import { SessionWatch } from '../../src/session/session-watch.ts'
import { Session } from '../../src/session/session.ts'
import { settle } from '../support/test-broker.ts'
import { Soak } from './identity-soak.ts'

/** `SOAK_SEED` and `SOAK_STEPS` run another walk, or a longer one. */
const seeds = process.env['SOAK_SEED'] === undefined ? [1, 2, 3] : [Number(process.env['SOAK_SEED'])]
const steps = Number(process.env['SOAK_STEPS'] ?? 5_000)
const stepsPerCheck = 25

/** What is still on the heap. */
function leftOver(): Record<string, number> {
  return Object.fromEntries(
    [Session, Exchange, SessionWatch].map((one) => [one.name, queryObjects(one, { format: 'count' })]),
  )
}

/** Everything that must be there at the end of a walk, or it was none. */
const mustHappen = [
  ...['session.online', 'session.offline', 'session.gone', 'session.expired', 'session.refused', 'session.taken-over'],
  ...['session.reauthenticated', 'session.reauthentication-failed', 'authority.expiring', 'authority.expired'],
  ...['authority.revoked', 'roles.changed', 'properties.changed', 'attributes.changed', 'policy.changed'],
  ...['will.published', 'will.withheld', 'message.published', 'message.dropped', 'hook.failed'],
]

describe('a soak of identities', () => {
  test.each(seeds)('seed %i: what is known of sessions fits together, and goes with them', async (seed) => {
    const soak = new Soak(seed)
    for (let step = 1; step <= steps; step += 1) {
      await soak.step()
      if (step % stepsPerCheck === 0) await soak.check()
    }
    await soak.check()
    await soak.end()
    expect(soak.failures).toEqual([])
    expect(mustHappen.filter((type) => !soak.happened.has(type))).toEqual([])
    expect([soak.broker.sessions.size, soak.broker.sessions.count('all')]).toEqual([0, 0])
    // The broker is still there: what it had of its sessions must not be.
    await settle()
    expect(leftOver()).toEqual({ Session: 0, Exchange: 0, SessionWatch: 0 })
    expect(soak.broker.state).toBe('running')
    await soak.broker.close({ drainTimeoutMs: 0 })
  })
})
