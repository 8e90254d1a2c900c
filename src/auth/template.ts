import { assignablePropertyNames, isPropertyName } from '../properties.ts'
import { PLUS } from './permission-filter.ts'

/** What a session puts into the topics of its permissions. */
export interface Identity {
  readonly clientId: string
  /** Undefined: anonymous. */
  readonly principal: string | undefined
  readonly roles: readonly string[]
  readonly properties: Readonly<Record<string, string>>
}

/** A part of a level that each session fills in for itself. */
type Variable = { readonly name: 'clientId' | 'principal' } | { readonly name: 'property'; readonly key: string }

/** One level of a topic filter with variables in it. */
export interface LevelTemplate {
  /** As it is written, and whether it is the first level: the same in all templates that bind alike. */
  readonly id: string
  readonly isFirst: boolean
  readonly parts: readonly (string | Variable)[]
}

/** The topic filter of a permission, by its levels; `#` alone is `+/#`. */
export interface TopicTemplate {
  readonly levels: readonly (string | LevelTemplate)[]
  /** It ended in `#`. */
  readonly rest: boolean
}

/** What is wrong with the topic of a permission, in words. */
export class TopicFault extends Error {}

/**
 * Reads the topic of a permission: a topic filter in which `%c`, `%u` and `%p{key}` stand for values
 * of the session and `%%` for a per cent sign. Throws {@link TopicFault}.
 */
export function parseTopicTemplate(text: string): TopicTemplate {
  if (text === '') throw new TopicFault('is empty')
  if (text.includes('\0') || !text.isWellFormed()) throw new TopicFault('has characters that no topic may have')
  if (text.startsWith('$share/')) {
    throw new TopicFault('names a shared subscription: write its filter alone, with "shared" or "group" beside it')
  }
  const levels: (string | LevelTemplate)[] = []
  let rest = false
  let at = 0
  do {
    if (rest) throw new TopicFault('has a "#" that is not its last level')
    const { parts, source, end } = readLevel(text, at)
    at = end + 1
    if (source === '#') rest = true
    else if (source === PLUS) levels.push(PLUS)
    else if (parts.some((part) => typeof part === 'string' && /[+#]/.test(part)))
      throw new TopicFault(`has a wildcard within the level "${source}"`)
    else if (parts.every((part) => typeof part === 'string')) levels.push(parts.join(''))
    else {
      const isFirst = levels.length === 0
      levels.push({ id: `${isFirst ? '^' : ''}${source}`, isFirst, parts })
    }
  } while (at <= text.length)
  if (levels.length === 0) levels.push(PLUS)
  return { levels, rest }
}

interface ReadLevel {
  readonly parts: (string | Variable)[]
  readonly source: string
  readonly end: number
}

/** Reads up to the next slash that is not within `%p{…}`. */
function readLevel(text: string, start: number): ReadLevel {
  const parts: (string | Variable)[] = []
  let literal = ''
  let at = start
  const add = (variable: Variable, length: number): void => {
    if (literal !== '') parts.push(literal)
    literal = ''
    parts.push(variable)
    at += length
  }
  while (at < text.length && text[at] !== '/') {
    if (text[at] !== '%') literal += text[at++]
    else if (text[at + 1] === '%') {
      literal += '%'
      at += 2
    } else if (text[at + 1] === 'c') add({ name: 'clientId' }, 2)
    else if (text[at + 1] === 'u') add({ name: 'principal' }, 2)
    else {
      const key = propertyKey(text, at)
      add({ name: 'property', key }, key.length + 4)
    }
  }
  if (literal !== '') parts.push(literal)
  return { parts, source: text.slice(start, at), end: at }
}

function propertyKey(text: string, at: number): string {
  const close = text.startsWith('%p{', at) ? text.indexOf('}', at) : -1
  if (close < 0) throw new TopicFault(`has "${text.slice(at, at + 2)}" where %c, %u, %p{key} or %% is known`)
  const key = text.slice(at + 3, close)
  if (isPropertyName(key) || assignablePropertyNames.some((name) => name === key)) return key
  throw new TopicFault(`names the property "${key}", which no session can have`)
}

/**
 * The text that a level has for one session; undefined where a value cannot be compared as text:
 * it is missing or empty, holds what structures a topic, or would begin a topic with `$` (threat 85).
 */
export function bindLevel({ parts, isFirst }: LevelTemplate, identity: Identity): string | undefined {
  let text = ''
  for (const part of parts) {
    if (typeof part === 'string') {
      text += part
      continue
    }
    const value = valueOf(part, identity)
    if (value === undefined || value === '' || /[+#/]/.test(value)) return undefined
    // Wildcards pass by these topics as well; whoever means them writes the `$`.
    if (isFirst && text === '' && value.startsWith('$')) return undefined
    text += value
  }
  return text
}

function valueOf(variable: Variable, { clientId, principal, properties }: Identity): string | undefined {
  switch (variable.name) {
    case 'clientId':
      return clientId
    case 'principal':
      return principal
    case 'property':
      return Object.hasOwn(properties, variable.key) ? properties[variable.key] : undefined
  }
}
