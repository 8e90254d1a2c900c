import type { ConnectionInfo } from '../messages.ts'
import type { SessionCore, SessionPolicy } from './core.ts'
import { hookDenied, hookFailed, withTimeout } from './decide.ts'

/** Asks the hook about a connection before its first byte is read: why it is refused; undefined: it is not. */
export async function refusalOfConnection(
  { clock, events }: Pick<SessionCore, 'clock' | 'events'>,
  { hooks: { onConnection }, limits }: Pick<SessionPolicy, 'hooks' | 'limits'>,
  info: ConnectionInfo,
): Promise<string | undefined> {
  if (!onConnection) return undefined
  try {
    const asked = (async () => onConnection(info))()
    const verdict = await withTimeout(clock, limits.decisionTimeoutMs, 'onConnection', asked)
    if (verdict.type !== 'deny') return undefined
    hookDenied(events, 'onConnection', '', verdict)
    return verdict.reason
  } catch (error) {
    hookFailed(events, 'onConnection', '', error)
    return 'the decision failed'
  }
}
