import { onTestFinished } from 'vitest'

import { allow, type Allow, type BrokerEvent, type BrokerOptions } from '../../src/index.ts'
import type { BrokerInspection } from '../../src/inspection.ts'
import type { RawClient } from '../support/raw-client.ts'
import { tempFolder } from '../support/temp-files.ts'
import { startBroker, type TestBroker } from '../support/test-broker.ts'
import type { ConnectInput } from '../support/wire.ts'

/** The stores that what is told must not depend on. */
export const stores = ['none', 'memory', 'lmdb'] as const
export type StoreKind = (typeof stores)[number]

export type Scene = Awaited<ReturnType<typeof startScene>>

type Given = Omit<Allow, 'type'>

/** A broker whose clients bring what they are to be: the password says what the authenticator answers. */
export async function startScene(kind: StoreKind = 'none', options: BrokerOptions = {}, directory = tempFolder()) {
  const store =
    kind === 'none' ? {} : { store: kind === 'lmdb' ? ({ type: 'lmdb', directory } as const) : { type: kind } }
  const t: TestBroker = startBroker({
    authenticators: [
      {
        name: 'told',
        authenticate: ({ password }) => allow(JSON.parse(password?.toString() ?? '{}') as Given),
      },
    ],
    ...store,
    ...options,
  })
  await t.broker.ready
  const events: BrokerEvent[] = []
  t.broker.events$.subscribe((event) => events.push(event))
  onTestFinished(() => t.close())
  /** Connects with this grant. */
  const join = (clientId: string, given: Given = {}, input: ConnectInput = {}): Promise<RawClient> =>
    t.connect({ clientId, username: given.principal ?? clientId, password: JSON.stringify(given), ...input })
  /** The same, with a session that stays for a minute. */
  const stay = (clientId: string, given: Given = {}, input: ConnectInput = {}): Promise<RawClient> =>
    join(clientId, given, { cleanStart: false, properties: { sessionExpiryInterval: 60 }, ...input })
  /** The network of a client is gone. */
  const lose = async (client: RawClient): Promise<void> => {
    client.drop()
    await t.settle()
  }
  const inspection: BrokerInspection = t.broker.inspection
  return { ...t, inspection, events, join, stay, lose, directory }
}

/** The query of a table, where a test does not say otherwise. */
export const all = { filter: '', sort: 'clientId', descending: false, offset: 0, limit: 100 } as const
