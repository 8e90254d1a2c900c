/** An Express application with MQTT over WebSocket on its own port: one door for pages, API calls and devices. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'

import express from 'express'
import { connectAsync } from 'mqtt'
import { allow, createBroker, next, type Authenticator } from 'statemq'

const tokens = new Map([['secret-of-press-1', 'press-1']])
const byToken: Authenticator = {
  name: 'tokens',
  authenticate: ({ password }) => {
    const principal = tokens.get(password?.toString() ?? '')
    return principal === undefined ? next() : allow({ principal })
  },
}
const broker = createBroker({ authenticators: [byToken] })

const app = express()
app.use(express.json())
app.get('/devices', (_request, response) => {
  response.json(broker.sessions.select('$State is "online"').map(({ clientId }) => clientId))
})
app.post('/devices/:id/orders', async (request, response) => {
  const { order } = request.body as { readonly order: string }
  const reached = await broker.publish({ topic: `orders/${request.params.id}`, payload: order, qos: 1 })
  response.status(reached > 0 ? 202 : 404).json({ reached })
})

const server = app.listen(0, '127.0.0.1')
await once(server, 'listening')
// Upgrades of /mqtt are the broker's; those of other paths stay with the application.
await broker.listen({ transport: 'ws', server, path: '/mqtt' })
const { port } = server.address() as AddressInfo

const press = await connectAsync(`ws://127.0.0.1:${port}/mqtt`, {
  protocolVersion: 5,
  clientId: 'press-1',
  username: 'press-1',
  password: 'secret-of-press-1',
})
await press.subscribeAsync('orders/press-1', { qos: 1 })
const order = new Promise<string>((resolve) => press.once('message', (_topic, payload) => resolve(payload.toString())))

const devices = await fetch(`http://127.0.0.1:${port}/devices`)
assert.deepEqual(await devices.json(), ['press-1'])
const sent = await fetch(`http://127.0.0.1:${port}/devices/press-1/orders`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ order: 'stop' }),
})
assert.equal(sent.status, 202)
assert.equal(await order, 'stop')

await press.endAsync()
await broker.close()
server.closeAllConnections()
server.close()
