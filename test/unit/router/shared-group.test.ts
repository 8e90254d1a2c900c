import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import type { SharedSubscriptionStrategy } from '../../../src/options.ts'
import { SharedGroup, SharedGroups } from '../../../src/router/shared-group.ts'
import type { RandomSource } from '../../../src/router/shared-group.ts'
import type { IndexEntry } from '../../../src/router/subscription-index.ts'
import { Subscription, SubscriptionIndex } from '../../../src/router/subscription-index.ts'

interface Member {
  readonly name: string
  online: boolean
  load: number
}

const strategies: readonly SharedSubscriptionStrategy[] = ['round-robin', 'sticky', 'random', 'least-inflight']

function memberOf(name: string): Subscription<Member> {
  return new Subscription<Member>({ name, online: true, load: 0 }, 'f', 1, false, false, 0, 0)
}

function groupOf(names: string, random?: RandomSource): [SharedGroup<Member>, Record<string, Subscription<Member>>] {
  const group = new SharedGroup<Member>('g', 'f', random)
  const byName: Record<string, Subscription<Member>> = {}
  for (const name of names) {
    const member = memberOf(name)
    byName[name] = member
    group.add(member)
  }
  return [group, byName]
}

function chosen(group: SharedGroup<Member>, strategy: SharedSubscriptionStrategy, times: number): string {
  let names = ''
  for (let time = 0; time < times; time += 1) {
    const member = group.choose(
      strategy,
      (it) => it.load,
      (it) => it.online,
    )
    names += member?.subscriber.name ?? '-'
  }
  return names
}

/** A random source that goes through the given numbers, over and over. */
function sequence(...numbers: number[]): RandomSource {
  let at = 0
  return () => numbers[at++ % numbers.length] as number
}

describe('round robin', () => {
  test('takes turns', () => {
    const [group] = groupOf('abc')
    expect(chosen(group, 'round-robin', 7)).toBe('abcabca')
  })

  test('passes over members that are offline', () => {
    const [group, { b }] = groupOf('abc')
    b!.subscriber.online = false
    expect(chosen(group, 'round-robin', 4)).toBe('acac')
  })

  test('goes on when members come and leave', () => {
    const [group, { b }] = groupOf('abc')
    expect(chosen(group, 'round-robin', 2)).toBe('ab')
    group.remove(b!)
    expect(chosen(group, 'round-robin', 4).split('').sort().join('')).toBe('aacc')
    group.add(memberOf('d'))
    expect(chosen(group, 'round-robin', 6).split('').sort().join('')).toBe('aaccdd')
  })
})

describe('sticky', () => {
  test('one member takes all until it leaves', () => {
    const [group, { a }] = groupOf('abc')
    expect(chosen(group, 'sticky', 3)).toBe('aaa')
    group.remove(a!)
    const rest = chosen(group, 'sticky', 3)
    expect(['bbb', 'ccc']).toContain(rest)
    group.add(a!)
    expect(chosen(group, 'sticky', 3)).toBe(rest)
  })

  test('starts with the first who is available', () => {
    const [group, { a, b }] = groupOf('abc')
    a!.subscriber.online = false
    b!.subscriber.online = false
    expect(chosen(group, 'sticky', 2)).toBe('cc')
  })

  test('moves on when its member is offline and another is not, and stays there', () => {
    const [group, { a }] = groupOf('ab')
    expect(chosen(group, 'sticky', 1)).toBe('a')
    a!.subscriber.online = false
    expect(chosen(group, 'sticky', 2)).toBe('bb')
    a!.subscriber.online = true
    expect(chosen(group, 'sticky', 2)).toBe('bb')
  })

  test('keeps its member while everybody is offline', () => {
    const [group, { a, b }] = groupOf('ab')
    a!.subscriber.online = false
    expect(chosen(group, 'sticky', 1)).toBe('b')
    b!.subscriber.online = false
    expect(chosen(group, 'sticky', 2)).toBe('bb')
  })
})

describe('random', () => {
  test('takes the member that the random source names', () => {
    const [group] = groupOf('abcd', sequence(0, 0.25, 0.5, 0.99, 0.74))
    expect(chosen(group, 'random', 5)).toBe('abcdc')
  })

  test('tries again for members that are offline, and asks among the others in the end', () => {
    const [group, { a, b }] = groupOf('abcd', sequence(0, 0.25, 0, 0.25, 0.5))
    a!.subscriber.online = false
    b!.subscriber.online = false
    expect(chosen(group, 'random', 1)).toBe('d')
  })
})

