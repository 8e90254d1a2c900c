/** The redo log of the embedded store, with segments so small that they turn all the time. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { openEnvironment, type Environment, type Step } from '../../src/store/lmdb-environment.ts'
import { numberOf } from '../../src/store/lmdb-keys.ts'
import { COUNTER_KEY, KEYS, keyOf, numberRecord, recordsAfter } from '../support/redo-commits.ts'
import { repository } from '../support/source-files.ts'
import { copyStore, tempFolder } from '../support/temp-files.ts'

const writer = join(repository, 'test', 'support', 'redo-writer.ts')

function recordsOf({ tables }: Environment): Map<string, string> {
  const records = new Map<string, string>()
  for (const name of ['batches', 'received'] as const) {
    for (const { key, value } of tables[name].getRange({ limit: 2 * KEYS }))
      records.set(`${name} ${key.toString('hex')}`, value.toString('hex'))
  }
  return records
}

test(
  'threat 1: a process that is killed at any moment leaves all that it promised, and each commit whole',
  { timeout: 120_000 },
  async () => {
    const directory = tempFolder()
    let last = 0
    for (let round = 0; round < 25; round++) {
      const child = spawn(process.execPath, [writer, directory, String(last + 1)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const ended = once(child, 'exit')
      let promised = last
      // At another commit each time: the segments turn every fifteen or so.
      const end = last + 1 + ((round * 37) % 150)
      for await (const line of createInterface({ input: child.stdout })) {
        promised = Number(line)
        if (promised >= end) child.kill('SIGKILL')
      }
      expect(await ended).toEqual([null, 'SIGKILL'])
      const environment = await openEnvironment(directory, 'disk', {
        onDamage: (_, error) => expect(error).toBeUndefined(),
      })
      const counter = environment.tables.counters.getBinary(COUNTER_KEY)!
      last = numberOf(counter)
      expect(last).toBeGreaterThanOrEqual(promised)
      expect(recordsOf(environment)).toEqual(recordsAfter(last))
      await environment.close()
    }
    expect(last).toBeGreaterThan(1_000)
  },
)

/** A store with commits in both segments, as a process that was killed leaves it. */
async function left(): Promise<string> {
  const directory = tempFolder()
  const environment = await openEnvironment(directory, 'disk', { redoBytes: 8_192 })
  for (let number = 1; number <= 12; number++) {
    const { counters, batches } = environment.tables
    const steps: Step[] = [
      { table: counters, key: COUNTER_KEY, record: numberRecord(number) },
      { table: batches, key: keyOf(number), record: Buffer.alloc(900, number) },
    ]
    await environment.commit(steps)
  }
  const copy = tempFolder()
  // The second segment has just begun, and the first is on its way into the tables or there.
  copyStore(directory, copy)
  await environment.close()
  return copy
}

async function opened(directory: string) {
  const damage: string[] = []
  const environment = await openEnvironment(directory, 'disk', { onDamage: (table) => damage.push(table) })
  const numbers = [...environment.tables.batches.getRange({ limit: 100 })].map(({ value }) => value[0])
  await environment.close()
  return { damage, numbers }
}

test('threat 11: a commit in which bits flipped is told of, and the others are there', async () => {
  const directory = await left()
  const file = join(directory, 'redo-0')
  const bytes = readFileSync(file)
  const at = bytes.indexOf(Buffer.alloc(900, 10))
  bytes[at]! ^= 1
  writeFileSync(file, bytes)
  const { damage, numbers } = await opened(directory)
  expect(damage).toEqual(['redo'])
  expect(numbers).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12])
})

test('a log that is not of this store, or of another time of it, is left alone', async () => {
  const directory = await left()
  const other = await left()
  copyStore(other, directory)
  rmSync(join(directory, 'data.mdb'))
  // The tables know of no log.
  expect((await opened(directory)).numbers).toEqual([])
})

test('a commit that is larger than a segment, and tables that are read behind it', async () => {
  const directory = tempFolder()
  const environment = await openEnvironment(directory, 'disk', { redoBytes: 8_192 })
  const { batches } = environment.tables
  for (const [number, bytes] of [
    [1, 100],
    [2, 100_000],
    [3, 100],
    [1, 50],
  ] as const) {
    await environment.commit([{ table: batches, key: keyOf(number), record: Buffer.alloc(bytes, number) }])
    expect(batches.getBinary(keyOf(number))?.length).toBe(bytes)
  }
  await environment.commit([{ table: batches, key: keyOf(2), record: undefined }])
  expect(batches.getBinary(keyOf(2))).toBeUndefined()
  expect(
    batches
      .sessionKeys(1)
      .map((key) => key.toString('hex'))
      .sort(),
  ).toEqual([1, 3].map((number) => keyOf(number).toString('hex')))
  const copy = tempFolder()
  copyStore(directory, copy)
  await environment.close()
  expect((await opened(copy)).numbers).toEqual([1, 3])
  expect((await opened(directory)).numbers).toEqual([1, 3])
})
