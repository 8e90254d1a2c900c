import { reauthorise } from './reauthorise.ts'
import type { Session } from './session.ts'

/** The chart has left another grant, or none that counts. */
export function applyRights(session: Session): void {
  session.mustReauthorise = false
  if (session.state === 'expired') return
  try {
    reauthorise(session)
    // What was held back while it had no rights.
    session.pump()
  } catch (error) {
    session.handlerFailed(error)
  }
}

/** The grant was taken away: what waits and what is unacknowledged is dropped; shared messages go to other members. */
export function giveUpMessages(session: Session): void {
  const { outbound, core } = session
  core.registry.revoked(session)
  core.reviews.forget(session.grant?.principal)
  session.outbound = undefined
  session.replay?.close()
  session.replay = undefined
  void outbound?.end('denied')
  if (core.roles.retainedOfRevoked === 'purge') core.router.removeRetainedOf(session.clientId)
}
