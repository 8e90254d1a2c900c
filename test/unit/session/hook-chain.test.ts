import { expect, test } from 'vitest'

import { next, type Hooks } from '../../../src/hooks.ts'
import { defaultLimits } from '../../../src/limits.ts'
import { admitAtOnce } from '../../../src/session/admission.ts'
import { decisionsOf, pluginsOf } from '../../../src/session/hook-chain.ts'
import { observersOf } from '../../../src/session/observer-calls.ts'
import { sessionPolicy } from '../../../src/session/policy.ts'
import { Registry } from '../../../src/session/registry.ts'
import type { Session } from '../../../src/session/session.ts'

test('a hook that nobody has is not there, so that nobody is asked', () => {
  expect(decisionsOf([], [])).toEqual({})
  expect(decisionsOf([{ name: 'named', onOnline: () => {} }], [{}])).toEqual({})
  expect(observersOf([], [{ onPublish: () => next() }])).toBeUndefined()
  expect(Object.keys(decisionsOf([{ onPublish: () => next() }], [{ onRegister: () => next() }]))).toEqual([
    'onRegister',
    'onPublish',
  ])
})

test('an answer that is there at once is given at once, however many are asked', () => {
  const verdict = next()
  const three: Hooks[] = [{ onRegister: () => next() }, { onRegister: () => next() }, { onRegister: () => verdict }]
  expect(decisionsOf(three, []).onRegister?.({} as never, {} as never)).toBe(verdict)
})

test('one plugin or a list of them', () => {
  const plugin: Hooks = { onOnline: () => {} }
  expect(pluginsOf(undefined)).toEqual([])
  expect(pluginsOf(plugin)).toEqual([plugin])
  expect(pluginsOf([plugin, plugin])).toEqual([plugin, plugin])
})

/** The expiry at which a client is let in without a wait; undefined: it has to wait. */
function atOnce(options: Parameters<typeof sessionPolicy>[0], changes: object = {}): number | undefined {
  const session = {
    core: { registry: new Registry(), limits: defaultLimits },
    policy: sessionPolicy(options, {}, { ...defaultLimits, ...options.limits }),
    request: { sessionExpiryIntervalSeconds: 5, protocolVersion: 5, cleanStart: true },
    clientId: 'c',
    pendingWill: undefined,
    ...changes,
  }
  return admitAtOnce(session as unknown as Session)
}

test('who has nothing to wait for is let in at once, observed or not', () => {
  expect(atOnce({})).toBe(5)
  expect(atOnce({ hooks: { onOnline: () => {}, onPublish: () => next(), onTakeover: () => next() } })).toBe(5)
})

test('a hook, a rule for identifiers or a quota makes a client wait', () => {
  expect(atOnce({ hooks: { onRegister: () => next() } })).toBeUndefined()
  expect(atOnce({ clientIds: { prefix: 'c' } })).toBeUndefined()
  expect(atOnce({ limits: { maxSessionsPerPrincipal: 1 } })).toBeUndefined()
  expect(atOnce({ hooks: { onPublish: () => next() } }, { pendingWill: { qos: 0, topic: 'w' } })).toBeUndefined()
})
