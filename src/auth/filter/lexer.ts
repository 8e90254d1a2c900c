import type { FilterComparator } from './ast.ts'
import { filterFault } from './fault.ts'

/** A word of a filter. `offset` is where it begins, counted in UTF-16 units from 0. */
export type Token = { readonly offset: number } & (
  | { readonly type: '(' | ')' | '[' | ']' | ',' | 'end' }
  | { readonly type: 'comparator'; readonly text: FilterComparator }
  /** A keyword, a key, a number or a time. */
  | { readonly type: 'word'; readonly text: string }
  /** What stands between the quotes, its escapes as they were written. */
  | { readonly type: 'string'; readonly raw: string }
)

const SPACE = /\s*/uy
const WORD = /[^\s'"()[\],<>]+/uy
const COMPARATOR = /[<>]=?/uy

/** The token that begins at or behind `from`, and where the next one may begin. Throws SMQ_SESSION_FILTER_INVALID. */
export function readToken(text: string, from: number): { readonly token: Token; readonly end: number } {
  const offset = from + matchAt(SPACE, text, from).length
  const first = text[offset]
  switch (first) {
    case undefined:
      return { token: { type: 'end', offset }, end: offset }
    case '(':
    case ')':
    case '[':
    case ']':
    case ',':
      return { token: { type: first, offset }, end: offset + 1 }
    case '<':
    case '>': {
      const comparator = matchAt(COMPARATOR, text, offset) as FilterComparator
      return { token: { type: 'comparator', text: comparator, offset }, end: offset + comparator.length }
    }
    case '"':
    case "'":
      return readString(text, offset, first)
    default: {
      const word = matchAt(WORD, text, offset)
      return { token: { type: 'word', text: word, offset }, end: offset + word.length }
    }
  }
}

function matchAt(pattern: RegExp, text: string, at: number): string {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0] ?? ''
}

function readString(text: string, offset: number, quote: string): { readonly token: Token; readonly end: number } {
  for (let at = offset + 1; at < text.length; at++) {
    if (text[at] === '\\') at++
    else if (text[at] === quote) {
      return { token: { type: 'string', raw: text.slice(offset + 1, at), offset }, end: at + 1 }
    }
  }
  throw filterFault(offset, 'the string has no end')
}

/** The text of a string token: `\` stands before a quote or another `\`. */
export function stringValue(token: Token & { readonly type: 'string' }): string {
  return unescape(token, /['"\\]/, '\\ stands before a quote or another \\', (character) => character)
}

/** The glob of a string token: `\` may stand before a wildcard too, and stays there. */
export function stringPattern(token: Token & { readonly type: 'string' }): string {
  return unescape(token, /['"\\*?]/, '\\ stands before a quote, a wildcard or another \\', (character) =>
    character === "'" || character === '"' ? character : `\\${character}`,
  )
}

function unescape(
  { raw, offset }: Token & { readonly type: 'string' },
  escapable: RegExp,
  expected: string,
  replace: (character: string) => string,
): string {
  let value = ''
  for (let at = 0; at < raw.length; at++) {
    const character = raw[at]!
    if (character !== '\\') {
      value += character
      continue
    }
    const escaped = raw[++at]!
    if (!escapable.test(escaped)) throw filterFault(offset + at, expected)
    value += replace(escaped)
  }
  return value
}
