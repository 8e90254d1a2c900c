/** The server's own code as an MQTT client: no socket, no bytes, RxJS operators on what comes in. */
import assert from 'node:assert/strict'

import { bufferCount, filter, firstValueFrom, map, take, toArray } from 'rxjs'
import { createBroker, StatemqError } from 'statemq'

const broker = createBroker({ limits: { maxTopicLevels: 4 } })

// broker.messages: an observer, no session. It sees every live message of the filter once.
const averages = firstValueFrom(
  broker.messages('plant/+/temperature').pipe(
    map(({ payload }) => Number(payload.toString())),
    bufferCount(3),
    map((values) => values.reduce((sum, value) => sum + value, 0) / values.length),
  ),
)

// broker.client: a session like any other, with its limits, hooks, queue and will.
const client = await broker.client({ clientId: 'controller', will: { topic: 'status/controller', payload: 'gone' } })
assert.equal(broker.sessions.get('controller')?.context.connection.transport, 'memory')

// Subscribing to the Observable subscribes to the filter; the last one to leave unsubscribes.
const alarms = firstValueFrom(
  client.messages('plant/#', { qos: 1 }).pipe(
    filter(({ payload }) => Number(payload.toString()) > 90),
    map(({ topic }) => topic),
    take(2),
    toArray(),
  ),
)
for (const [press, degrees] of Object.entries({ a: 60, b: 95, c: 100 })) {
  const reached = await broker.publish({ topic: `plant/${press}/temperature`, payload: `${degrees}`, qos: 1 })
  assert.equal(reached, 1)
}
assert.deepEqual(await alarms, ['plant/b/temperature', 'plant/c/temperature'])
assert.equal(await averages, 85)

// What is refused says so with a code.
await assert.rejects(firstValueFrom(client.messages('a/b/c/d/e')), (error) => {
  assert(error instanceof StatemqError)
  assert.equal(error.code, 'SMQ_SUBSCRIBE_REFUSED')
  return true
})

// abort() is a broken connection, so the will is published; close() takes it back.
const will = firstValueFrom(broker.messages('status/#'))
client.abort()
assert.equal((await will).payload.toString(), 'gone')
await broker.close()
