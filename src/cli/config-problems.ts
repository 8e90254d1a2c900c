import type { z } from 'zod'

import { StatemqError, type ErrorPosition } from '../errors.ts'

/** One mistake in a configuration: `where` is a position in the file or the `--set` at fault. */
export interface Problem {
  readonly where: ErrorPosition | string
  readonly message: string
}

/** All mistakes of a configuration at once: nobody wants to learn of them one run at a time. */
export class ConfigurationError extends StatemqError {
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[], options: { cause?: unknown } = {}) {
    const first = problems[0]
    const detail = problems.map(problemLine).join('\n')
    super(
      'SMQ_CONFIG_INVALID',
      detail,
      first && typeof first.where !== 'string' ? { ...options, position: first.where } : options,
    )
    this.problems = problems
  }
}

/** `file:line:column: message`, which editors and terminals turn into a link, or `--set a=b: message`. */
export function problemLine({ where, message }: Problem): string {
  return `${typeof where === 'string' ? where : `${where.file}:${where.line}:${where.column}`}: ${message}`
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'a map' : `a ${typeof value}`
}

const kindNames: Readonly<Record<string, string>> = {
  array: 'a list',
  int: 'a whole number',
  object: 'a map',
  record: 'a map',
}

function list(values: readonly unknown[]): string {
  return values.map((value) => JSON.stringify(value)).join(', ')
}

/** What is wrong, without the path. Values are left out: one could be a secret in the wrong place. */
export function describeIssue(issue: z.core.$ZodIssue, value: unknown): string {
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${kindNames[issue.expected] ?? `a ${issue.expected}`}, found ${kindOf(value)}`
    case 'invalid_value':
      return issue.values.length === 1 ? `expected ${list(issue.values)}` : `expected one of ${list(issue.values)}`
    case 'too_small':
      return issue.origin === 'number' || issue.origin === 'int'
        ? `must be at least ${issue.minimum}`
        : 'must not be empty'
    case 'too_big':
      return `must be at most ${issue.maximum}`
    default:
      return issue.message
  }
}

/** The word of the list that was most likely meant, if one is near enough. */
export function nearest(word: string, words: readonly string[]): string | undefined {
  const ranked = words
    .map((candidate) => ({ candidate, edits: editsBetween(word.toLowerCase(), candidate.toLowerCase()) }))
    .toSorted((a, b) => a.edits - b.edits)
  return ranked[0] && ranked[0].edits <= Math.max(2, word.length / 5) ? ranked[0].candidate : undefined
}

/** Insertions, deletions and replacements that lead from one word to the other (Wagner and Fischer, by rows). */
function editsBetween(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= to.length; j += 1) {
      const replaced = row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[to.length]!
}
