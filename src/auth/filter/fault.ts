import { StatemqError } from '../../errors.ts'

/** The error of a filter that cannot be read. `offset` counts UTF-16 units from 0. */
export function filterFault(offset: number, what: string): StatemqError {
  return new StatemqError('SMQ_SESSION_FILTER_INVALID', `at ${offset}: ${what}`, { offset })
}
