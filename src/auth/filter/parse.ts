import { defaultLimits } from '../../limits.ts'
import type { FilterExpression, FilterLimits, FilterValue } from './ast.ts'
import { filterFault } from './fault.ts'
import { keyFault, kindOfKey, type KeyKind } from './keys.ts'
import { readToken, stringPattern, stringValue, type Token } from './lexer.ts'
import { parseTime } from './time.ts'

/**
 * Reads a session filter. Throws SMQ_SESSION_FILTER_INVALID with the offset of what is wrong, also
 * where it is longer, deeper or dearer than `limits` allow (threat 87). The grammar is in
 * docs/sessions.md; each method of the parser below is one rule of it.
 */
export function parseFilter(text: string, limits: FilterLimits = defaultLimits): FilterExpression {
  // Callers in JavaScript may give anything.
  if (typeof text !== 'string') throw filterFault(0, 'expected a text')
  if (text.length > limits.maxFilterLength) {
    throw filterFault(limits.maxFilterLength, `longer than maxFilterLength, ${limits.maxFilterLength}`)
  }
  return new Parser(text, limits).filter()
}

const NUMBER = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[Ee][+-]?\d+)?$/
const OPERATORS = 'is, eq, ne, in, like, <, <=, > or >='

class Parser {
  readonly #text: string
  readonly #limits: FilterLimits
  #token: Token
  #end: number
  #depth = 0
  #steps = 0

  constructor(text: string, limits: FilterLimits) {
    this.#text = text
    this.#limits = limits
    const { token, end } = readToken(text, 0)
    this.#token = token
    this.#end = end
  }

  filter(): FilterExpression {
    const expression = this.#expression()
    if (this.#token.type !== 'end') throw this.#unexpected('and, or, or the end')
    return expression
  }

  #expression(): FilterExpression {
    return this.#joined('or', () => this.#joined('and', () => this.#unary()))
  }

