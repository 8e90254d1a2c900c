// Fills a store: sessions that are away, and messages for each that came one at a time.
//   node seed.mjs INDEX DIRECTORY SESSIONS MESSAGES one|all
// INDEX: the module that has createBroker. A message waits for one session, or for all of them.
import { pathToFileURL } from 'node:url'

const [, , index, directory, sessions, messages, goesTo] = process.argv
const { createBroker } = await import(pathToFileURL(index).href)
const broker = createBroker({
  store: { type: 'lmdb', directory, durability: 'os' },
  limits: {
    maxConnectsPerSecond: Infinity,
    maxConnections: Infinity,
    maxQueuedMessages: Infinity,
    maxQueuedBytes: Infinity,
  },
})
await broker.ready
/** As many at once as one commit may well have. */
const AT_ONCE = 2_000

async function times(total, work) {
  for (let from = 0; from < total; from += AT_ONCE) {
    const count = Math.min(AT_ONCE, total - from)
    await Promise.all(Array.from({ length: count }, (_, offset) => work(from + offset)))
  }
}

await times(sessions, async (number) => {
  const client = await broker.client({
    clientId: `seed-${number}`,
    cleanStart: false,
    sessionExpiryIntervalSeconds: 0xffffffff,
  })
  client.messages(goesTo === 'all' ? 'seed/all' : `seed/${number}`, { qos: 1 }).subscribe()
  // It is answered after the subscription is.
  await client.publish({ topic: 'seed', payload: '', qos: 1 })
  client.abort()
  await client.closed
})
const payload = 'x'.repeat(64)
await times(messages, (number) =>
  broker.publish({ topic: goesTo === 'all' ? 'seed/all' : `seed/${number % sessions}`, payload, qos: 1 }),
)
await broker.close()
