/** Completion of filters: what is offered at the caret can be read by the broker's own parser. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { parseFilter } from '../../../src/auth/filter/parse.ts'
import { complete, suggestionsAt, type FilterWords } from '../../../src/inspect/page/sessions/complete-filter.ts'
import { fixedPropertyNames } from '../../../src/properties.ts'

const words: FilterWords = {
  fields: fixedPropertyNames,
  attributes: ['@session.level', '@connection.speed'],
  properties: ['Department'],
  roles: ['operator', 'quoted "role"', 'back\\slash'],
}

/** What is offered at the mark `|`. */
function offered(marked: string): string[] {
  const caret = marked.indexOf('|')
  return suggestionsAt(marked.replace('|', ''), caret, words).options.map(({ text }) => text)
}

/** The text after the first offer at the mark was taken, with the caret marked. */
function taken(marked: string): string {
  const text = marked.replace('|', '')
  const suggestions = suggestionsAt(text, marked.indexOf('|'), words)
  const result = complete(text, suggestions, suggestions.options[0]!)
  return `${result.text.slice(0, result.caret)}|${result.text.slice(result.caret)}`
}

describe('what is offered', () => {
  test.each([
    ['|', ['hasRoles [', '$SessionId']],
    ['$cl|', ['$ClientId', '$ClientIP']],
    ['client|', ['$ClientId', '$ClientIP']],
    ['$ClientId |', ['is', 'ne', 'in [', 'like']],
    ['$ClientId l|', ['like']],
    ['$StartTime |', ['<', '<=', '>', '>=', 'is', 'ne', 'in [']],
    ['$State is |', ['"online"', '"offline"']],
    ['$State is "off|', ['"offline"']],
    ['hasRoles |', ['[']],
    ['hasRoles [|', ['"operator"', '"quoted \\"role\\""', '"back\\\\slash"']],
    ['hasRoles ["oper|', ['"operator"']],
    ['has Dep|', ['Department']],
    ['has Department |', ['and', 'or']],
    ['(all |', ['and', 'or', ')']],
    ['@session.level |', ['is', 'ne', 'in [', 'like', '<', '<=', '>', '>=']],
    ['$ClientId is "a" an|', ['and']],
  ])('%s', (marked, expected) => {
    expect(offered(marked).slice(0, expected.length)).toEqual(expected)
  })

  test('nothing where the word is whole already, and nothing else begins so', () => {
    expect(offered('$ClientId like|')).toEqual([])
    expect(offered('$ClientId is "a|')).toEqual([])
  })

  test('a list offers its end once it has something', () => {
    expect(offered('hasRoles ["operator" |')).toContain(']')
    expect(offered('hasRoles [|')).not.toContain(']')
  })
})

describe('what is taken', () => {
  test.each([
    ['client|', '$ClientId |'],
    ['$ClientId l| "x"', '$ClientId like |"x"'],
    ['hasRoles ["op|', 'hasRoles ["operator" |'],
    ['|', 'hasRoles [|'],
    ['all a| $State is "online"', 'all and |$State is "online"'],
  ])('%s becomes %s', (before, after) => {
    expect(taken(before)).toBe(after)
  })
})

test('whoever takes only what is offered writes a filter that can be read', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(), { minLength: 1, maxLength: 40 }), (choices) => {
      let text = ''
      const isDone = (): boolean => {
        const options = suggestionsAt(text, text.length, words, 100).options.map((option) => option.text)
        return options.includes('and') && !options.includes(')')
      }
      for (let turn = 0; turn < 200; turn += 1) {
        if (turn >= choices.length && isDone()) break
        const suggestions = suggestionsAt(text, text.length, words, 100)
        const { options } = suggestions
        // Values that nobody can know are typed: a time, a number or a text by what stands before.
        if (options.length === 0) {
          text += /Time (?:is|ne|in|[<>])[^A-Za-z]*$/.test(text) ? '2026-01-01 ' : /[<>]=? $/.test(text) ? '5 ' : '"x" '
          continue
        }
        // In the end everything is closed.
        const closing = options.find((option) => [']', ')', 'all'].includes(option.text))
        const isOver = turn >= choices.length
        const chosen = isOver && closing ? closing : options[(choices[turn % choices.length] ?? 0) % options.length]!
        text = complete(text, suggestions, chosen).text
        if (isOver && chosen.text === 'not') text += 'all '
      }
      if (isDone()) expect(() => parseFilter(text.trim())).not.toThrow()
    }),
    { numRuns: 2_000 },
  )
})
