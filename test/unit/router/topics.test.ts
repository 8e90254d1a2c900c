import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { hasWildcard, isTopicFilter, isTopicName, parseShared, topicMatches } from '../../../src/router/topics.ts'

const NUL = '\u0000'
/** 21,845 characters of three bytes each are the 65,535 bytes that fit; one byte more does not. */
const LONGEST = '日'.repeat(21_845)

/** [clause, text, whether it is a topic name, whether it is a topic filter] */
const table: readonly (readonly [string, string, boolean, boolean])[] = [
  ['MQTT-4.7.0-1', 'sport/+/x', false, true],
  ['MQTT-4.7.0-1', 'sport/#', false, true],
  ['MQTT-4.7.0-1', 'sport+', false, false],
  ['MQTT-4.7.0-1', 'sport#', false, false],
  ['MQTT-4.7.1-1', '#', false, true],
  ['MQTT-4.7.1-1', '/#', false, true],
  ['MQTT-4.7.1-1', 'sport/tennis/#', false, true],
  ['MQTT-4.7.1-1', 'sport/tennis#', false, false],
  ['MQTT-4.7.1-1', 'sport/tennis/#/ranking', false, false],
  ['MQTT-4.7.1-1', '#/', false, false],
  ['MQTT-4.7.1-1', '##', false, false],
  ['MQTT-4.7.1-1', '#/#', false, false],
  ['MQTT-4.7.1-1', '+#', false, false],
  ['MQTT-4.7.1-2', '+', false, true],
  ['MQTT-4.7.1-2', '+/tennis/#', false, true],
  ['MQTT-4.7.1-2', 'sport/+', false, true],
  ['MQTT-4.7.1-2', '/+', false, true],
  ['MQTT-4.7.1-2', '+/', false, true],
  ['MQTT-4.7.1-2', '+/+', false, true],
  ['MQTT-4.7.1-2', 'sport+/x', false, false],
  ['MQTT-4.7.1-2', '+sport', false, false],
  ['MQTT-4.7.1-2', '++', false, false],
  ['MQTT-4.7.1-2', 'a/++/b', false, false],
  ['MQTT-4.7.2-1', '$SYS/a', true, true],
  ['MQTT-4.7.2-1', '$', true, true],
  ['MQTT-4.7.3-1', '', false, false],
  ['MQTT-4.7.3-1', '/', true, true],
  ['MQTT-4.7.3-1', '//', true, true],
  ['MQTT-4.7.3-1', ' ', true, true],
  ['MQTT-4.7.3-2', NUL, false, false],
  ['MQTT-4.7.3-2', `a/${NUL}`, false, false],
  ['MQTT-4.7.3-2', `+/${NUL}/#`, false, false],
  ['MQTT-4.7.3-3', LONGEST, true, true],
  ['MQTT-4.7.3-3', `${LONGEST}a`, false, false],
  ['MQTT-4.7.3-3', 'a'.repeat(65_535), true, true],
  ['MQTT-4.7.3-3', 'a'.repeat(65_536), false, false],
  ['MQTT-4.7.3-3', '😀'.repeat(16_383), true, true],
  ['MQTT-4.7.3-3', '😀'.repeat(16_384), false, false],
  ['MQTT-4.7.3-3', `$share/g/${'a'.repeat(65_526)}`, true, true],
  ['MQTT-4.7.3-3', `$share/g/${'a'.repeat(65_527)}`, false, false],
  ['MQTT-1.5.4-1', 'a/\ud83d', false, false],
  ['MQTT-1.5.4-1', '\ude00/a', false, false],
  ['MQTT-1.5.4-1', '$share/\ud83d/a', false, false],
  ['MQTT-1.5.4-1', 'a/😀', true, true],
  ['MQTT-4.8.2-1', '$share/g/f', true, true],
  ['MQTT-4.8.2-1', '$share//f', true, false],
  ['MQTT-4.8.2-1', '$share/', true, false],
  ['MQTT-4.8.2-1', '$share', true, true],
  ['MQTT-4.8.2-1', '$shared/g', true, true],
  ['MQTT-4.8.2-2', '$share/g', true, false],
  ['MQTT-4.8.2-2', '$share/g/', true, false],
  ['MQTT-4.8.2-2', '$share/g//', true, true],
  ['MQTT-4.8.2-2', '$share/g/#', false, true],
  ['MQTT-4.8.2-2', '$share/g/+/x', false, true],
  ['MQTT-4.8.2-2', '$share/g/x#', false, false],
  ['MQTT-4.8.2-2', '$share/+/f', false, false],
  ['MQTT-4.8.2-2', '$share/#/f', false, false],
  ['MQTT-4.8.2-2', '$share/#', false, false],
  ['MQTT-4.8.2-2', '$share/g+/f', false, false],
  ['MQTT-4.8.2-2', `$share/g${NUL}/f`, false, false],
]

function shown(text: string): string {
  return text.length > 40 ? `${text.slice(0, 12)}… (${text.length} units)` : JSON.stringify(text)
}

