import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { compileRoles } from '../../../src/auth/access-policy.ts'
import type { QoS } from '../../../src/messages.ts'
import type { Permission } from '../../../src/roles.ts'
import { includesAction, isAllowed, speaksOfTopic } from '../../support/naive-acl.ts'

// --- what it is tried with -----------------------------------------------------------------------

const level = fc.constantFrom('a', 'b', '+', '%c', '%u', '%p{k}', '$x', 'x%c', '')
const permissionTopic = fc.oneof(
  fc.constant('#'),
  fc
    .tuple(fc.array(level, { minLength: 1, maxLength: 3 }), fc.boolean())
    .map(([levels, rest]) => levels.join('/') + (rest ? '/#' : ''))
    .filter((topic) => topic !== ''),
)
const qosLevels = fc.option(fc.subarray([0, 1, 2] as QoS[], { minLength: 1 }), { nil: undefined })
const actions = fc.constantFrom('publish' as const, 'subscribe' as const, ['publish', 'subscribe'] as const)
const optional = fc.option(fc.boolean(), { nil: undefined })
const permission = fc
  .record({
    topic: permissionTopic,
    qos: qosLevels,
    retain: optional,
    shared: optional,
    group: fc.constantFrom(undefined, undefined, 'g', 'h'),
    actions,
    effect: fc.constantFrom('allow', 'allow', 'deny'),
  })
  .map(({ topic, qos, retain, shared, group, actions: about, effect }) => {
    const publishes = includesAction(about, 'publish')
    const subscribes = includesAction(about, 'subscribe')
    return {
      topic,
      ...(qos ? { qos } : {}),
      ...(publishes && retain !== undefined ? { retain } : {}),
      ...(subscribes && shared !== undefined && !(group && !shared) ? { shared } : {}),
      ...(subscribes && group !== undefined ? { group } : {}),
      [effect]: about,
    } as unknown as Permission
  })
const permissions = fc.array(permission, { maxLength: 5 })
const definitions = fc
  .record({ one: permissions, two: permissions, three: permissions, include: fc.boolean() })
  .map(({ one, two, three, include }) => ({
    one: { permissions: one },
    two: { permissions: two, ...(include ? { include: ['three'] } : {}) },
    three: { permissions: three },
  }))
const value = fc.constantFrom('a', 'b', 'c1', '', '+', '#', 'a/b', '$x')
const identity = fc.record({
  clientId: value,
  principal: fc.option(value, { nil: undefined }),
  roles: fc.subarray(['one', 'two', 'three', 'unknown']),
  properties: fc.option(value, { nil: undefined }).map((k) => (k === undefined ? {} : { k }) as Record<string, string>),
})
const topicLevels = fc.array(fc.constantFrom('a', 'b', 'c1', '$x', 'xa', ''), { minLength: 1, maxLength: 4 })
const topic = topicLevels.map((levels) => levels.join('/')).filter((text) => text !== '')
const qos = fc.constantFrom<QoS>(0, 1, 2)
const group = fc.constantFrom(undefined, 'g', 'h', 'other')

