import type { FilterIndex } from '../auth/filter/plan.ts'
import type { Grant } from '../hooks.ts'
import { rolesOf } from './fixed-properties.ts'
import type { Session } from './session.ts'

/** Sessions by a text that each may have several of. Most have one session only, which needs no set. */
class Shelf {
  readonly #byText = new Map<string, Session | Set<Session>>()

  add(text: string, session: Session): void {
    const found = this.#byText.get(text)
    if (found === undefined) this.#byText.set(text, session)
    else if (found instanceof Set) found.add(session)
    else if (found !== session) this.#byText.set(text, new Set([found, session]))
  }

  remove(text: string, session: Session): void {
    const found = this.#byText.get(text)
    if (found === session) this.#byText.delete(text)
    else if (found instanceof Set && found.delete(session) && found.size === 0) this.#byText.delete(text)
  }

  sizeOf(text: string): number {
    const found = this.#byText.get(text)
    if (found === undefined) return 0
    return found instanceof Set ? found.size : 1
  }

  sessionsOf(text: string): Iterable<Session> {
    const found = this.#byText.get(text)
    if (found === undefined) return []
    return found instanceof Set ? found : [found]
  }
}

/**
 * Finds sessions by role and by principal. A session that has neither, which is one that came in
 * anonymously, is not in it and costs nothing.
 */
export class SessionIndex {
  readonly #shelves = { role: new Shelf(), principal: new Shelf() }
  /** Under which grant each session stands in it. */
  readonly #grants = new Map<Session, Grant>()

  /** Brings a session's entry up to date; without a grant it has none any more. */
  file(session: Session, grant: Grant | undefined): void {
    const previous = this.#grants.get(session)
    if (previous === grant) return
    const roles = rolesOf(grant)
    const isNamed = grant !== undefined && (grant.principal !== undefined || roles.length > 0)
    if (!isNamed && previous === undefined) return
    const { role, principal } = this.#shelves
    for (const name of rolesOf(previous)) if (!roles.includes(name)) role.remove(name, session)
    for (const name of roles) role.add(name, session)
    if (previous?.principal !== undefined && previous.principal !== grant?.principal) {
      principal.remove(previous.principal, session)
    }
    if (grant?.principal !== undefined) principal.add(grant.principal, session)
    if (isNamed) this.#grants.set(session, grant)
    else this.#grants.delete(session)
  }

  sizeOf(index: Exclude<FilterIndex, 'clientId'>, value: string): number {
    return this.#shelves[index].sizeOf(value)
  }

  sessionsOf(index: Exclude<FilterIndex, 'clientId'>, value: string): Iterable<Session> {
    return this.#shelves[index].sessionsOf(value)
  }
}
