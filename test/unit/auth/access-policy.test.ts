import { describe, expect, test } from 'vitest'

import { compileRoles } from '../../../src/auth/access-policy.ts'
import { StatemqError } from '../../../src/errors.ts'
import type { RoleDefinitions } from '../../../src/roles.ts'

const nobody = { clientId: 'c', principal: undefined, properties: {} }

describe('role definitions are checked', () => {
  const permission = (given: unknown) => ({ r: { permissions: [{ topic: 'ok', allow: 'publish' }, given] } })
  test.each<[unknown, RegExp]>([
    [undefined, /not an object/],
    [null, /not an object/],
    [[], /not an object/],
    ['r', /not an object/],
    [{ '': {} }, /role ""/],
    [{ r: null }, /role "r": is not an object/],
    [{ r: { permission: [] } }, /role "r": has no use for "permission"/],
    [{ r: { include: 'x' } }, /role "r": "include"/],
    [{ r: { include: [1] } }, /role "r": "include"/],
    [{ r: { include: ['x'] } }, /role "r", include: there is no role "x"/],
    [{ r: { include: ['toString'] } }, /there is no role "toString"/],
    [{ r: { include: ['r'] } }, /role "r", include: r → r/],
    [{ a: { include: ['b'] }, b: { include: ['c'] }, c: { include: ['b'] } }, /role "b", include: b → c → b/],
    [{ r: { permissions: {} } }, /role "r": "permissions"/],
    [permission('a/#'), /role "r", permissions\[1\]: is not an object/],
    [permission({ topic: 'a' }), /role "r", permissions\[1\]: needs either "allow" or "deny"/],
    [permission({ topic: 'a', allow: 'publish', deny: 'publish' }), /needs either/],
    [permission({ topic: 'a', allow: 'read' }), /"allow" takes/],
    [permission({ topic: 'a', deny: ['publish', 'all'] }), /"deny" takes/],
    [permission({ topic: 'a', deny: [] }), /"deny" is empty/],
    [permission({ allow: 'publish' }), /"topic" is not a string/],
    [permission({ topic: 'a/#/b', allow: 'publish' }), /permissions\[1\]: the topic "a\/#\/b" has a "#"/],
    [permission({ topic: '$share/g/a', allow: 'subscribe' }), /shared subscription/],
    [permission({ topic: '%q', allow: 'subscribe' }), /has "%q"/],
    [permission({ topic: 'a', allow: 'publish', qos: 1 }), /"qos"/],
    [permission({ topic: 'a', allow: 'publish', qos: [] }), /"qos"/],
    [permission({ topic: 'a', allow: 'publish', qos: [3] }), /"qos"/],
    [permission({ topic: 'a', allow: 'publish', retain: 'yes' }), /"retain" is neither/],
    [permission({ topic: 'a', allow: 'subscribe', retain: true }), /"retain" is about publishing/],
    [permission({ topic: 'a', allow: 'subscribe', shared: 1 }), /"shared" is neither/],
    [permission({ topic: 'a', allow: 'publish', shared: true }), /are about subscribing/],
    [permission({ topic: 'a', allow: 'publish', group: 'g' }), /are about subscribing/],
    [permission({ topic: 'a', allow: 'subscribe', group: 'a/b' }), /"group" is not the name/],
    [permission({ topic: 'a', allow: 'subscribe', group: '' }), /"group" is not the name/],
    [permission({ topic: 'a', allow: 'subscribe', group: 'g', shared: false }), /which "shared" excludes/],
    [permission({ topic: 'a', allow: 'publish', comment: 'x' }), /has no use for "comment"/],
  ])('%j', (definitions, why) => {
    let thrown: unknown
    try {
      compileRoles(definitions as RoleDefinitions, 1)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(StatemqError)
    expect((thrown as StatemqError).code).toBe('SMQ_ROLES_INVALID')
    expect((thrown as StatemqError).message).toMatch(why)
  })

  test('names that objects inherit are roles like others', () => {
    const definitions = JSON.parse(
      '{"__proto__":{"permissions":[{"topic":"a","allow":"publish"}]},"constructor":{"include":["__proto__"]}}',
    ) as RoleDefinitions
    const policy = compileRoles(definitions, 1)
    expect(policy.accessFor({ ...nobody, roles: ['constructor'] }).publish('a', 0, false)).toBe(true)
    expect(policy.accessFor({ ...nobody, roles: ['toString'] }).publish('a', 0, false)).toBe(false)
  })
})

describe('sets of roles', () => {
  const policy = compileRoles(
    {
      plain: { permissions: [{ topic: 'a', allow: 'publish' }] },
      both: { include: ['plain', 'own'] },
      own: { include: ['plain'], permissions: [{ topic: '%c', allow: 'publish' }] },
    },
    7,
  )

  test('are compiled once, in whatever order and how often they are named', () => {
    const one = policy.accessFor({ ...nobody, roles: ['plain', 'nobody-knows-it'] })
    expect(policy.accessFor({ ...nobody, clientId: 'd', roles: ['plain', 'plain'] })).toBe(one)
    expect(one.roles).toEqual(['plain'])
    expect(one.policyVersion).toBe(7)
  })

  test('that speak of the session are bound to each', () => {
    const c = policy.accessFor({ ...nobody, roles: ['both'] })
    const d = policy.accessFor({ ...nobody, clientId: 'd', roles: ['both'] })
    expect(c.roles).toEqual(['both', 'own', 'plain'])
    expect([c.publish('c', 0, false), c.publish('d', 0, false), c.publish('a', 0, false)]).toEqual([true, false, true])
    expect([d.publish('c', 0, false), d.publish('d', 0, false), d.publish('a', 0, false)]).toEqual([false, true, true])
  })

  test('are forgotten when there are too many', () => {
    const names = Array.from({ length: 1_200 }, (_, n) => `r${n}`)
    const many = compileRoles(
      Object.fromEntries(names.map((name) => [name, { permissions: [{ topic: name, allow: 'publish' }] }])),
      1,
    )
    const first = many.accessFor({ ...nobody, roles: ['r0'] })
    const second = many.accessFor({ ...nobody, roles: ['r1'] })
    for (const name of names) {
      expect(many.accessFor({ ...nobody, roles: [name] }).publish(name, 0, false)).toBe(true)
      expect(many.accessFor({ ...nobody, roles: ['r0'] })).toBe(first)
    }
    expect(many.compiledSets).toBe(1_000)
    expect(many.accessFor({ ...nobody, roles: ['r1'] })).not.toBe(second)
  })

  test('a long chain of roles is no trouble', () => {
    const chain = Object.fromEntries(
      Array.from({ length: 20_000 }, (_, n) => [
        `r${n}`,
        n === 19_999 ? { permissions: [{ topic: 'end', allow: 'publish' as const }] } : { include: [`r${n + 1}`] },
      ]),
    )
    expect(
      compileRoles(chain, 1)
        .accessFor({ ...nobody, roles: ['r0'] })
        .publish('end', 0, false),
    ).toBe(true)
  })
})
