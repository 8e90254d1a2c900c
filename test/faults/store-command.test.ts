import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { LmdbStore } from '../../src/store/lmdb.ts'
import { compactStore } from '../../src/store/maintenance.ts'
import { contentsOf, message, publicationOf, type Contents } from '../contracts/store-cases.ts'
import { runCommand } from '../support/command.ts'
import { repository } from '../support/source-files.ts'
import { tempFolder } from '../support/temp-files.ts'

const store = (command: string, ...words: string[]): ReturnType<typeof runCommand> =>
  runCommand(['store', command, ...words])

async function opened<T>(directory: string, action: (store: LmdbStore) => Promise<T>): Promise<T> {
  const one = new LmdbStore({ directory })
  await one.open()
  try {
    return await action(one)
  } finally {
    await one.close()
  }
}

const contents = (directory: string): Promise<Contents> => opened(directory, contentsOf)

/** Two sessions with a bit of everything. */
async function filled(): Promise<string> {
  const directory = tempFolder()
  await opened(directory, async (one) => {
    const keys = [one.nextSessionKey(), one.nextSessionKey()]
    const shared = message(0, 'shared by ä').publication
    shared.properties = {
      payloadFormatIndicator: true,
      messageExpiryIntervalSeconds: 4_294_967_295,
      contentType: 'text/plain',
      responseTopic: 'r',
      correlationData: Buffer.from([0, 255]),
      userProperties: [
        ['k', '1'],
        ['k', '2'],
      ],
    }
    shared.expiresAtMs = 1_790_000_000_123.5
    shared.publisher = 'somebody'
    for (const key of keys) {
      one.putSession(key, `client ${key} "ü"`, Buffer.from('{"a":1}'))
      one.putSubscription(key, 'a/#', Buffer.from([0, 1, 255]))
      one.putReceived(key, 65_535)
      for (let at = 1; at <= 4; at++) one.append(key, message(at, `${key}-${at}`, { subscriptionIdentifiers: [7, 8] }))
      one.append(key, message(5, '', { publication: shared, qos: 2, retain: true, shared: 'g/a/#' }))
      one.putInflight(key, { packetId: 3, sequence: 5, qos: 2, released: false })
      one.putWill(key, 2, Buffer.from('will'))
    }
    one.putRetained(publicationOf('r/1', 'kept'))
    await one.durable()
    for (const key of keys) one.settle(key, 2)
    await one.durable()
  })
  return directory
}