describe('threat 78: access agrees with a naive evaluator', () => {
  test('publish', () => {
    fc.assert(
      fc.property(
        definitions,
        identity,
        fc.array(fc.tuple(topic, qos, fc.boolean()), { maxLength: 12 }),
        (roles, who, asks) => {
          const access = compileRoles(roles, 1).accessFor(who)
          // Twice: what is remembered is the same as what was found.
          for (const [name, level, retain] of [...asks, ...asks]) {
            const expected = isAllowed(roles, who, { action: 'publish', topic: name, qos: level, retain })
            expect(access.publish(name, level, retain)).toBe(expected)
            const { allowed, rule } = access.explainPublish(name, level, retain)
            expect(allowed).toBe(expected)
            if (allowed) expect(rule?.effect).toBe('allow')
            else expect(rule?.effect ?? 'deny').toBe('deny')
          }
        },
      ),
      { numRuns: 800 },
    )
  })

  test('receive', () => {
    fc.assert(
      fc.property(
        definitions,
        identity,
        fc.array(fc.tuple(topic, qos, group), { maxLength: 12 }),
        (roles, who, asks) => {
          const access = compileRoles(roles, 1).accessFor(who)
          for (const [name, level, through] of [...asks, ...asks]) {
            const expected = ([2, 1, 0] as const).find(
              (qosLevel) =>
                qosLevel <= level &&
                isAllowed(roles, who, { action: 'subscribe', topic: name, qos: qosLevel, group: through }),
            )
            expect(access.receive(name, level, through)).toBe(expected)
            const decision = access.explainReceive(name, level, through)
            expect([decision.allowed, decision.qos]).toEqual([expected !== undefined, expected])
            if (decision.allowed) expect(decision.rule?.effect).toBe('allow')
          }
        },
      ),
      { numRuns: 800 },
    )
  })

  const universe = ['a', 'b', 'c1', '$x', 'xa', '', 'new'].flatMap((one, _i, all) => [
    one,
    ...all.flatMap((two) => [
      `${one}/${two}`,
      ...all.flatMap((three) => [`${one}/${two}/${three}`, `${one}/${two}/${three}/new`]),
    ]),
  ])
  const matches = (filter: string, name: string): boolean =>
    speaksOfTopic({ topic: filter, allow: 'subscribe' }, name, {
      clientId: '',
      principal: '',
      roles: [],
      properties: {},
    })
  const requested = permissionTopic.filter((text) => !text.includes('%'))

  test('subscribe: what is granted needs no check, what is refused would deliver nothing', () => {
    fc.assert(
      fc.property(definitions, identity, requested, qos, group, (roles, who, filter, level, through) => {
        const access = compileRoles(roles, 1).accessFor(who)
        const decision = access.subscribe(filter, level, through)
        const wanted = universe.filter((name) => name !== '' && matches(filter, name))
        const levels = ([0, 1, 2] as const).filter((one) => one <= level)
        const may = (name: string, one: QoS): boolean =>
          isAllowed(roles, who, { action: 'subscribe', topic: name, qos: one, group: through })
        if (decision.verdict === 'refused') {
          expect(wanted.filter((name) => levels.some((one) => may(name, one)))).toEqual([])
          return
        }
        expect(decision.qos).toBeLessThanOrEqual(level)
        // Nothing could come at a higher QoS than the one granted.
        expect(wanted.filter((name) => levels.some((one) => one > decision.qos && may(name, one)))).toEqual([])
        if (decision.verdict === 'filtered') return
        expect(decision.rule?.effect).toBe('allow')
        expect(wanted.filter((name) => levels.some((one) => one <= decision.qos && !may(name, one)))).toEqual([])
      }),
      { numRuns: 500 },
    )
  })
})

// --- by hand -------------------------------------------------------------------------------------

const who = { clientId: 'c1', principal: 'ann', roles: ['r'], properties: {} }
const accessOf = (...list: Permission[]) => compileRoles({ r: { permissions: list } }, 1).accessFor(who)

