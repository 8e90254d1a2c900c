import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { bindLevel, parseTopicTemplate, TopicFault } from '../../../src/auth/template.ts'

const identity = {
  clientId: 'c1',
  principal: 'ann',
  roles: [],
  properties: { room: 'r7', 'a/b': 'deep', $Country: 'DE' },
}

/** The filter that a topic becomes for an identity; `?` for a level that cannot be bound. */
function bound(topic: string, who: Parameters<typeof bindLevel>[1] = identity): string {
  const { levels, rest } = parseTopicTemplate(topic)
  const texts = levels.map((level) => (typeof level === 'string' ? level : (bindLevel(level, who) ?? '?')))
  return [...texts, ...(rest ? ['#'] : [])].join('/')
}

describe('topics of permissions', () => {
  test.each([
    ['a/b/c', 'a/b/c'],
    ['/', '/'],
    ['#', '+/#'],
    ['+/a/#', '+/a/#'],
    ['%c', 'c1'],
    ['users/%u/%c', 'users/ann/c1'],
    ['rooms/%p{room}/#', 'rooms/r7/#'],
    ['dev-%c-x/%u%u', 'dev-c1-x/annann'],
    ['%p{a/b}/x', 'deep/x'],
    ['%p{$Country}/news', 'DE/news'],
    ['100%%/%%c', '100%/%c'],
    ['$SYS/%c', '$SYS/c1'],
  ])('%s', (topic, expected) => {
    expect(bound(topic)).toBe(expected)
  })

  test.each([
    ['', 'is empty'],
    ['a#', 'wildcard within'],
    ['a/#/b', 'not its last'],
    ['#/', 'not its last'],
    ['+%c', 'wildcard within'],
    ['%c#', 'wildcard within'],
    ['a/%x', 'has "%x"'],
    ['a/%', 'has "%"'],
    ['%p', 'has "%p"'],
    ['%p{room', 'has "%p"'],
    ['%p{}', 'the property ""'],
    ['%p{$Principal}', 'the property "$Principal"'],
    ['%p{two words}', 'the property "two words"'],
    ['$share/g/a', 'shared subscription'],
    ['a/\0', 'no topic may have'],
    ['a/\ud800', 'no topic may have'],
  ])('%j is refused', (topic, why) => {
    expect(() => parseTopicTemplate(topic)).toThrow(TopicFault)
    expect(() => parseTopicTemplate(topic)).toThrow(why)
  })
})

describe('threat 85: values', () => {
  test.each(['', '+', '#', 'a/b', '/', 'x+', '#x', '+/+'])('%j is not bound', (clientId) => {
    expect(bound('in/%c/x', { ...identity, clientId })).toBe('in/?/x')
  })

  test('an absent principal or property is not bound, and what is inherited is absent', () => {
    expect(bound('in/%u', { ...identity, principal: undefined })).toBe('in/?')
    expect(bound('in/%p{none}/%p{constructor}/%p{__proto__}')).toBe('in/?/?/?')
  })

  test('none of them begins a topic with $, which wildcards pass by; further on it is text', () => {
    const who = { ...identity, clientId: '$SYS', principal: '$share' }
    expect(bound('%c/%c', who)).toBe('?/$SYS')
    expect(bound('%u/a/b', who)).toBe('?/a/b')
    expect(bound('x%c', who)).toBe('x$SYS')
    expect(bound('$%c', { ...identity, clientId: 'SYS' })).toBe('$SYS')
  })

  test('whatever the value, a bound level is one level of text', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (clientId, principal) => {
        const filter = bound('%c%u', { ...identity, clientId, principal })
        if (filter === '?') return
        expect(filter).toBe(clientId + principal)
        expect(filter).not.toMatch(/[+#/]/)
      }),
    )
  })
})
