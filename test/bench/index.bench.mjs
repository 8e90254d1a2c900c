/**
 * What the subscription index and the retained store cost: `node test/bench/index.bench.mjs [count …]`.
 * The filters and topics are those of the wildcard scenario of the end-to-end bench: of every four
 * subscriptions one is exact, one has `+`, one `#`, and one starts with `+`.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

import { Publication } from '../../src/messages.ts'
import { RetainedStore } from '../../src/router/retained.ts'
import { Subscription, SubscriptionIndex } from '../../src/router/subscription-index.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc')

const counts = process.argv.slice(2).map(Number)
if (counts.length === 0) counts.push(1_000, 100_000, 1_000_000)

function usedBytes() {
  for (let pass = 0; pass < 4; pass += 1) collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** Strings as a decoder makes them: flat, each its own. */
function text(string) {
  return Buffer.from(string).toString('latin1')
}

function filterOf(n) {
  const site = Math.floor(n / 1000)
  return text(
    [`s/${site}/d/${n}/temp/state`, `s/${site}/d/${n}/+/state`, `s/${site}/d/${n}/#`, `+/${site}/d/${n}/+/state`][
      n & 3
    ],
  )
}

/** CPU time, not wall time: it stays comparable on a machine that does other things as well. */
function nsPer(times, work) {
  const start = process.cpuUsage()
  work(times)
  const { user, system } = process.cpuUsage(start)
  return ((user + system) * 1000) / times
}

/** Median of seven rounds of 100,000 matches, each of a topic that exactly one filter takes. */
function matchNs(index, count) {
  const into = []
  const rounds = []
  for (let round = 0; round < 7; round += 1) {
    let found = 0
    let ns = 0
    for (let batch = 0; batch < 200; batch += 1) {
      // A broker matches a string that has just come off the wire: in the cache, its hash not yet computed.
      const names = Array.from({ length: 500 }, () => {
        const n = Math.floor(Math.random() * count)
        return text(`s/${Math.floor(n / 1000)}/d/${n}/temp/state`)
      })
      ns += nsPer(100_000, () => {
        for (const name of names) {
          into.length = 0
          found += index.match(name, into)
        }
      })
    }
    if (found !== 100_000) throw new Error(`expected one entry per match, found ${found}`)
    rounds.push(ns)
  }
  return rounds.toSorted((a, b) => a - b)[3]
}

function benchIndex(count) {
  const subscriber = {}
  const subscriptions = Array.from({ length: count })
  const before = usedBytes()
  const index = new SubscriptionIndex()
  const addNs = nsPer(count, () => {
    for (let n = 0; n < count; n += 1) {
      const subscription = new Subscription(subscriber, filterOf(n), 0, false, false, 0, 0)
      subscriptions[n] = subscription
      index.add(subscription)
    }
  })
  const bytes = (usedBytes() - before) / count
  const { nodes, capacityBytes } = index.usage
  const median = matchNs(index, count)
  const removeNs = nsPer(count, () => {
    for (const subscription of subscriptions) index.remove(subscription)
  })
  console.log(
    `index ${count}: match ${median.toFixed(0)} ns, add ${addNs.toFixed(0)} ns, remove ${removeNs.toFixed(0)} ns, ` +
      `${bytes.toFixed(0)} B per subscription of which ${(capacityBytes / count).toFixed(0)} B trie (${nodes} nodes)`,
  )
}

function benchRetained(count) {
  const store = new RetainedStore({ maxRetainedMessages: Infinity, maxRetainedBytes: Infinity }, { nowMs: () => 0 })
  const payload = Buffer.alloc(64)
  const messages = Array.from({ length: count }, (_, n) => {
    return new Publication(text(`r/${Math.floor(n / 1000)}/${n}`), 0, true, false, 0, payload, 0, 64)
  })
  const before = usedBytes()
  const setNs = nsPer(count, () => {
    for (const message of messages) store.set(message)
  })
  const bytes = (usedBytes() - before) / count
  const read = (filter) => {
    const page = []
    let total = 0
    const cursor = store.match(filter)
    for (let done = false; !done;) {
      page.length = 0
      done = cursor.read(page, 1000)
      total += page.length
    }
    return total
  }
  for (let warm = 0; warm < 5; warm += 1) read('r/#')
  const allNs = nsPer(count, () => {
    if (read('r/#') !== count) throw new Error('r/# did not find all')
  })
  const someNs = nsPer(200, (times) => {
    for (let time = 0; time < times; time += 1) read('r/5/+')
  })
  const getNs = nsPer(count, () => {
    for (const message of messages) store.get(message.topic)
  })
  console.log(
    `retained ${count}: set ${setNs.toFixed(0)} ns, get ${getNs.toFixed(0)} ns, r/# ${allNs.toFixed(0)} ns per message, ` +
      `r/5/+ ${(someNs / 1000).toFixed(1)} µs for 1000, ${bytes.toFixed(0)} B per message beyond the message`,
  )
}

for (const count of counts) benchIndex(count)
for (const count of [10_000, 100_000]) benchRetained(count)
