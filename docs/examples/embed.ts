/** A broker inside your own program: it listens, the program takes part without a socket. */
import assert from 'node:assert/strict'

import { connectAsync } from 'mqtt'
import { createBroker, ReasonCode } from 'statemq'

const broker = createBroker()
const { address } = await broker.listen({ transport: 'tcp', port: 0 })
await broker.publish({ topic: 'greeting', payload: 'hello', retain: true })

// Any MQTT client, here MQTT.js.
assert('port' in address)
const client = await connectAsync(`mqtt://127.0.0.1:${address.port}`, { protocolVersion: 5, reconnectPeriod: 0 })
const received = new Promise<string>((resolve) => {
  client.once('message', (topic, payload) => resolve(`${topic}: ${payload.toString()}`))
})
await client.subscribeAsync('greeting')
assert.equal(await received, 'greeting: hello')

// The client learns that the broker goes: DISCONNECT 0x8B.
const told = new Promise((resolve) => {
  client.once('disconnect', ({ reasonCode }) => resolve(reasonCode))
})
await broker.close()
assert.equal(await told, ReasonCode.ServerShuttingDown)
assert.equal(broker.state, 'stopped')