describe('names and filters', () => {
  for (const [clause, text, isName, isFilter] of table) {
    test(`${clause} ${shown(text)} is ${isName ? 'a' : 'no'} name and ${isFilter ? 'a' : 'no'} filter`, () => {
      expect({ isName: isTopicName(text, 128), isFilter: isTopicFilter(text, 128) }).toEqual({ isName, isFilter })
    })
  }

  test('threat 38: an empty topic, a topic with a wildcard and a malformed $share are refused', () => {
    expect(['', 'a/+', '#', 'a#'].filter((topic) => isTopicName(topic, 128))).toEqual([])
    const malformed = ['$share/', '$share/g', '$share/g/', '$share//f', '$share/+/f', '$share/#/f', '$share/a#/f']
    expect(malformed.filter((filter) => isTopicFilter(filter, 128))).toEqual([])
  })

  test('threat 39: more than 128 levels are refused, and those of a shared filter are of its inner one', () => {
    const levels = (count: number): string => Array.from({ length: count }, () => 'x').join('/')
    expect([128, 129].map((count) => isTopicName(levels(count), 128))).toEqual([true, false])
    expect([128, 129].map((count) => isTopicFilter(levels(count), 128))).toEqual([true, false])
    expect([126, 127, 128].map((count) => isTopicFilter(`+/${levels(count)}/#`, 128))).toEqual([true, false, false])
    expect([128, 129].map((count) => isTopicFilter(`$share/g/${levels(count)}`, 128))).toEqual([true, false])
    expect(isTopicName('/'.repeat(128), 128)).toBe(false)
    expect(isTopicName('/'.repeat(65_534), Infinity)).toBe(true)
  })

  test('every topic name is a filter that matches itself and nothing that differs', () => {
    const unit = fc.constantFrom('a', 'b', '/', '$', ' ', 'ü', '😀')
    const name = fc.string({ unit, minLength: 1, maxLength: 12 })
    fc.assert(
      fc.property(name, name, (one, other) => {
        fc.pre(!one.startsWith('$share/'))
        expect(isTopicName(one, 128) && isTopicFilter(one, 128)).toBe(true)
        expect(hasWildcard(one)).toBe(false)
        expect(topicMatches(one, other)).toBe(one === other)
      }),
    )
  })
})

describe('parts of a filter', () => {
  test('MQTT-4.8.2-1, MQTT-4.8.2-2 the group and the inner filter of a shared subscription', () => {
    expect(parseShared('$share/group/a/+/#')).toEqual({ group: 'group', filter: 'a/+/#' })
    expect(parseShared('$share/g//')).toEqual({ group: 'g', filter: '/' })
    expect(parseShared('$share/$share/$share/x')).toEqual({ group: '$share', filter: '$share/x' })
    expect(['a', '$share', '$shared/g/a', 'x/$share/g/a', '#'].map(parseShared)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ])
  })

  test('wildcards', () => {
    expect(['#', '+', 'a/#', 'a/+', 'a/+/b', '+/b'].every(hasWildcard)).toBe(true)
    expect(['a', '/', '$SYS/a', 'a b'].some(hasWildcard)).toBe(false)
  })
})

/** [clause, filter, topics that match, topics that don't] */
const matches: readonly (readonly [string, string, readonly string[], readonly string[]])[] = [
  ['4.7.1.2', 'sport/#', ['sport', 'sport/', 'sport/x', 'sport/x/y'], ['sports', '/sport', 'Sport/x']],
  ['4.7.1.2', '#', ['a', '/', 'a/b', ' '], ['$SYS', '$SYS/a', '$']],
  ['4.7.1.3', 'sport/tennis/+', ['sport/tennis/a', 'sport/tennis/'], ['sport/tennis', 'sport/tennis/a/b']],
  ['4.7.1.3', '+', ['finance', ' '], ['/finance', 'finance/', '$finance']],
  ['4.7.1.3', '+/+', ['/finance', 'a/b', '/'], ['finance', '$SYS/a', '//']],
  ['4.7.1.3', '/+', ['/finance', '/', '/$SYS'], ['finance', '//']],
  ['4.7.1.3', '+/a/#', ['x/a', '/a/b', 'x/a/'], ['a', 'x/b/a', '$x/a']],
  ['MQTT-4.7.2-1', '$SYS/#', ['$SYS', '$SYS/', '$SYS/monitor/Clients'], ['SYS/a', '$sys/a']],
  ['MQTT-4.7.2-1', '$SYS/monitor/+', ['$SYS/monitor/Clients'], ['$SYS/monitor', '$SYS/monitor/a/b']],
  ['MQTT-4.7.2-1', '+/monitor/Clients', ['x/monitor/Clients'], ['$SYS/monitor/Clients']],
  ['MQTT-4.7.3-4', 'ACCOUNTS', ['ACCOUNTS'], ['Accounts', 'ACCOUNTS ', ' ACCOUNTS']],
  ['MQTT-4.7.3-4', '\u00e9', ['\u00e9'], ['e\u0301']],
]

describe('matching by the definition', () => {
  for (const [clause, filter, matching, others] of matches) {
    test(`${clause} ${filter}`, () => {
      expect(matching.filter((topic) => topicMatches(filter, topic))).toEqual(matching)
      expect(others.filter((topic) => topicMatches(filter, topic))).toEqual([])
    })
  }
})
