import type { SessionCore } from './core.ts'
import { rolesInForce, SessionAccess } from './access.ts'
import type { Session } from './session.ts'

/** How long the sessions of one turn are looked at; the loop is free in between. */
const SLICE_MS = 10

/**
 * Compares a session with what it may do now (semantics 7.7): its subscriptions both ways, what waits
 * and what is unacknowledged. Its will is compared when it is due. Does nothing where nothing changed.
 */
export function reauthorise(session: Session): void {
  if (session.core.roles.policy === undefined && session.access === undefined) return
  const access = (session.access ??= new SessionAccess(session))
  const before = access.authorisedBy
  if (!access.authorise()) return
  session.subscriptions?.reauthorise(before)
  session.outbound?.reauthorise()
}

/**
 * Puts other roles into force: each session goes by them from this moment on, and is looked at within
 * the next turns; resolves when all were. Throws SMQ_ROLES_INVALID before anything has changed.
 */
export function changeRoles(core: SessionCore, options: Parameters<typeof rolesInForce>[0]): Promise<void> {
  core.roles = rolesInForce(options, core.policyVersion + 1)
  core.policyVersion += 1
  core.events.emit({ type: 'policy.changed', policyVersion: core.policyVersion })
  return reauthoriseAll(core)
}

/** Looks at every session again, some each turn. A change of roles meanwhile begins anew by itself. */
async function reauthoriseAll(core: SessionCore): Promise<void> {
  const version = core.policyVersion
  let sliceEndsAt = performance.now() + SLICE_MS
  for (const session of [...core.registry.sessions.values()]) {
    if (core.policyVersion !== version) return
    try {
      reauthorise(session)
    } catch (error) {
      core.logger.error(
        { sessionId: session.id, clientId: session.clientId, err: error },
        'the rights of a session could not be looked at again',
      )
      session.error(error)
    }
    if (performance.now() < sliceEndsAt) continue
    await new Promise((resolve) => setImmediate(resolve))
    sliceEndsAt = performance.now() + SLICE_MS
  }
}
