/** A broker whose clients are who their user name says, or nobody; for tests about whose a session is. */
import { allow, next, type BrokerEvent, type BrokerOptions } from '../../src/index.ts'
import type { RawClient } from '../support/raw-client.ts'
import { startBroker } from '../support/test-broker.ts'
import { connect, type ConnectInput, type Version } from '../support/wire.ts'

export const versions: readonly Version[] = [4, 5]

/** A session that stays, in both versions. */
export const staying = { cleanStart: false, properties: { sessionExpiryInterval: 3600 } } as const

export function startOwnership(options: BrokerOptions = {}) {
  const t = startBroker({
    authenticators: [{ name: 'names', authenticate: ({ username }) => (username === undefined ? next() : allow()) }],
    allowAnonymous: true,
    ...options,
  })
  const events: BrokerEvent[] = []
  t.broker.events$.subscribe((event) => events.push(event))
  /** CONNECT of somebody who may be refused; nothing is read yet. */
  const knock = (input: ConnectInput): RawClient => {
    const client = t.attach({ version: input.version ?? 5 })
    client.send(connect(input))
    return client
  }
  /** The reason codes of refusals, as the broker's events have them. */
  const refusals = (): number[] =>
    events.flatMap((event) => (event.type === 'session.refused' ? [event.reasonCode] : []))
  return { ...t, events, knock, refusals }
}

/** CONNACK with this refusal, or with the return code that 3.1.1 has for it. */
export async function expectRefusal(client: RawClient, reasonCode: number, returnCode: number): Promise<Buffer> {
  await client.expectPacket('connack', {
    reasonCode: client.version === 5 ? reasonCode : returnCode,
    sessionPresent: false,
  })
  const { lastFrame } = client
  await client.expectClosed()
  return lastFrame
}
