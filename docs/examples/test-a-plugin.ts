/** Testing a plugin of your own: a broker in memory, clients that follow a script, and time that stands still. */
import assert from 'node:assert/strict'

import { allow, deny, next, ReasonCode, type Hooks } from 'statemq'
import { testBroker } from 'statemq/testing'

/** The plugin: at most so many messages a minute for each client, and never an empty one. */
function quota(maxMessagesPerMinute: number, nowMs: () => number): Hooks {
  const windows = new Map<string, { readonly sinceMs: number; count: number }>()
  return {
    name: 'quota',
    onPublish: ({ message }, { clientId }) => {
      if (message.payload.length === 0) return deny(ReasonCode.PayloadFormatInvalid, 'empty')
      let window = windows.get(clientId)
      if (!window || nowMs() - window.sinceMs >= 60_000)
        windows.set(clientId, (window = { sinceMs: nowMs(), count: 0 }))
      return ++window.count > maxMessagesPerMinute ? deny(ReasonCode.QuotaExceeded, 'too many messages') : next()
    },
    onGone: ({ clientId }) => void windows.delete(clientId),
  }
}

// With a test runner each of these would be a test, and `close` would stand in its `after`.

/** The third message of a minute is refused, and the next minute is a new one. */
async function testMinutes(): Promise<void> {
  const bench = testBroker({ hooks: quota(2, () => bench.clock.nowMs()) })
  const reader = await bench.connect({ clientId: 'reader' })
  await reader.subscribe('plant/#', { qos: 1 })
  const sensor = await bench.connect({ clientId: 'sensor' })
  const send = (payload: string): Promise<number> => sensor.publish({ topic: 'plant/heat', payload, qos: 1 })

  assert.equal(await send('20'), ReasonCode.Success)
  assert.equal(await send('21'), ReasonCode.Success)
  assert.equal(await send('22'), ReasonCode.QuotaExceeded)
  await bench.advance(60_000)
  assert.equal(await send('23'), ReasonCode.Success)

  for (const payload of ['20', '21', '23']) await reader.expectMessage({ topic: 'plant/heat', payload, qos: 1 })
  await reader.expectNothing()
  // Fails if anything has thrown inside the broker: a hook, an action of a chart, an observer.
  await bench.close()
}

/** Whoever reads the events learns which plugin said no. */
async function testReport(): Promise<void> {
  const bench = testBroker({ hooks: quota(1, () => bench.clock.nowMs()) })
  const sensor = await bench.connect({ clientId: 'sensor' })
  assert.equal(await sensor.publish({ topic: 'plant/heat', qos: 1 }), ReasonCode.PayloadFormatInvalid)
  const denied = await bench.expectEvent('hook.denied', { clientId: 'sensor' })
  assert.equal(denied.plugin, 'quota')
  await bench.close()
}

/** What throws in a hook is a refusal for the client, and a failure for its test. */
async function testFailure(): Promise<void> {
  const broken: Hooks = {
    name: 'broken',
    onSubscribe: ({ filter }) => {
      if (filter === 'bad') throw new Error('not thought of')
      return allow({ qos: 0 })
    },
  }
  const bench = testBroker({ hooks: broken })
  const client = await bench.connect()
  assert.equal(await client.subscribe('good', { qos: 2 }), 0)
  assert.equal(await client.subscribe('bad', { qos: 2 }), ReasonCode.NotAuthorized)
  // It is expected here; without this line `close` would reject, and say so.
  assert.match(String(bench.takeFailures()[0]?.error), /not thought of/)
  await bench.close()
}

await testMinutes()
await testReport()
await testFailure()
