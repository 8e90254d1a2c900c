import type { SessionContext } from '../../machines/session.machine.ts'
import type { HookClient } from '../hooks.ts'
import type { Session } from './session.ts'

/** The session as hooks see it, by a context that its snapshot may not show yet. It has a grant. */
export function hookClientOf(session: Session, { grant, connect, connection }: SessionContext): HookClient {
  const protocolVersion = connect?.protocolVersion ?? 4
  return { clientId: session.clientId, sessionId: session.id, protocolVersion, grant: grant!, connection }
}
