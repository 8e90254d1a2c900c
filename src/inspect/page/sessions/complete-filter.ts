/** Words that a filter may be made of: the answer of `GET /api/v1/filter/words`. */
export interface FilterWords {
  readonly fields: readonly string[]
  readonly attributes: readonly string[]
  readonly properties: readonly string[]
  readonly roles: readonly string[]
}

export interface Suggestion {
  /** What takes the place of the text from `from` to `to`. */
  readonly text: string
  /** What it is: shown beside it. */
  readonly kind: string
}

export interface Suggestions {
  readonly from: number
  readonly to: number
  readonly options: readonly Suggestion[]
}

interface Token {
  readonly text: string
  readonly from: number
  readonly to: number
}

/** What may come next. */
type Expected =
  | { readonly type: 'clause' }
  | { readonly type: 'key' }
  | { readonly type: 'operator'; readonly key: string }
  | { readonly type: 'value'; readonly key: string }
  | { readonly type: 'list'; readonly key: string; readonly isOpen: boolean }
  | { readonly type: 'joint' }

/** As docs/sessions.md has it; a string that is not closed yet ends with the text. */
const token = /'(?:[^'\\]|\\.)*'?|"(?:[^"\\]|\\.)*"?|[()[\],]|[<>]=?|[^\s'"()[\],<>]+/gsu

const times: ReadonlySet<string> = new Set(['$StartTime', '$ExpiryTime'])

/** What is worth choosing from, where the broker itself decides on the values. */
const values: Readonly<Record<string, readonly string[]>> = {
  $State: ['online', 'offline'],
  $Transport: ['tcp', 'tls', 'ws', 'wss', 'unix', 'memory'],
  $ProtocolVersion: ['5', '4', '3'],
  $TlsVersion: ['TLSv1.3', 'TLSv1.2'],
}

function isWord(text: string | undefined, ...words: string[]): boolean {
  return text !== undefined && words.includes(text.toLowerCase())
}

/** What the tokens before the place lead to. */
function expectedAfter(tokens: readonly Token[]): Expected {
  let expected: Expected = { type: 'clause' }
  for (const { text } of tokens) expected = step(expected, text)
  return expected
}

function step(expected: Expected, text: string): Expected {
  switch (expected.type) {
    case 'clause':
      if (isWord(text, 'not') || text === '(') return expected
      if (isWord(text, 'all')) return { type: 'joint' }
      if (isWord(text, 'has')) return { type: 'key' }
      if (isWord(text, 'hasroles')) return { type: 'list', key: '', isOpen: false }
      return { type: 'operator', key: text }
    case 'key':
      return { type: 'joint' }
    case 'operator':
      return isWord(text, 'in')
        ? { type: 'list', key: expected.key, isOpen: false }
        : { type: 'value', key: expected.key }
    case 'list':
      if (text === ']') return { type: 'joint' }
      return { ...expected, isOpen: true }
    case 'value':
      return { type: 'joint' }
    case 'joint':
      return isWord(text, 'and', 'or') ? { type: 'clause' } : expected
  }
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`
}

function keys(words: FilterWords): Suggestion[] {
  return [
    ...words.fields.map((text) => ({ text, kind: 'known of every session' })),
    ...words.properties.map((text) => ({ text, kind: 'property' })),
    ...words.attributes.map((text) => ({ text, kind: 'attribute' })),
  ]
}

function operators(key: string): Suggestion[] {
  const equal = [
    { text: 'is', kind: 'equal' },
    { text: 'ne', kind: 'other, or not there' },
    { text: 'in [', kind: 'one of' },
  ]
  const ordered = ['<', '<=', '>', '>='].map((text) => ({ text, kind: 'by size' }))
  if (times.has(key)) return [...ordered, ...equal]
  const like = { text: 'like', kind: '* and ? stand for any text' }
  return key.startsWith('@') ? [...equal, like, ...ordered] : [...equal, like]
}

/** Whether a parenthesis is open. */
function isGrouped(tokens: readonly Token[]): boolean {
  return tokens.reduce((depth, { text }) => depth + Number(text === '(') - Number(text === ')'), 0) > 0
}

function optionsFor(expected: Expected, words: FilterWords, tokens: readonly Token[]): Suggestion[] {
  switch (expected.type) {
    case 'clause':
      return [
        { text: 'hasRoles [', kind: 'has all of these roles' },
        ...keys(words),
        { text: 'not', kind: 'the opposite' },
        { text: 'has', kind: 'there is such a value' },
        { text: 'all', kind: 'every session' },
        { text: '(', kind: 'group' },
      ]
    case 'key':
      return keys(words)
    case 'operator':
      return operators(expected.key)
    case 'value':
      return (values[expected.key] ?? []).map((text) => ({ text: quoted(text), kind: 'value' }))
    case 'list': {
      if (!expected.isOpen) return [{ text: '[', kind: 'list' }]
      const all = expected.key === '' ? words.roles : (values[expected.key] ?? [])
      const last = tokens.at(-1)?.text
      const listed = all.map((text) => ({ text: quoted(text), kind: expected.key === '' ? 'role' : 'value' }))
      return last === '[' ? listed : [...listed, { text: ']', kind: 'end of the list' }]
    }
    case 'joint':
      return [
        { text: 'and', kind: 'both' },
        { text: 'or', kind: 'either' },
        ...(isGrouped(tokens) ? [{ text: ')', kind: 'end of the group' }] : []),
      ]
  }
}

/** What can stand at the caret, in the place of the word that it is at the end of or within. */
export function suggestionsAt(text: string, caret: number, words: FilterWords, max = 12): Suggestions {
  const tokens = Array.from(text.matchAll(token), (match): Token => {
    return { text: match[0], from: match.index, to: match.index + match[0].length }
  })
  const current = tokens.find(({ text: word, from, to }) => from < caret && caret <= to && !/^[()[\],]$/.test(word))
  const before = tokens.filter(({ to }) => to <= (current?.from ?? caret))
  const typed = current === undefined ? '' : text.slice(current.from, caret)
  const options = optionsFor(expectedAfter(before), words, before)
  const wanted = plain(typed)
  const matching = options.filter((option) => plain(option.text).includes(wanted))
  // What begins so comes before what has it somewhere.
  const begins = (option: Suggestion): number => (plain(option.text).startsWith(wanted) ? 0 : 1)
  const sorted = matching.toSorted((a, b) => begins(a) - begins(b))
  const isComplete = sorted[0]?.text === typed
  return {
    from: current?.from ?? caret,
    to: current === undefined ? caret : current.to,
    options: isComplete && sorted.length === 1 ? [] : sorted.slice(0, max),
  }
}

/** Without case and the marks in front: `client` finds `$ClientId`, and `adm` finds `"admin"`. */
function plain(text: string): string {
  return text.toLowerCase().replace(/^["'$@]+/, '')
}

/** The text with a suggestion in its place, and where the caret is then. */
export function complete(text: string, { from, to }: Suggestions, chosen: Suggestion): { text: string; caret: number } {
  const rest = text.slice(to)
  const wantsSpace = !/[[(]$/.test(chosen.text) && !/^\s/.test(rest)
  const inserted = chosen.text + (wantsSpace ? ' ' : '')
  return {
    text: text.slice(0, from) + inserted + rest,
    caret: from + inserted.length + (wantsSpace ? 0 : /^\s/.test(rest) ? 1 : 0),
  }
}
