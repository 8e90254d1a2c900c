import type { RawClient } from '../support/raw-client.ts'
import { subscribe, type FilterInput } from '../support/wire.ts'

/** The reason codes of a SUBACK, whatever they are. */
export async function subackCodes(client: RawClient, ...filters: FilterInput[]): Promise<readonly number[]> {
  client.send(subscribe({ version: client.version, packetId: 9, filters }))
  return (await client.expectPacket('suback', { packetId: 9 })).reasonCodes
}
