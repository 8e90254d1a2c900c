/** MQTT over WebSocket on a web server that is there already: one port for pages and for MQTT. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

import { connectAsync } from 'mqtt'
import { createBroker } from 'statemq'

const server = createServer((_request, response) => response.end('a page'))
const broker = createBroker()
// Takes the upgrades of /mqtt, and of nothing else; who may reach the server is the server's to say.
await broker.listen({ transport: 'ws', server, path: '/mqtt' })

server.listen(0, '127.0.0.1')
await once(server, 'listening')
const { port } = server.address() as AddressInfo

const page = await fetch(`http://127.0.0.1:${port}/`)
assert.equal(await page.text(), 'a page')

const client = await connectAsync(`ws://127.0.0.1:${port}/mqtt`, { protocolVersion: 5 })
await client.publishAsync('from/browser', 'it works', { qos: 1, retain: true })
await client.endAsync()

// Closing the broker leaves the server open: it is not the broker's.
await broker.close()
const again = await fetch(`http://127.0.0.1:${port}/`)
assert.equal(again.status, 200)
server.closeAllConnections()
server.close()
