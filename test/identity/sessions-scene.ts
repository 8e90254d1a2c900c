import { allow, type Allow, type BrokerOptions, type SessionView } from '../../src/index.ts'
import type { RawClient } from '../support/raw-client.ts'
import { startBroker } from '../support/test-broker.ts'
import type { ConnectInput } from '../support/wire.ts'

type Given = Omit<Allow, 'type'>

/** A broker whose clients bring what they are to be: the password says what the authenticator answers. */
export function startScene(options: BrokerOptions = {}) {
  const t = startBroker({
    authenticators: [
      {
        name: 'told',
        authenticate: ({ password }) => allow(JSON.parse(password?.toString() ?? '{}') as Given),
      },
    ],
    ...options,
  })
  /** Connects with this grant. */
  const join = (clientId: string, given: Given = {}, input: ConnectInput = {}): Promise<RawClient> =>
    t.connect({ clientId, username: given.principal ?? clientId, password: JSON.stringify(given), ...input })
  /** The same, with a session that stays for a minute. */
  const stay = (clientId: string, given: Given = {}, input: ConnectInput = {}): Promise<RawClient> =>
    join(clientId, given, { cleanStart: false, properties: { sessionExpiryInterval: 60 }, ...input })
  const view = (clientId: string): SessionView => t.broker.sessions.get(clientId)!
  /** Client identifiers that a filter selects. */
  const select = (filter: string): string[] => t.broker.sessions.select(filter).map(({ clientId }) => clientId)
  return { ...t, sessions: t.broker.sessions, join, stay, view, select }
}

/** The code with which a promise is rejected. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error: unknown) => (error as { code?: string }).code ?? String(error),
  )
}
