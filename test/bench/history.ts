/**
 * What a history of transitions costs: brokers with and without one take the same clients in turn, in one process.
 * `node --expose-gc test/bench/history.ts [clients] [rounds]` prints microseconds of processor time for each client
 * that connects and leaves, and the memory of each client that stays.
 */
import { setImmediate as turn } from 'node:timers/promises'

import { createBroker, type Broker } from '../../src/index.ts'
import { memoryPair } from '../../src/net/memory.ts'
import { connect, disconnect } from '../support/wire.ts'

const clients = Number(process.argv[2] ?? 5_000)
const rounds = Number(process.argv[3] ?? 10)
const limits = { maxConnectsPerSecond: Infinity, maxConnections: Infinity }
const bye = disconnect(0)

interface Came {
  write(bytes: Buffer): unknown
}

async function come(broker: Broker, clientId: string, options: object = {}): Promise<Came> {
  const [client, server] = memoryPair()
  client.resume()
  broker.attach(server)
  client.write(connect({ clientId, ...options }))
  return client
}

/** Everybody connects, a hundred at a time, and leaves; microseconds of processor time for each. */
async function churn(broker: Broker): Promise<number> {
  const before = process.cpuUsage()
  for (let from = 0; from < clients; from += 100) {
    const crowd: Came[] = []
    for (let at = from; at < from + 100; at++) crowd.push(await come(broker, `client-${at}`))
    await turn()
    for (const client of crowd) client.write(bye)
    await turn()
    await turn()
  }
  const { user, system } = process.cpuUsage(before)
  return (user + system) / clients
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
}

async function heapOf(history: boolean): Promise<number> {
  const broker = createBroker({ history, limits })
  await churn(broker)
  globalThis.gc?.()
  const before = process.memoryUsage().heapUsed
  const stay = { cleanStart: false, properties: { sessionExpiryInterval: 3_600 } }
  const there: Came[] = []
  for (let at = 0; at < clients; at++) there.push(await come(broker, `stays-${at}`, stay))
  for (let at = 0; at < 10; at++) await turn()
  globalThis.gc?.()
  const bytes = (process.memoryUsage().heapUsed - before) / there.length
  await broker.close({ drainTimeoutMs: 0 })
  return bytes
}

const off = createBroker({ limits })
const on = createBroker({ history: true, limits })
const spent = { off: [] as number[], on: [] as number[] }
await churn(off)
await churn(on)
for (let round = 0; round < rounds; round++) {
  const order = round % 2 === 0 ? (['off', 'on'] as const) : (['on', 'off'] as const)
  for (const which of order) spent[which].push(await churn(which === 'off' ? off : on))
}
const [without, withOne] = [median(spent.off), median(spent.on)]
console.log(`${rounds} rounds of ${clients} clients each, in turn; medians`)
console.log(`without a history: ${without.toFixed(1)} µs for a client that connects and leaves`)
console.log(`with one:          ${withOne.toFixed(1)} µs, ${((withOne / without - 1) * 100).toFixed(1)} % more`)
console.log(`steps kept of it:  ${on.inspection.history('client-1').length}`)
await Promise.all([off, on].map((broker) => broker.close({ drainTimeoutMs: 0 })))
if (globalThis.gc) {
  const [less, more] = [await heapOf(false), await heapOf(true)]
  console.log(`heap of a client that stays: ${less.toFixed(0)} bytes without, ${more.toFixed(0)} with`)
}
