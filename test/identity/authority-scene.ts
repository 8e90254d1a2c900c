import { allow, challenge, deny, type Allow, type AuthenticationRequest, type BrokerOptions } from '../../src/index.ts'
import type { BrokerEvent, SessionView, Verdict } from '../../src/index.ts'
import type { RawClient } from '../support/raw-client.ts'
import { startBroker } from '../support/test-broker.ts'
import { auth, type ConnectInput } from '../support/wire.ts'

type Given = Omit<Allow, 'type'>

/** An authenticator's answer that a test gives when it likes. */
export interface PendingVerdict {
  readonly request: AuthenticationRequest
  answer(verdict: Verdict): void
  fail(): void
}

const method = 'TICKET'

/** Tickets are taken for those of the user who shows them. */
function asUser({ username }: AuthenticationRequest, verdict: Verdict): Verdict {
  return verdict.type === 'allow' && username !== undefined ? { principal: username, ...verdict } : verdict
}

/**
 * A broker whose clients bring what they are to be: password or authentication data is the grant as JSON, or one of the
 * words `challenge`, `deny`, `wait`. Everything that its sessions emit is in `log`.
 */
export function startAuthority(options: BrokerOptions = {}) {
  const pending: PendingVerdict[] = []
  const judge = (request: AuthenticationRequest, told: string): Verdict | Promise<Verdict> => {
    if (told === 'challenge') return challenge(Buffer.from('which?'))
    if (told === 'deny') return deny(0x87, 'not you')
    if (told !== 'wait') return allow(JSON.parse(told || '{}') as Given)
    return new Promise((resolve, reject) => {
      pending.push({ request, answer: resolve, fail: () => reject(new Error('the authenticator broke')) })
    })
  }
  const t = startBroker({
    authenticators: [
      { name: 'passwords', authenticate: (request) => judge(request, request.password?.toString() ?? '') },
      {
        name: 'tickets',
        methods: [method],
        comparesUsername: true,
        authenticate: async (request) =>
          asUser(request, await judge(request, request.authenticationData?.toString() ?? '')),
      },
    ],
    ...options,
  })
  const log: BrokerEvent[] = []
  t.broker.events$.subscribe((event) => log.push(event))

  /** A client of MQTT 5 that can authenticate again; its session outlives its connection by a minute. */
  const ticket = (given: Given = {}, input: ConnectInput = {}): Promise<RawClient> =>
    t.connect(ticketConnect(given, input))
  /** A client of 3.1.1 whose session stays. */
  const old = (given: Given = {}, input: ConnectInput = {}): Promise<RawClient> =>
    t.connect({
      version: 4,
      clientId: 'a',
      cleanStart: false,
      username: 'alice',
      password: JSON.stringify(given),
      ...input,
    })
  const view = (clientId = 'a'): SessionView => {
    const found = t.broker.sessions.get(clientId)
    if (!found) throw new Error(`there is no session ${clientId}`)
    return found
  }
  /** What happened to the session, by the names of the events that begin like this. */
  const told = (...kinds: readonly string[]): object[] =>
    log.filter(({ type }) => kinds.some((kind) => type.startsWith(kind))).map(withoutTime)
  return { ...t, log, pending, ticket, old, view, told }
}

function withoutTime(event: BrokerEvent): object {
  const { atMs: _, ...rest } = event
  return Object.fromEntries(Object.entries(rest).filter(([name]) => name !== 'sessionId' && name !== 'clientId'))
}

export function ticketConnect(given: Given | string = {}, input: ConnectInput = {}): ConnectInput {
  const { properties, ...rest } = input
  return {
    clientId: 'a',
    username: 'alice',
    cleanStart: false,
    properties: {
      sessionExpiryInterval: 60,
      authenticationMethod: method,
      authenticationData: dataOf(given),
      ...(properties as object | undefined),
    },
    ...rest,
  }
}

function dataOf(told: Given | string): Buffer {
  return Buffer.from(typeof told === 'string' ? told : JSON.stringify(told))
}

/** AUTH 0x19, or another code, with the same words. */
export function authenticate(told: Given | string, reasonCode = 0x19, as = method): Buffer {
  return auth(reasonCode, { authenticationMethod: as, authenticationData: dataOf(told) })
}

export async function expectAuthenticated(client: RawClient): Promise<void> {
  await client.expectPacket('auth', { reasonCode: 0x00 })
}
