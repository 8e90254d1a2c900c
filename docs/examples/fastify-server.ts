/** A Fastify application with MQTT over WebSocket on its own port, opened and closed with it. */
import assert from 'node:assert/strict'
import type { AddressInfo } from 'node:net'

import fastify from 'fastify'
import { connectAsync } from 'mqtt'
import { createBroker } from 'statemq'

const app = fastify()
const broker = createBroker()
await broker.listen({ transport: 'ws', server: app.server, path: '/mqtt' })
// Before the server stops, clients hear that it does: DISCONNECT 0x8B.
app.addHook('preClose', () => broker.close())

app.get<{ Params: { readonly clientId: string } }>('/sessions/:clientId', async ({ params }, reply) => {
  const session = broker.sessions.get(params.clientId)
  if (!session) return reply.code(404).send({ error: 'no such session' })
  return { clientId: session.clientId, state: session.state, queuedMessages: session.queuedMessages }
})

await app.listen({ port: 0, host: '127.0.0.1' })
const { port } = app.server.address() as AddressInfo

const client = await connectAsync(`ws://127.0.0.1:${port}/mqtt`, { protocolVersion: 5, clientId: 'page-1' })
const found = await fetch(`http://127.0.0.1:${port}/sessions/page-1`)
assert.deepEqual(await found.json(), { clientId: 'page-1', state: 'online', queuedMessages: 0 })
assert.equal((await fetch(`http://127.0.0.1:${port}/sessions/nobody`)).status, 404)

const goodbye = new Promise<number | undefined>((resolve) =>
  client.once('disconnect', ({ reasonCode }) => resolve(reasonCode)),
)
client.options.reconnectPeriod = 0
await app.close()
assert.equal(await goodbye, 0x8b)
await client.endAsync()
