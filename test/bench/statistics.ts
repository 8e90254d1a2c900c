import { figure, type LoadResult } from './scenarios.ts'

/** The middle value, or the mean of the two middle ones; undefined of nothing. */
export function median(values: readonly number[]): number | undefined {
  const sorted = values.toSorted((one, other) => one - other)
  const upper = sorted[sorted.length >> 1]
  const lower = sorted[(sorted.length - 1) >> 1]
  return upper === undefined || lower === undefined ? undefined : (lower + upper) / 2
}

/** Undefined where there is nothing to divide by. */
export function ratio(value: number | undefined, baseline: number | undefined): number | undefined {
  return value === undefined || baseline === undefined || baseline <= 0 ? undefined : value / baseline
}

/**
 * What made a run worthless, in words; undefined: every message that had to arrive did, once and in
 * order. At QoS 0 a lost message is allowed, and counted by the caller; everything else is not. The
 * generator forgives duplicates at QoS 1; here they count, as no connection is lost that would excuse them.
 */
export function faultOf(result: LoadResult): string | undefined {
  if (typeof result['error'] === 'string') return result['error']
  if (result['session_present'] === 0) return 'the session was not kept'
  if (result['ok'] === true && (figure(result, 'dups') ?? 0) === 0) return undefined
  const counts = ['lost', 'dups', 'reordered', 'bad', 'closed_early']
    .filter((field) => (figure(result, field) ?? 0) > 0)
    .map((field) => `${field} ${figure(result, field)}`)
  return counts.join(', ') || 'the run did not end well'
}

/** `0-3,8` as the system writes sets of processors. */
export function parseProcessorList(text: string): number[] {
  return text
    .trim()
    .split(',')
    .filter((part) => part !== '')
    .flatMap((part) => {
      const [first = NaN, last = first] = part.split('-').map(Number)
      return Array.from({ length: last - first + 1 }, (_, index) => first + index)
    })
}
