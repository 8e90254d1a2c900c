import type { ScramCredentials } from '../../src/index.ts'
import { scramCredentials } from '../../src/index.ts'
import type { RawClient } from './raw-client.ts'
import type { ScramClient } from './scram-client.ts'
import { auth, connect, type ConnectInput } from './wire.ts'

/** Credentials with the fewest iterations, for both mechanisms. */
export async function bothCredentials(password: string): Promise<ScramCredentials[]> {
  return Promise.all(
    (['SCRAM-SHA-256', 'SCRAM-SHA-512'] as const).map((mechanism) =>
      scramCredentials(password, { mechanism, iterations: 4096 }),
    ),
  )
}

/** Fields of CONNECT besides the method and its data. */
type LoginInput = Omit<ConnectInput, 'properties'>

/** Sends CONNECT with this as the client's first message. */
export function begin(client: RawClient, method: string, data: Buffer | string, input: LoginInput = {}): RawClient {
  const properties = { authenticationMethod: method, authenticationData: Buffer.from(data) }
  return client.send(connect({ clientId: 'a', ...input, properties }))
}

/** The server's first message. */
export async function challengeOf(client: RawClient): Promise<Buffer> {
  const { properties } = await client.expectPacket('auth', { reasonCode: 0x18 })
  return Buffer.from(properties.authenticationData!)
}

/** AUTH 0x18 with this data. */
export function answer(method: string, data: Buffer | string): Buffer {
  return auth(0x18, { authenticationMethod: method, authenticationData: Buffer.from(data) })
}

/** The whole exchange, up to a CONNACK that accepts and whose signature is right. */
export async function logIn(client: RawClient, method: string, scram: ScramClient, input: LoginInput = {}) {
  begin(client, method, scram.first(), input)
  client.send(answer(method, scram.final(await challengeOf(client))))
  const connack = await client.expectPacket('connack', { reasonCode: 0 })
  scram.verify(connack.properties.authenticationData)
  return connack
}