describe('least inflight', () => {
  test('takes the member with the smallest load, and takes turns among equals', () => {
    const [group, { b }] = groupOf('abc')
    b!.subscriber.load = 5
    expect(chosen(group, 'least-inflight', 4)).toBe('acac')
    b!.subscriber.load = -1
    expect(chosen(group, 'least-inflight', 2)).toBe('bb')
  })

  test('prefers a busy member that is available to an idle one that is not', () => {
    const [group, { a, b, c }] = groupOf('abc')
    a!.subscriber.online = false
    b!.subscriber.load = 9
    c!.subscriber.load = 8
    expect(chosen(group, 'least-inflight', 2)).toBe('cc')
  })

  test('takes the least loaded of all when everybody is offline', () => {
    const [group, members] = groupOf('abc')
    for (const [name, member] of Object.entries(members)) {
      member.subscriber.online = false
      member.subscriber.load = name === 'b' ? 1 : 2
    }
    expect(chosen(group, 'least-inflight', 2)).toBe('bb')
  })
})

describe('every strategy', () => {
  for (const strategy of strategies) {
    test(`${strategy}: an empty group has nobody`, () => {
      expect(chosen(new SharedGroup<Member>('g', 'f'), strategy, 1)).toBe('-')
    })

    test(`${strategy}: chooses a member, and an offline one only when all are`, () => {
      const operation = fc.record({ join: fc.boolean(), at: fc.nat(20), online: fc.boolean(), load: fc.nat(3) })
      fc.assert(
        fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
          const group = new SharedGroup<Member>('g', 'f')
          const members = new Set<Subscription<Member>>()
          for (const { join, at, online, load } of operations) {
            const some = [...members][at % Math.max(members.size, 1)]
            if (join || some === undefined) {
              const member = memberOf('m')
              Object.assign(member.subscriber, { online, load })
              members.add(member)
              group.add(member)
            } else if (at % 2 === 0) some.subscriber.online = online
            else {
              members.delete(some)
              group.remove(some)
            }
            const choice = group.choose(
              strategy,
              (it) => it.load,
              (it) => it.online,
            )
            expect(new Set(group.members)).toEqual(members)
            const present = [...members].filter((it) => it.subscriber.online)
            const candidates = present.length > 0 ? present : members.size > 0 ? [...members] : [undefined]
            expect(candidates).toContain(choice)
          }
        }),
      )
    })
  }
})

describe('groups', () => {
  function found(index: SubscriptionIndex<Member>, topic: string): IndexEntry<Member>[] {
    const into: IndexEntry<Member>[] = []
    index.match(topic, into)
    return into
  }

  test('a group is in the index from its first member to its last', () => {
    const index = new SubscriptionIndex<Member>()
    const groups = new SharedGroups<Member>(index)
    const [a, b] = [memberOf('a'), memberOf('b')]
    const group = groups.add('g', a)
    expect(groups.add('g', b)).toBe(group)
    expect({ found: found(index, 'f'), size: groups.size, members: group.size }).toEqual({
      found: [group],
      size: 1,
      members: 2,
    })
    expect([a.group, b.group, groups.get('g', 'f')]).toEqual([group, group, group])
    groups.remove(a)
    expect({ found: found(index, 'f'), gone: a.group }).toEqual({ found: [group], gone: undefined })
    groups.remove(a)
    groups.remove(b)
    expect({ found: found(index, 'f'), size: groups.size, index: index.size }).toEqual({ found: [], size: 0, index: 0 })
    expect(groups.get('g', 'f')).toBeUndefined()
  })

  test('groups of one name and different filters, or one filter and different names, are apart', () => {
    const index = new SubscriptionIndex<Member>()
    const groups = new SharedGroups<Member>(index)
    const first = groups.add('g', memberOf('a'))
    const second = groups.add('h', memberOf('b'))
    const third = groups.add('g', new Subscription<Member>(memberOf('c').subscriber, '+', 0, false, false, 0, 0))
    expect(new Set(found(index, 'f'))).toEqual(new Set([first, second, third]))
    expect(found(index, 'x')).toEqual([third])
  })
})
