import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { StatemqError } from '../../src/errors.ts'
import { openEnvironment, type Environment } from '../../src/store/lmdb-environment.ts'
import { LmdbStore } from '../../src/store/lmdb.ts'
import type { Store } from '../../src/store/store.ts'
import { copyStore, storeFiles, tempFolder } from '../support/temp-files.ts'
import { changes, contentsOf, lineOf, message, Model, type Change, type Contents } from './store-cases.ts'

const opened: Store[] = []
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
})

function onDamage(table: string, error: unknown): never {
  throw new Error(`damage in ${table}`, { cause: error })
}

/** A store whose commits go through `around`. */
async function openThrough(
  directory: string,
  around: (commit: () => Promise<void>) => Promise<void>,
  redoBytes = 65_536,
): Promise<LmdbStore> {
  const openDirectory: typeof openEnvironment = async (path, durability, options) => {
    const environment = await openEnvironment(path, durability, { ...options, redoBytes })
    const wrapped: Environment = { ...environment, commit: (steps) => around(() => environment.commit(steps)) }
    return wrapped
  }
  const store = new LmdbStore({ directory, onDamage }, openDirectory)
  await store.open()
  opened.push(store)
  return store
}

async function contentsOfDirectory(directory: string): Promise<Contents> {
  const store = new LmdbStore({ directory, onDamage })
  await store.open()
  try {
    return await contentsOf(store)
  } finally {
    await store.close()
  }
}

async function settled(promise: Promise<void> | undefined): Promise<string> {
  return (promise ?? Promise.resolve()).then(
    () => 'durable',
    (error: unknown) => (error as StatemqError).code,
  )
}

type Pause = Change | { readonly type: 'durable' } | { readonly type: 'turn' }
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const pause: fc.Arbitrary<Pause> = fc.oneof(
  { weight: 12, arbitrary: changes },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('durable' as const) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('turn' as const) }) },
)

describe('threat 2: the power is cut', () => {
  const filesOf = (directory: string): (Buffer | undefined)[] =>
    storeFiles.map((name) => (existsSync(join(directory, name)) ? readFileSync(join(directory, name)) : undefined))

  /** Of what was written, only a part came to the disk: all up to some byte, and nothing behind it. */
  function torn(before: Buffer | undefined, after: Buffer | undefined, part: number): Buffer | undefined {
    if (before === undefined || after?.length !== before.length || after.equals(before)) return after
    const first = after.findIndex((byte, at) => byte !== before[at])
    const last = after.findLastIndex((byte, at) => byte !== before[at])
    const cut = first + Math.floor((last - first) * part)
    return Buffer.concat([after.subarray(0, cut), before.subarray(cut)])
  }

  test('at every commit of any run: what was promised is there, and of what was not, all or nothing', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(pause, { minLength: 10, maxLength: 60 }), fc.double({ min: 0, max: 0.99 }), cutAll),
      { numRuns: 8 },
    )
  })

  async function cutAll(steps: readonly Pause[], part: number): Promise<void> {
    const directory = tempFolder()
    const cuts: { readonly files: readonly (Buffer | undefined)[]; readonly expected: Contents }[] = []
    let before: Contents = { sessions: [], wills: [], retained: [] }
    const store = await openThrough(directory, async (commit) => {
      const after = model.contents()
      const old = filesOf(directory)
      await commit()
      const all = filesOf(directory)
      // The first one makes the log, which takes more than a flush.
      if (old[1] !== undefined) cuts.push({ files: all.map((file, at) => torn(old[at], file, part)), expected: before })
      cuts.push({ files: all, expected: after })
      before = after
    })
    const model = new Model(store)
    for (const step of steps) {
      if (step.type === 'turn') await turn()
      else if (step.type === 'durable') {
        const promised = model.contents()
        await store.durable()
        expect(before).toEqual(promised)
      } else model.apply(store, step)
    }
    await store.close()
    cuts.push({ files: filesOf(directory), expected: before })
    for (const { files, expected } of cuts) {
      const copy = tempFolder()
      for (const [at, file] of files.entries()) if (file) writeFileSync(join(copy, storeFiles[at]!), file)
      expect(await contentsOfDirectory(copy)).toEqual(expected)
    }
  }
})