  #joined(type: 'and' | 'or', operand: () => FilterExpression): FilterExpression {
    const operands = [operand()]
    while (this.#isKeyword(type)) {
      this.#advance()
      operands.push(operand())
    }
    return operands.length === 1 ? operands[0]! : { type, operands }
  }

  #unary(): FilterExpression {
    if (this.#isKeyword('not')) return this.#nested(() => ({ type: 'not', operand: this.#unary() }))
    if (this.#token.type !== '(') return this.#clause()
    return this.#nested(() => {
      const expression = this.#expression()
      this.#take(')', 'and, or, or )')
      return expression
    })
  }

  /** What stands behind the current token, one level further in. */
  #nested(inner: () => FilterExpression): FilterExpression {
    const { offset } = this.#advance()
    if (++this.#depth > this.#limits.maxFilterDepth) {
      throw filterFault(offset, `deeper than maxFilterDepth, ${this.#limits.maxFilterDepth}`)
    }
    const expression = inner()
    this.#depth--
    return expression
  }

  #clause(): FilterExpression {
    const { offset } = this.#token
    const clause = this.#simpleClause()
    this.#steps += stepsOf(clause)
    if (this.#steps > this.#limits.maxFilterSteps) {
      throw filterFault(offset, `more comparisons than maxFilterSteps, ${this.#limits.maxFilterSteps}`)
    }
    return clause
  }

  #simpleClause(): FilterExpression {
    if (this.#isKeyword('all')) {
      this.#advance()
      return { type: 'all' }
    }
    if (this.#isKeyword('has')) {
      this.#advance()
      return { type: 'has', key: this.#key() }
    }
    if (this.#isKeyword('hasRoles')) {
      this.#advance()
      return { type: 'hasRoles', roles: this.#list(() => this.#string('a role in quotes')) }
    }
    if (this.#isKeyword('and') || this.#isKeyword('or')) throw this.#unexpected('a clause')
    const key = this.#key()
    return this.#comparison(key, kindOfKey(key))
  }

  #comparison(key: string, kind: KeyKind): FilterExpression {
    const operator = this.#token
    if (operator.type === 'comparator') {
      if (kind === 'text') throw filterFault(operator.offset, `${key} holds text, which has no order`)
      this.#advance()
      return { type: 'compare', key, comparator: operator.text, value: this.#ordered() }
    }
    switch (operator.type === 'word' ? operator.text.toLowerCase() : '') {
      case 'is':
      case 'eq':
        this.#advance()
        return { type: 'is', key, value: this.#value(key, kind) }
      case 'ne':
        this.#advance()
        return { type: 'ne', key, value: this.#value(key, kind) }
      case 'in':
        this.#advance()
        return { type: 'in', key, values: this.#list(() => this.#value(key, kind)) }
      case 'like':
        if (kind === 'time') throw filterFault(operator.offset, `${key} holds a time, which like does not compare`)
        this.#advance()
        return { type: 'like', key, pattern: this.#pattern() }
      case 'matches':
        throw filterFault(operator.offset, 'matches is not offered, expected like with a glob instead')
      default:
        throw this.#unexpected(OPERATORS)
    }
  }

  /** A key, in quotes where it would read as something else. */
  #key(): string {
    const token = this.#token
    if (token.type !== 'word' && token.type !== 'string') throw this.#unexpected('a clause')
    const key = token.type === 'word' ? token.text : stringValue(token)
    const fault = keyFault(key)
    if (fault !== undefined) throw filterFault(token.offset, fault)
    this.#advance()
    return key
  }

  /** What may be equal to what is under a key of this kind. */
  #value(key: string, kind: KeyKind): FilterValue {
    if (kind === 'time') return this.#ordered()
    const token = this.#token
    if (token.type === 'string') return this.#string('a string')
    if (kind === 'text') throw this.#unexpected(`a string in quotes, which is what ${key} holds`)
    const word = token.type === 'word' ? token.text.toLowerCase() : ''
    if (word === 'true' || word === 'false') {
      this.#advance()
      return word === 'true'
    }
    return this.#number() ?? this.#fail('a string in quotes, a number, true or false')
  }

  /** A number, or a time with or without quotes. */
  #ordered(): number | string {
    const token = this.#token
    const text = token.type === 'string' ? stringValue(token) : token.type === 'word' ? token.text : ''
    if (parseTime(text) !== undefined) {
      this.#advance()
      return text
    }
    return this.#number() ?? this.#fail('a number or an ISO 8601 time with its zone')
  }

  /** Undefined where the token is no number. */
  #number(): number | undefined {
    const token = this.#token
    if (token.type !== 'word' || !NUMBER.test(token.text)) return undefined
    const value = Number(token.text)
    if (!Number.isFinite(value)) throw filterFault(token.offset, 'the number is too large')
    this.#advance()
    // There is one zero.
    return value + 0
  }

  #string(expected: string): string {
    const token = this.#token
    if (token.type !== 'string') throw this.#unexpected(expected)
    const value = stringValue(token)
    this.#advance()
    return value
  }

  #pattern(): string {
    const token = this.#token
    if (token.type !== 'string') throw this.#unexpected('a glob in quotes')
    const pattern = stringPattern(token)
    this.#advance()
    return pattern
  }

  /** At least one: a filter that is empty by mistake must not mean everybody. */
  #list<T>(item: () => T): T[] {
    this.#take('[', '[')
    const items = [item()]
    while (this.#token.type !== ']') {
      if (this.#token.type === 'end') throw this.#unexpected(']')
      if (this.#token.type === ',') this.#advance()
      items.push(item())
    }
    this.#advance()
    return items
  }

  #isKeyword(keyword: string): boolean {
    return this.#token.type === 'word' && this.#token.text.toLowerCase() === keyword.toLowerCase()
  }

  #take(type: Token['type'], expected: string): void {
    if (this.#token.type !== type) throw this.#unexpected(expected)
    this.#advance()
  }

  /** Goes on to the next token; the one that is left behind. */
  #advance(): Token {
    const behind = this.#token
    const { token, end } = readToken(this.#text, this.#end)
    this.#token = token
    this.#end = end
    return behind
  }

  #unexpected(expected: string): Error {
    const { offset, type } = this.#token
    const found = type === 'end' ? 'the end' : this.#text.slice(offset, Math.min(this.#end, offset + 30))
    return filterFault(offset, `expected ${expected}, found ${found}`)
  }

  #fail(expected: string): never {
    throw this.#unexpected(expected)
  }
}

/** Comparisons that a clause may cost with one session; a glob counts once for every 32 characters. */
function stepsOf(clause: FilterExpression): number {
  switch (clause.type) {
    case 'hasRoles':
      return clause.roles.length
    case 'in':
      return clause.values.length
    case 'like':
      return 1 + (clause.pattern.length >>> 5)
    default:
      return 1
  }
}