describe('statemq store', () => {
  test('verify counts what is there', async () => {
    const { status, out, err } = store('verify', '--data', await filled())
    expect(err).toBe('')
    expect(out).toMatch(
      /^2 sessions, 2 subscriptions, 8 queued messages, 1 retained messages, 2 wills\nall of \d+ records are whole\n$/,
    )
    expect(status).toBe(0)
  })

  test('what export writes, import reads: the same store, also through pipes', async () => {
    const directory = await filled()
    const expected = await contents(directory)
    const file = join(tempFolder(), 'export.jsonl')
    expect(store('export', file, '--data', directory)).toEqual({ status: 0, out: '', err: '' })
    expect((statSync(file).mode & 0o777).toString(8)).toBe('600')
    const [first, ...lines] = readFileSync(file, 'utf8').trimEnd().split('\n')
    expect(first).toBe('{"type":"statemq-store","version":1}')
    expect(JSON.parse(lines.at(-1)!)).toEqual({ type: 'end', records: lines.length - 1 })

    const copy = join(tempFolder(), 'new')
    expect(store('import', file, '--data', copy)).toEqual({
      status: 0,
      out: `${lines.length - 1} records imported\n`,
      err: '',
    })
    expect(await contents(copy)).toEqual(expected)
    expect(readdirSync(copy).sort()).toEqual(['data.mdb', 'lock.mdb'])
    expect((statSync(join(copy, 'data.mdb')).mode & 0o777).toString(8)).toBe('600')

    const piped = tempFolder()
    const command = `"$0" "$1" store export --data "$2" | "$0" "$1" store import --data "$3"`
    const main = join(repository, 'src', 'cli', 'main.ts')
    const { status, stderr } = spawnSync('sh', ['-c', command, process.execPath, main, copy, piped])
    expect([status, stderr.toString()]).toEqual([0, ''])
    expect(await contents(piped)).toEqual(expected)
    // Numbers of sessions go on where they were.
    expect(await opened(piped, async (one) => one.nextSessionKey())).toBe(3)
  })

  test('import takes all or nothing, and only where nothing is', async () => {
    const directory = await filled()
    const file = join(tempFolder(), 'export.jsonl')
    store('export', file, '--data', directory)
    const text = readFileSync(file, 'utf8')
    const before = await contents(directory)
    const occupied = store('import', file, '--data', directory)
    expect([occupied.status, occupied.err]).toEqual([2, expect.stringContaining('the store is not empty')])
    expect(await contents(directory)).toEqual(before)

    const broken = [
      [text.slice(0, text.length / 2), /line \d+ of the export: it is not JSON/],
      [text.replace(/\{"type":"end".*\n/, ''), /its end is missing/],
      [text.replace('"qos":2', '"qos":3'), /line \d+ of the export: qos: /],
      [text.replace('"version":1', '"version":2'), /the export has version 2, this one reads 1/],
      ['{}', /line 1 of the export: this is no export of a store/],
    ] as const
    for (const [content, problem] of broken) {
      const target = tempFolder()
      writeFileSync(file, content)
      const { status, err } = store('import', file, '--data', target)
      expect([status, err]).toEqual([1, expect.stringMatching(problem)])
      expect(readdirSync(target)).toEqual([])
    }
  })

  test('compact leaves what is there, in a file as small as that', async () => {
    const directory = await filled()
    let key = 0
    await opened(directory, async (one) => {
      key = one.nextSessionKey()
      one.putSession(key, 'heavy', Buffer.alloc(2_000_000))
      await one.durable()
    })
    // Another process: what is put and taken away before it comes into the tables leaves no room behind.
    await opened(directory, async (one) => {
      one.deleteSession(key)
      await one.durable()
    })
    const expected = await contents(directory)
    const before = statSync(join(directory, 'data.mdb')).size
    const { status, out, err } = store('compact', '--data', directory)
    const after = statSync(join(directory, 'data.mdb')).size
    expect([status, out, err]).toEqual([0, `${before} bytes before, ${after} bytes now\n`, ''])
    expect(after).toBeLessThan(before / 10)
    expect((statSync(join(directory, 'data.mdb')).mode & 0o777).toString(8)).toBe('600')
    expect(existsSync(join(directory, 'compacting'))).toBe(false)
    expect(await contents(directory)).toEqual(expected)
  })

  test('compact tells how much is written, of about how much', async () => {
    const directory = tempFolder()
    await opened(directory, async (one) => {
      const keys = Array.from({ length: 100 }, () => one.nextSessionKey())
      for (const key of keys) one.putSession(key, `client ${key}`, Buffer.alloc(200_000, key))
      await one.durable()
      for (const key of keys.slice(10)) one.deleteSession(key)
      await one.durable()
    })
    const told: (readonly [written: number, expected: number])[] = []
    const { bytesAfter } = await compactStore(directory, (...progress) => told.push(progress))
    const written = told.map(([bytes]) => bytes)
    expect(written[0]).toBe(0)
    expect(written).toEqual(written.toSorted((a, b) => a - b))
    expect(written.at(-1)).toBe(bytesAfter)
    const [expected, ...others] = new Set(told.map(([, bytes]) => bytes))
    expect(others).toEqual([])
    expect(Math.abs(expected! - bytesAfter)).toBeLessThan(bytesAfter / 20)
  })

  test('a damaged record is told of, and is not exported', async () => {
    const directory = await filled()
    const file = join(directory, 'data.mdb')
    const bytes = readFileSync(file)
    for (let at = bytes.indexOf('1-3'); at >= 0; at = bytes.indexOf('1-3', at + 1)) bytes[at]! ^= 1
    writeFileSync(file, bytes)
    const digest = createHash('sha256').update(bytes).digest('hex')
    const verified = store('verify', '--data', directory)
    expect([verified.status, verified.out]).toEqual([1, expect.stringMatching(/^batches [0-9a-f]{24}: .*checksum/m)])
    const exported = store('export', '--data', directory)
    expect([exported.status, exported.err]).toEqual([1, expect.stringMatching(/The store is damaged: batches/)])
    expect(createHash('sha256').update(readFileSync(file)).digest('hex')).toBe(digest)
  })

  test('says what is missing, with status 2', () => {
    const nowhere = join(tempFolder(), 'no')
    for (const command of ['verify', 'compact', 'export']) {
      const { status, err } = store(command, '--data', nowhere)
      expect([status, err]).toEqual([2, expect.stringContaining(`there is no store in ${nowhere}`)])
    }
    expect(existsSync(nowhere)).toBe(false)
    expect(store('verify').status).toBe(2)
  })
})

test('an import from a file that is none says so, and makes no directory for it', () => {
  const folder = tempFolder()
  const directory = join(folder, 'new')
  for (const [file, why] of [
    [join(folder, 'missing.jsonl'), /missing\.jsonl can't be read: ENOENT/],
    [folder, /can't be read: it is a directory/],
  ] as const) {
    const { status, out, err } = store('import', file, '--data', directory)
    expect({ status, out }).toEqual({ status: 2, out: '' })
    expect(err).toMatch(why)
    expect(err).not.toMatch(/^\s+at /m)
  }
  expect(existsSync(directory)).toBe(false)
})
