/**
 * The builders of `wire.ts` and the broker of `test-broker.ts` with MQTT 3.1.1 as the version, so
 * that no test of an older version sends a property section by accident. `version: 3` makes any of
 * them MQTT 3.1, whose packets differ in CONNECT only.
 *
 * ```ts
 * const t = startBroker4()
 * const client = await t.connect({ clientId: 'a', cleanStart: false }) // MQTT 3.1.1
 * client.send(publish4({ topic: 't', qos: 1, packetId: 7 }))
 * await t.first(connect4({ flags: 3 })).expectClosed()
 * ```
 */
import type { BrokerOptions } from '../../src/index.ts'
import type { RawClient } from './raw-client.ts'
import { startBroker } from './test-broker.ts'
import {
  connect,
  publish,
  subscribe,
  unsubscribe,
  type ConnectInput,
  type PublishInput,
  type SubscribeInput,
  type UnsubscribeInput,
} from './wire.ts'

export const connect4 = (input: ConnectInput = {}): Buffer => connect({ version: 4, ...input })
export const publish4 = (input: PublishInput): Buffer => publish({ version: 4, ...input })
export const subscribe4 = (input: SubscribeInput): Buffer => subscribe({ version: 4, ...input })
export const unsubscribe4 = (input: UnsubscribeInput): Buffer => unsubscribe({ version: 4, ...input })

/** A broker whose clients speak MQTT 3.1.1 unless they say otherwise. */
export function startBroker4(options: BrokerOptions = {}) {
  const t = startBroker(options)
  return {
    ...t,
    attach: (): RawClient => t.attach({ version: 4 }),
    connect: (input: ConnectInput = {}): Promise<RawClient> => t.connect({ version: 4, ...input }),
    /** Sends these bytes on a fresh connection. */
    first: (...parts: ReadonlyArray<Buffer | string>): RawClient => t.attach({ version: 4 }).send(...parts),
  }
}
