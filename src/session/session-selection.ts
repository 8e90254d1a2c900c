import type { FilterLimits } from '../auth/filter/ast.ts'
import { compileFilter, type FilterPredicate } from '../auth/filter/compile.ts'
import { parseFilter } from '../auth/filter/parse.ts'
import { planFilter, type FilterLookup, type FilterPlan, type NarrowPlan } from '../auth/filter/plan.ts'
import type { Registry } from './registry.ts'
import type { Session } from './session.ts'
import { SessionSubject } from './session-subject.ts'

/** Lookups that together lead to all that match, and how many sessions they lead to at most. */
interface Sources {
  readonly size: number
  readonly lookups: readonly FilterLookup[]
}

/** A session filter over the sessions of a broker. */
export class SessionSelection implements Iterable<Session> {
  readonly #registry: Registry
  readonly #predicate: FilterPredicate
  readonly #plan: FilterPlan
  #subject: SessionSubject | undefined = undefined

  /** Throws SMQ_SESSION_FILTER_INVALID. */
  constructor(text: string, registry: Registry, limits: FilterLimits) {
    const expression = parseFilter(text, limits)
    this.#registry = registry
    this.#predicate = compileFilter(expression)
    this.#plan = planFilter(expression)
  }

  matches(session: Session): boolean {
    const subject = this.#subject?.pointAt(session) ?? new SessionSubject(session)
    this.#subject = subject
    return this.#predicate(subject)
  }

  /** The sessions that the filter selects just now. */
  *[Symbol.iterator](): IterableIterator<Session> {
    for (const session of this.candidates()) if (this.matches(session)) yield session
  }

  /** Sessions among which all that match are: by index where that leads to fewer. */
  candidates(): Iterable<Session> {
    const { sessions } = this.#registry
    if (this.#plan.type === 'scan') return sessions.values()
    const { size, lookups } = this.#sourcesOf(this.#plan)
    if (size >= sessions.size) return sessions.values()
    if (lookups.length === 1) return this.#sessionsOf(lookups[0]!)
    const found = new Set<Session>()
    for (const lookup of lookups) for (const session of this.#sessionsOf(lookup)) found.add(session)
    return found
  }

  #sourcesOf(plan: NarrowPlan): Sources {
    if (plan.type === 'lookup') return { size: this.#sizeOf(plan), lookups: [plan] }
    const sources = plan.plans.map((one) => this.#sourcesOf(one))
    if (plan.type === 'all-of') return sources.reduce((best, one) => (one.size < best.size ? one : best))
    return {
      size: sources.reduce((sum, { size }) => sum + size, 0),
      lookups: sources.flatMap(({ lookups }) => lookups),
    }
  }

  #sizeOf({ index, value }: FilterLookup): number {
    return index === 'clientId' ? 1 : this.#registry.index.sizeOf(index, value)
  }

  #sessionsOf({ index, value }: FilterLookup): Iterable<Session> {
    if (index !== 'clientId') return this.#registry.index.sessionsOf(index, value)
    const session = this.#registry.sessions.get(value)
    return session ? [session] : []
  }
}
