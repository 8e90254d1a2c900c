import { expect, test } from 'vitest'

import { allow, type Allow } from '../../../src/hooks.ts'
import { defaultLimits } from '../../../src/limits.ts'
import type { SessionPolicy } from '../../../src/session/core.ts'
import { applyModifiers } from '../../../src/session/modifiers.ts'
import { sessionPolicy } from '../../../src/session/policy.ts'
import type { Session } from '../../../src/session/session.ts'

function policyAfter(policy: SessionPolicy, given: Omit<Allow, 'type'>): SessionPolicy {
  const session = { policy, connackChanges: undefined } as unknown as Session
  applyModifiers(session, allow(given))
  return session.policy
}

const listener = sessionPolicy({}, {}, defaultLimits)

test('without modifiers, or with such as are told once, the policy is the listener’s own', () => {
  expect(policyAfter(listener, {})).toBe(listener)
  expect(policyAfter(listener, { limits: {}, connack: {} })).toBe(listener)
  expect(policyAfter(listener, { connack: { reasonString: 'hello', sessionExpiryIntervalSeconds: 5 } })).toBe(listener)
  // As code without types may write it.
  expect(policyAfter(listener, { limits: { maxQueuedMessages: undefined as unknown as number } })).toBe(listener)
})

test('sessions with the same modifiers share one policy, and those with others do not', () => {
  const five = policyAfter(listener, { limits: { maxQueuedMessages: 5 } })
  expect(policyAfter(listener, { limits: { maxQueuedMessages: 5 }, connack: { reasonString: 'hello' } })).toBe(five)
  expect(policyAfter(listener, { limits: { maxQueuedMessages: 6 } })).not.toBe(five)
  expect(policyAfter(listener, { limits: { maxQueuedMessages: Infinity } }).limits.maxQueuedMessages).toBe(Infinity)
  expect(five.limits).toEqual({ ...defaultLimits, maxQueuedMessages: 5 })
  expect(five.features).toEqual(listener.features)
})

test('modifiers are put on the listener’s policy, not on those of the connection before', () => {
  const five = policyAfter(listener, { limits: { maxQueuedMessages: 5 } })
  const other = policyAfter(five, { limits: { maxQueuedBytes: 7 } })
  expect(other.limits).toEqual({ ...defaultLimits, maxQueuedBytes: 7 })
  expect(policyAfter(five, {})).toBe(listener)
})

test('policies that nobody needs any more do not pile up', () => {
  const first = policyAfter(listener, { limits: { maxQueuedMessages: 1_000_001 } })
  for (let number = 0; number < 1_000; number += 1) policyAfter(listener, { limits: { maxQueuedMessages: number } })
  expect(policyAfter(listener, { limits: { maxQueuedMessages: 1_000_001 } })).not.toBe(first)
})