describe('commits that fail', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  const noRoom = (): StatemqError => new StatemqError('SMQ_STORE_FULL', 'no space left on device')

  /** A store whose commits find no room while its disk has none. */
  async function onSmallDisk() {
    const directory = tempFolder()
    const disk = { hasRoom: true }
    const store = await openThrough(directory, async (commit) => {
      await turn()
      if (!disk.hasRoom) throw noRoom()
      await commit()
    })
    return { directory, store, disk }
  }

  /** There is room again: the store has found out, has written what waited, and is closed. */
  async function written(store: LmdbStore): Promise<void> {
    while (store.fault !== undefined) {
      await vi.advanceTimersByTimeAsync(1_000)
      await turn()
    }
    await store.durable()
    await store.close()
  }

  test('threat 9: whatever is done without room, a line is read as it is, and all is written once there is some', async () => {
    const step = fc.oneof(pause, fc.record({ type: fc.constant('room' as const), isThere: fc.boolean() }))
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (steps) => {
        const directory = tempFolder()
        let hasRoom = true
        const store = await openThrough(
          directory,
          async (commit) => {
            // Others go on meanwhile.
            await turn()
            if (!hasRoom) throw noRoom()
            await commit()
            // Segments that turn every few commits.
          },
          1_024,
        )
        const model = new Model(store)
        for (const one of steps) {
          if (one.type === 'turn') await turn()
          else if (one.type === 'durable') {
            const before = hasRoom && store.fault === undefined
            const outcome = await settled(store.durable())
            if (before) expect(outcome).toBe('durable')
          } else if (one.type === 'room') hasRoom = one.isThere
          else model.apply(store, one)
          for (const { key, line } of model.sessions) expect(await lineOf(store, key)).toEqual([...line.values()])
        }
        hasRoom = true
        while (store.fault !== undefined) {
          await vi.advanceTimersByTimeAsync(1_000)
          await turn()
        }
        expect(await settled(store.durable())).toBe('durable')
        await store.close()
        expect(await contentsOfDirectory(directory)).toEqual(model.contents())
      }),
      { numRuns: 30 },
    )
  })

  test('threat 9: what makes room is written while messages wait for it', async () => {
    const directory = tempFolder()
    let hasRoom = true
    let commits = 0
    const store = await openThrough(directory, async (commit) => {
      commits++
      await turn()
      if (!hasRoom) throw noRoom()
      await commit()
    })
    const key = store.nextSessionKey()
    store.putSession(key, 'c', Buffer.alloc(0))
    store.append(key, message(1, 'one'))
    await store.durable()
    hasRoom = false
    store.append(key, message(2, 'two'))
    const first = settled(store.durable())
    await turn()
    store.putReceived(key, 1)
    // Whoever comes while the commit is under way asked for the same.
    expect(await Promise.all([first, settled(store.durable())])).toEqual(['SMQ_STORE_FULL', 'SMQ_STORE_FULL'])
    expect(store.fault?.code).toBe('SMQ_STORE_FULL')
    const before = commits
    await turn()
    // It isn't tried again and again.
    expect(commits).toBe(before)
    hasRoom = true
    store.settle(key, 1)
    expect(await settled(store.durable())).toBe('durable')
    expect(store.fault?.code).toBe('SMQ_STORE_FULL')
    expect(await lineOf(store, key)).toEqual(['two'])
    while (store.fault !== undefined) {
      await vi.advanceTimersByTimeAsync(1_000)
      await turn()
    }
    await store.durable()
    await store.close()
    const later = await contentsOfDirectory(directory)
    expect(later.sessions).toMatchObject([{ line: ['two'] }])
  })

  test('threat 9: what was settled while its commit failed is not written later', async () => {
    const { directory, store, disk } = await onSmallDisk()
    const key = store.nextSessionKey()
    store.putSession(key, 'c', Buffer.alloc(0))
    await store.durable()
    disk.hasRoom = false
    for (let at = 1; at <= 3; at++) store.append(key, message(at, `${at}`))
    const outcome = settled(store.durable())
    await turn()
    store.settle(key, 2)
    expect(await outcome).toBe('SMQ_STORE_FULL')
    expect(await lineOf(store, key)).toEqual(['1', '3'])
    disk.hasRoom = true
    await written(store)
    expect((await contentsOfDirectory(directory)).sessions).toMatchObject([{ line: ['1', '3'] }])
  })

  test('threat 9: what was settled while the commit of what follows failed does not come back', async () => {
    const { directory, store, disk } = await onSmallDisk()
    const key = store.nextSessionKey()
    store.putSession(key, 'c', Buffer.alloc(0))
    store.append(key, message(1, '1'))
    await store.durable()
    disk.hasRoom = false
    store.append(key, message(2, '2'))
    const outcome = settled(store.durable())
    await turn()
    store.settle(key, 1)
    expect(await outcome).toBe('SMQ_STORE_FULL')
    expect(await lineOf(store, key)).toEqual(['2'])
    disk.hasRoom = true
    await written(store)
    expect((await contentsOfDirectory(directory)).sessions).toMatchObject([{ line: ['2'] }])
  })

  test('threat 9: a will that was sent is there until its message is', async () => {
    const { directory, store, disk } = await onSmallDisk()
    const key = store.nextSessionKey()
    store.putSession(key, 'c', Buffer.alloc(0))
    store.putWill(key, 1, Buffer.from('sent'))
    store.putWill(key, 2, Buffer.from('cancelled'))
    await store.durable()
    disk.hasRoom = false
    store.append(key, message(1, 'the will'))
    store.deleteWill(key, 1, true)
    expect(await settled(store.durable())).toBe('SMQ_STORE_FULL')
    disk.hasRoom = true
    // This need not wait.
    store.deleteWill(key, 2)
    expect(await settled(store.durable())).toBe('durable')
    const copy = tempFolder()
    copyStore(directory, copy)
    expect(await contentsOfDirectory(copy)).toMatchObject({ wills: [[key, 1, 'sent']], sessions: [{ line: [] }] })
    await written(store)
    expect(await contentsOfDirectory(directory)).toMatchObject({ wills: [], sessions: [{ line: ['the will'] }] })
  })

  test('threat 10: after an error of the medium nothing is promised any more, and it is not asked again', async () => {
    const directory = tempFolder()
    let commits = 0
    const store = await openThrough(directory, async (commit) => {
      if (++commits > 1) throw new Error('Input/output error')
      await commit()
    })
    const key = store.nextSessionKey()
    store.putSession(key, 'c', Buffer.alloc(0))
    store.append(key, message(1, 'kept'))
    await store.durable()
    store.append(key, message(2, 'lost'))
    expect(await settled(store.durable())).toBe('SMQ_STORE_FAILED')
    store.append(key, message(3, 'lost too'))
    expect(await settled(store.durable())).toBe('SMQ_STORE_FAILED')
    await vi.advanceTimersByTimeAsync(10_000)
    await turn()
    expect(await settled(store.durable())).toBe('SMQ_STORE_FAILED')
    expect([commits, store.fault?.code]).toEqual([2, 'SMQ_STORE_FAILED'])
    expect(await lineOf(store, key)).toEqual(['kept'])
    await store.close()
    expect((await contentsOfDirectory(directory)).sessions).toMatchObject([{ line: ['kept'] }])
  })

  test('a write that can never be made spoils none of the others in its commit', async () => {
    const directory = tempFolder()
    const store = await openThrough(directory, (commit) => commit())
    const key = store.nextSessionKey()
    store.putSession(key, 'c', Buffer.from('before'))
    await store.durable()
    store.putSession(key, 'c', Buffer.from('after'))
    store.putInflight(key, { packetId: 65_536, sequence: 1, qos: 2, released: true })
    expect(await settled(store.durable())).toBe('SMQ_STORE_FAILED')
    await store.close()
    expect((await contentsOfDirectory(directory)).sessions).toMatchObject([{ record: 'before', inflight: [] }])
  })
})