describe('subscribe', () => {
  test.each<[string, Permission[], string, QoS, string | undefined, string, QoS]>([
    ['nothing overlaps', [{ topic: 'a/#', allow: 'subscribe' }], 'b/#', 2, undefined, 'refused', 0],
    ['one covers', [{ topic: 'a/#', allow: 'subscribe' }], 'a/+/c', 2, undefined, 'granted', 2],
    ['part of it', [{ topic: 'a/#', allow: 'subscribe' }], '#', 2, undefined, 'filtered', 2],
    [
      'a hole',
      [
        { topic: 'a/#', allow: 'subscribe' },
        { topic: 'a/b', deny: 'subscribe' },
      ],
      'a/#',
      1,
      undefined,
      'filtered',
      1,
    ],
    [
      'the hole',
      [
        { topic: 'a/#', allow: 'subscribe' },
        { topic: 'a/b', deny: 'subscribe' },
      ],
      'a/b',
      1,
      undefined,
      'refused',
      0,
    ],
    [
      'beside the hole',
      [
        { topic: 'a/#', allow: 'subscribe' },
        { topic: 'a/b', deny: 'subscribe' },
      ],
      'a/c',
      1,
      undefined,
      'granted',
      1,
    ],
    ['lower QoS', [{ topic: 'a/#', allow: 'subscribe', qos: [0, 1] }], 'a/b', 2, undefined, 'granted', 1],
    [
      'QoS 2 denied',
      [
        { topic: '#', allow: 'subscribe' },
        { topic: 'a', deny: 'subscribe', qos: [2] },
      ],
      'a',
      2,
      undefined,
      'granted',
      1,
    ],
    [
      'QoS 0 denied',
      [
        { topic: '#', allow: 'subscribe' },
        { topic: 'a', deny: 'subscribe', qos: [0] },
      ],
      'a',
      2,
      undefined,
      'filtered',
      2,
    ],
    ['wildcards pass by $', [{ topic: '#', allow: 'subscribe' }], '$SYS/#', 2, undefined, 'refused', 0],
    ['another group', [{ topic: '#', allow: 'subscribe', group: 'g' }], 'a', 0, 'h', 'refused', 0],
    ['the group', [{ topic: '#', allow: 'subscribe', group: 'g' }], 'a', 0, 'g', 'granted', 0],
    ['not shared', [{ topic: '#', allow: 'subscribe', shared: false }], 'a', 0, 'g', 'refused', 0],
    ['publish says nothing', [{ topic: '#', allow: 'publish' }], 'a', 0, undefined, 'refused', 0],
  ])('%s', (_name, list, filter, asked, through, verdict, granted) => {
    const decision = accessOf(...list).subscribe(filter, asked, through)
    expect([decision.verdict, decision.qos]).toEqual([verdict, granted])
  })
})

describe('decisions name what decided', () => {
  const access = accessOf(
    { topic: 'a/#', allow: ['publish', 'subscribe'], qos: [0, 1] },
    { topic: 'a/%c', deny: 'publish' },
    { topic: 'a/+/secret', deny: ['publish', 'subscribe'] },
  )
  const rule = (index: number, effect: 'allow' | 'deny', topicOf: string) => ({
    role: 'r',
    index,
    effect,
    topic: topicOf,
  })

  test('publish', () => {
    expect(access.explainPublish('a/b', 1, false)).toEqual({
      allowed: true,
      qos: undefined,
      rule: rule(0, 'allow', 'a/#'),
    })
    expect(access.explainPublish('a/c1', 1, false)).toEqual({
      allowed: false,
      qos: undefined,
      rule: rule(1, 'deny', 'a/%c'),
    })
    expect(access.explainPublish('a/b', 2, false)).toEqual({ allowed: false, qos: undefined, rule: undefined })
  })

  test('receive', () => {
    expect(access.explainReceive('a/b', 2, undefined)).toEqual({ allowed: true, qos: 1, rule: rule(0, 'allow', 'a/#') })
    expect(access.explainReceive('a/b/secret', 2, 'g').rule).toEqual(rule(2, 'deny', 'a/+/secret'))
    expect(access.explainReceive('b', 0, undefined)).toEqual({ allowed: false, qos: undefined, rule: undefined })
  })

  test('subscribe', () => {
    expect(access.subscribe('a/x', 2, undefined).rule).toEqual(rule(0, 'allow', 'a/#'))
    expect(access.subscribe('a/#', 0, undefined).rule).toEqual(rule(2, 'deny', 'a/+/secret'))
    expect(access.subscribe('+/x', 0, undefined).rule).toEqual(rule(0, 'allow', 'a/#'))
    expect(access.subscribe('a/1/secret', 0, undefined).rule).toEqual(rule(2, 'deny', 'a/+/secret'))
    expect(access.subscribe('z', 0, undefined).rule).toBeUndefined()
  })
})

test('topics of any length are decided alike', () => {
  const access = accessOf({ topic: 'a/+/#', allow: 'publish' }, { topic: 'a/deny/#', deny: 'publish' })
  const long = 'x'.repeat(10_000)
  for (const _turn of [1, 2]) {
    expect(access.publish(`a/${long}`, 0, false)).toBe(true)
    expect(access.publish(`a/deny/${long}`, 0, false)).toBe(false)
    expect(access.publish(long, 0, false)).toBe(false)
  }
})
