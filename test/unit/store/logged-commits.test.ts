import { readdirSync, readlinkSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'

import type { Database } from 'lmdb'
import { expect, onTestFinished, test } from 'vitest'

import { StatemqError } from '../../../src/errors.ts'
import { Table, type Layer } from '../../../src/store/layer.ts'
import type { Step } from '../../../src/store/lmdb-environment.ts'
import { sequenceKey } from '../../../src/store/lmdb-keys.ts'
import { LoggedCommits } from '../../../src/store/logged-commits.ts'
import { readRedoLog } from '../../../src/store/redo-log.ts'
import { tempFolder } from '../../support/temp-files.ts'

/** Commits over tables that take what they are given when the test lets them, or not. */
function rig() {
  const directory = tempFolder()
  const content = new Map<string, Buffer>()
  const layers: Layer[] = []
  const database = {
    getBinary: (key: Buffer) => content.get(key.toString('hex')),
    getKeys: ({ start, end }: { readonly start: Buffer; readonly end: Buffer }) =>
      [...content.keys()]
        .map((key) => Buffer.from(key, 'hex'))
        .filter((key) => key.compare(start) >= 0 && key.compare(end) < 0),
  } as unknown as Database<Buffer, Buffer>
  const table = new Table(0, database, layers)
  const marker = new Table(1, { getBinary: () => undefined } as unknown as Database<Buffer, Buffer>, layers)
  const gate = { isOpen: true, fails: false, waiting: [] as (() => void)[], log: Buffer.alloc(0), applied: 0 }
  const faults: StatemqError[] = []
  const write = async (steps: readonly Step[]): Promise<void> => {
    if (!gate.isOpen) await new Promise<void>((resolve) => gate.waiting.push(resolve))
    if (gate.fails) throw new StatemqError('SMQ_STORE_FULL', 'no space left')
    for (const { table: into, key, record } of steps) {
      if (into === marker) Object.assign(gate, { log: record!.subarray(0, 8), applied: record!.readUIntBE(8, 6) })
      else if (record) content.set(key.toString('hex'), record)
      else content.delete(key.toString('hex'))
    }
  }
  const onFault = (fault: StatemqError): number => faults.push(fault)
  const logged = new LoggedCommits({ directory, redoBytes: 800, layers, tables: [table], marker, write, onFault })
  onTestFinished(() => logged.close())
  const put = (at: number, number: number, bytes = 300): Promise<void> =>
    logged.commit([{ table, key: sequenceKey(1, at), record: Buffer.alloc(bytes, number) }])
  const open = (): void => {
    gate.isOpen = true
    for (const go of gate.waiting.splice(0)) go()
  }
  const numbersIn = async () =>
    (await readRedoLog(directory, gate.log, gate.applied)).map(({ commits }) =>
      commits.map(({ steps }) => steps[0]!.record![0]),
    )
  const at = (place: number): number | undefined => table.getBinary(sequenceKey(1, place))?.[0]
  return { directory, logged, table, content, layers, gate, faults, put, open, numbersIn, at }
}

test('what is read is what was committed last, in whichever layer it lies', async () => {
  const { logged, table, gate, put, open, at } = rig()
  await put(1, 1)
  await logged.checkpoint()
  gate.isOpen = false
  for (const number of [2, 3]) await put(2, number)
  await put(1, 4)
  // Two fill a segment: these are in the layer behind.
  await put(2, 5)
  await logged.commit([{ table, key: sequenceKey(1, 1), record: undefined }])
  expect([at(1), at(2), at(3)]).toEqual([undefined, 5, undefined])
  expect(table.sessionKeys(1)).toEqual([sequenceKey(1, 2)])
  expect(table.sessionKeys(2)).toEqual([])
  open()
  await logged.checkpoint()
  expect([at(1), at(2), at(3)]).toEqual([undefined, 5, undefined])
})

test('a segment is not written over before what it has is in the tables', async () => {
  const { gate, put, open, numbersIn, at } = rig()
  await put(1, 1)
  gate.isOpen = false
  for (const number of [2, 3, 4]) await put(number, number)
  // Both are full.
  expect(await numbersIn()).toEqual([
    [1, 2],
    [3, 4],
  ])
  let isDone = false
  const next = put(5, 5).then(() => {
    isDone = true
  })
  for (let turns = 0; turns < 20; turns++) await turn()
  expect(isDone).toBe(false)
  open()
  await next
  expect([1, 2, 3, 4, 5].map(at)).toEqual([1, 2, 3, 4, 5])
  expect((await numbersIn()).at(-1)).toEqual([5])
})

test('threat 9: tables without room are told of, and lose nothing: the log takes what it can, and then refuses', async () => {
  const { logged, gate, faults, put, at, layers, content } = rig()
  await put(1, 1)
  gate.fails = true
  for (const number of [2, 3, 4]) await put(number, number)
  for (let turns = 0; turns < 20; turns++) await turn()
  expect(faults.map(({ code }) => code)).toEqual(['SMQ_STORE_FULL'])
  const refused = []
  for (const number of [5, 6, 7, 8]) await put(number, number).catch((error: StatemqError) => refused.push(error.code))
  expect(refused.length).toBeGreaterThan(0)
  await expect(logged.checkpoint()).rejects.toMatchObject({ code: 'SMQ_STORE_FULL' })
  expect([1, 2, 3, 4].map(at)).toEqual([1, 2, 3, 4])
  gate.fails = false
  await logged.checkpoint()
  expect(layers.map(({ size }) => size)).toEqual([0])
  expect(content.size).toBe(8 - refused.length)
  await put(9, 9)
  expect(at(9)).toBe(9)
})

test('threat 9: a log that the tables have no room to speak of is closed again, and begun later', async () => {
  const { directory, gate, put, at } = rig()
  const openFiles = (): number => {
    const targets = readdirSync('/proc/self/fd').map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`)
      } catch {
        // It was the one by which the folder is read.
        return ''
      }
    })
    return targets.filter((target) => target.startsWith(directory)).length
  }
  gate.fails = true
  for (let attempt = 0; attempt < 3; attempt++)
    await expect(put(1, 1)).rejects.toMatchObject({ code: 'SMQ_STORE_FULL' })
  expect(openFiles()).toBe(0)
  gate.fails = false
  await put(1, 1)
  expect([at(1), openFiles()]).toEqual([1, 2])
})
