import { spawn } from 'node:child_process'
import { copyFileSync, existsSync, readFileSync, readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { join } from 'node:path'

import { open as openLmdb } from 'lmdb'
import { describe, expect, onTestFinished, test } from 'vitest'

import type { StatemqError } from '../../src/errors.ts'
import { openEnvironment } from '../../src/store/lmdb-environment.ts'
import { LmdbStore } from '../../src/store/lmdb.ts'
import { verifyStore } from '../../src/store/verify.ts'
import { contentsOf, message } from '../contracts/store-cases.ts'
import { runCommand, startCommand } from '../support/command.ts'
import { RawClient } from '../support/raw-client.ts'
import { repository } from '../support/source-files.ts'
import { tempFolder } from '../support/temp-files.ts'
import { puback, publish } from '../support/wire.ts'

const PAGE_BYTES = 4_096
const persistent = { cleanStart: false, properties: { sessionExpiryInterval: 3_600 } }

/** A broker that a shell has prepared; the result is its port. */
async function startAfter(preparation: string, directory: string): Promise<number> {
  const main = join(repository, 'src', 'cli', 'main.ts')
  const words = [process.execPath, main, '--port', '0', '--data', directory]
  const child = spawn('sh', ['-c', `${preparation}; exec "$0" "$@"`, ...words], { stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  // LMDB prints there why a commit failed.
  child.stderr.resume()
  for await (const text of createInterface({ input: child.stdout })) {
    const line = JSON.parse(text) as { msg: string; listeners: { port: number }[] }
    if (!line.msg.startsWith('statemq listens')) continue
    child.stdout.resume()
    return line.listeners[0]!.port
  }
  throw new Error('the broker ended')
}

async function connected(port: number, clientId: string): Promise<RawClient> {
  const client = await RawClient.tcp(port, { timeoutMs: 10_000 })
  onTestFinished(() => client.drop())
  await client.connect({ clientId, ...persistent })
  return client
}

/** Lets a persistent session with a subscription be, and goes away. */
async function leaveSubscriber(port: number, clientId: string, filter: string): Promise<void> {
  const client = await connected(port, clientId)
  await client.subscribe([[filter, { qos: 1 }]])
  client.drop()
}

/** Takes everything that waits for a session; returns the payloads. */
async function drain(port: number, clientId: string, count: number): Promise<string[]> {
  const client = await connected(port, clientId)
  expect(client.connack).toMatchObject({ sessionPresent: true })
  const payloads: string[] = []
  while (payloads.length < count) {
    const { payload, packetId } = await client.expectPacket('publish')
    payloads.push(payload)
    client.send(puback(packetId))
  }
  await client.expectNothing()
  client.drop()
  return payloads
}

describe('threat 9: a disk that is full', () => {
  test('what finds no room is answered 0x97 and an older client is closed; what was acknowledged is read, and makes room', async () => {
    // 2 MiB, in blocks of 512 bytes.
    const port = await startAfter("trap '' XFSZ; ulimit -f 4096", tempFolder())
    await leaveSubscriber(port, 'reader', 'q')
    const accepted: string[] = []
    const publisher = await RawClient.tcp(port, { timeoutMs: 10_000 })
    onTestFinished(() => publisher.drop())
    await publisher.connect({ clientId: 'publisher' })
    const filler = 'x'.repeat(20_000)
    let refusedWith = 0
    for (let number = 0; refusedWith === 0; number++) {
      const payload = `${number}:${filler}`
      publisher.send(publish({ topic: 'q', payload, qos: 1, packetId: 1 }))
      const answer = await publisher.next()
      if (answer === 'closed' || (answer.type !== 'puback' && answer.type !== 'disconnect'))
        throw new Error('no answer')
      if (answer.reasonCode === 0) accepted.push(payload)
      // The first one that fails on disk ends the connection; those behind it are refused.
      else refusedWith = answer.reasonCode
    }
    expect(refusedWith).toBe(0x97)
    expect(accepted.length).toBeGreaterThan(10)

    const second = await RawClient.tcp(port, { timeoutMs: 10_000 })
    await second.connect({ clientId: 'second' })
    second.send(publish({ topic: 'q', payload: filler, qos: 1, packetId: 7 }))
    await second.expectPacket('puback', { packetId: 7, reasonCode: 0x97 })
    second.drop()
    const older = await RawClient.tcp(port, { timeoutMs: 10_000, version: 4 })
    await older.connect({ version: 4, clientId: 'older' })
    older.send(publish({ version: 4, topic: 'q', payload: filler, qos: 1, packetId: 7 }))
    await older.expectClosed()

    const reader = await connected(port, 'reader')
    const read: string[] = []
    while (!accepted.every((payload) => read.includes(payload))) {
      const { payload, packetId } = await reader.expectPacket('publish')
      read.push(payload)
      reader.send(puback(packetId))
    }
    const again = await RawClient.tcp(port, { timeoutMs: 10_000 })
    onTestFinished(() => again.drop())
    await again.connect({ clientId: 'again' })
    for (let code = 0x97; code === 0x97;) {
      again.send(publish({ topic: 'q', payload: 'room', qos: 1, packetId: 1 }))
      code = (await again.expectPacket('puback')).reasonCode
    }
  })
})

describe('threat 11: bits that flipped', () => {
  test('cost the records that they are in: the log tells, the rest works, verify finds them', async () => {
    const directory = tempFolder()
    const broker = await startCommand(['--port', '0', '--data', directory])
    const { port } = broker
    for (const name of ['one', 'two']) await leaveSubscriber(port, name, `q/${name}`)
    const publisher = await connected(port, 'publisher')
    for (const name of ['one', 'two']) await publisher.publish({ topic: `q/${name}`, payload: `for-${name}`, qos: 1 })
    publisher.drop()
    // With what is in the redo log brought into the tables.
    broker.child.kill('SIGTERM')
    await broker.ended

    const file = join(directory, 'data.mdb')
    const bytes = readFileSync(file)
    for (let at = bytes.indexOf('for-one'); at >= 0; at = bytes.indexOf('for-one', at + 1)) bytes[at]! ^= 1
    writeFileSync(file, bytes)
    const verified = runCommand(['store', 'verify', '--data', directory])
    expect(verified.status).toBe(1)
    expect(verified.out).toMatch(/^batches [0-9a-f]+: .*a checksum is wrong/m)
    expect(verified.err).toMatch(/The store is damaged: 1 of \d+ records/)

    const later = await startCommand(['--port', '0', '--data', directory])
    expect(later.lines.find(({ table }) => table === 'batches')).toMatchObject({ err: { code: 'SMQ_STORE_DAMAGED' } })
    expect(await drain(later.port, 'one', 0)).toEqual([])
    expect(await drain(later.port, 'two', 1)).toEqual(['for-two'])
  })
})

/** A file with trees several pages deep, values on pages of their own, and free pages at its end. */
async function filledStore(): Promise<string> {
  const directory = tempFolder()
  const store = new LmdbStore({ directory })
  await store.open()
  const keys = Array.from({ length: 40 }, () => store.nextSessionKey())
  for (const key of keys) {
    store.putSession(key, `client-${key}`, Buffer.from('{}'))
    for (let at = 0; at < 5; at++) store.putSubscription(key, `a/${at}/${key}`, Buffer.alloc(30))
  }
  for (let at = 1; at <= 12; at++) {
    for (const key of keys) store.append(key, message(at, `${key}-${at}-${'x'.repeat((at % 4) * 2_000)}`))
    await store.durable()
  }
  for (let at = 4; at <= 12; at++) for (const key of keys) store.settle(key, at)
  await store.durable()
  await store.close()
  return directory
}

/** How reading a changed file ends: with this error, or with the records that are damaged. */
async function outcomeOf(directory: string): Promise<string | number> {
  try {
    const environment = await openEnvironment(directory, 'disk')
    try {
      return (await verifyStore(environment)).damaged
    } finally {
      await environment.close()
    }
  } catch (error) {
    return (error as StatemqError).code
  }
}

describe("threat 12: a file that LMDB can't trust ends no process", () => {
  test(
    'wherever it was cut off, it is refused, or nothing that is in use is missing',
    { timeout: 60_000 },
    async () => {
      const whole = await filledStore()
      const store = new LmdbStore({ directory: whole })
      await store.open()
      const contents = await contentsOf(store)
      await store.close()
      const file = join(whole, 'data.mdb')
      const pages = statSync(file).size / PAGE_BYTES
      const outcomes = new Set<string | number>()
      for (let cut = 0; cut < pages; cut += 1 + Math.floor(cut / 3)) {
        const directory = tempFolder()
        const copy = join(directory, 'data.mdb')
        copyFileSync(file, copy)
        truncateSync(copy, (pages - cut) * PAGE_BYTES - (cut % 2 === 0 ? 0 : 17))
        const before = readFileSync(copy)
        const outcome = await outcomeOf(directory)
        outcomes.add(outcome)
        if (outcome !== 0) {
          expect(outcome).toBe('SMQ_STORE_DAMAGED')
          expect(readFileSync(copy).equals(before)).toBe(true)
          continue
        }
        const later = new LmdbStore({ directory })
        await later.open()
        expect(await contentsOf(later)).toEqual(contents)
        await later.close()
      }
      expect(outcomes).toEqual(new Set([0, 'SMQ_STORE_DAMAGED']))
    },
  )

  test('the command says what is wrong, with status 1', () => {
    const directory = tempFolder({ 'data.mdb': 'x'.repeat(20_000) })
    const { status, err } = runCommand(['--port', '0', '--data', directory])
    expect([status, err]).toEqual([1, `statemq: The store is damaged: ${directory}/data.mdb: it is no LMDB file\n`])
  })

  test("flipped bits in LMDB's own pages are an error or a damaged record", { timeout: 60_000 }, async () => {
    const file = join(await filledStore(), 'data.mdb')
    const whole = readFileSync(file)
    const trees = Array.from({ length: whole.length / PAGE_BYTES }, (_, page) => page).filter((page) => {
      const flags = whole.readUInt16LE(page * PAGE_BYTES + 18)
      return page < 2 || ((flags === 1 || flags === 2) && whole.readUIntLE(page * PAGE_BYTES, 6) === page)
    })
    const directory = tempFolder()
    let state = 20_261_122
    const random = (limit: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return Math.floor((state / 2 ** 32) * limit)
    }
    for (let run = 0; run < 200; run++) {
      const copy = Buffer.from(whole)
      // Most of what matters of a page is at its beginning.
      const at = trees[random(trees.length)]! * PAGE_BYTES + random(random(2) === 0 ? 120 : PAGE_BYTES)
      copy[at]! ^= 1 << random(8)
      writeFileSync(join(directory, 'data.mdb'), copy)
      const outcome = await outcomeOf(directory)
      if (typeof outcome === 'string') expect(outcome).toMatch(/^SMQ_STORE_(DAMAGED|VERSION)$/)
    }
  })
})

test('threat 13: a second process is refused, whatever it wants, and the first one goes on', async () => {
  const directory = tempFolder()
  const broker = await startCommand(['--port', '0', '--data', directory])
  const words = [
    ['--port', '0'],
    ['store', 'verify'],
    ['store', 'compact'],
    ['store', 'export'],
    ['store', 'import'],
  ]
  for (const one of words) {
    const { status, err } = runCommand([...one, '--data', directory])
    expect([status, err]).toEqual([1, `statemq: Another process uses the store: ${directory}\n`])
  }
  const client = await connected(broker.port, 'client')
  await client.publish({ topic: 'a', qos: 1 })
})

test('threat 14: a store of another format is refused and left as it is', async () => {
  const directory = tempFolder()
  const store = new LmdbStore({ directory })
  await store.open()
  await store.close()
  const root = openLmdb<Buffer, Buffer>({ path: directory, encoding: 'binary', keyEncoding: 'binary', maxDbs: 15 })
  const table = root.openDB<Buffer, Buffer>({ name: 'format', encoding: 'binary', keyEncoding: 'binary' })
  await table.put(Buffer.from('format'), Buffer.from([3]))
  await root.close()
  const before = readFileSync(join(directory, 'data.mdb'))
  const { status, err } = runCommand(['--port', '0', '--data', directory])
  expect([status, err]).toEqual([
    1,
    'statemq: The store has a format that this version does not read: it has format 3, this version reads 2\n',
  ])
  expect(readFileSync(join(directory, 'data.mdb')).equals(before)).toBe(true)
})

test('threat 96: files are their owner’s only, whatever the umask', async () => {
  const directory = join(tempFolder(), 'store')
  const port = await startAfter('umask 0', directory)
  await leaveSubscriber(port, 'client', 'a')
  const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8)
  expect(mode(directory)).toBe('700')
  expect(Object.fromEntries(readdirSync(directory).map((name) => [name, mode(join(directory, name))]))).toEqual({
    'data.mdb': '600',
    'lock.mdb': '600',
    'lock.sock': '600',
    'redo-0': '600',
    'redo-1': '600',
  })
  expect(existsSync(join(directory, 'compacting'))).toBe(false)
})
