import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { StatemqError } from '../../../src/errors.ts'
import { GroupCommit } from '../../../src/store/group-commit.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

/** A group whose commits end at once, and what each of them held. */
function groupOf(gatherMs = 0): { readonly group: GroupCommit; readonly commits: string[][] } {
  const commits: string[][] = []
  const group = new GroupCommit({
    commit: async (writes) => {
      commits.push([...writes.retained.keys()])
    },
    onCommitted: () => {},
    gatherMs,
    faultOf: () => new StatemqError('SMQ_STORE_FAILED', 'not in this test'),
  })
  return { group, commits }
}

const touch = (group: GroupCommit, topic: string): void => {
  group.writes.retained.set(topic, undefined)
}

describe('writes that nobody waits for', () => {
  it('are committed together, 5 ms after the first of them', async () => {
    const { group, commits } = groupOf()
    touch(group, 'a')
    touch(group, 'b')
    await vi.advanceTimersByTimeAsync(4)
    expect(commits).toEqual([])
    await vi.advanceTimersByTimeAsync(2)
    expect(commits).toEqual([['a', 'b']])
  })

  it('go with what somebody waits for, at the end of that turn', async () => {
    const { group, commits } = groupOf()
    touch(group, 'a')
    const durable = group.durable()
    await vi.advanceTimersByTimeAsync(1)
    await durable
    expect(commits).toEqual([['a']])
    expect(group.durable()).toBeUndefined()
  })

  it('linger anew when they came during a commit', async () => {
    const { group, commits } = groupOf()
    touch(group, 'a')
    const durable = group.durable()
    vi.advanceTimersToNextTimer()
    touch(group, 'b')
    await durable
    expect(commits).toEqual([['a']])
    await vi.advanceTimersByTimeAsync(21)
    expect(commits).toEqual([['a'], ['b']])
  })
})

describe('writes that belong together', () => {
  it('are one commit, however long they take, and whoever waits for one of them waits for all', async () => {
    const { group, commits } = groupOf()
    const first = group.together()
    const second = group.together()
    touch(group, 'a')
    const durable = group.durable()
    await vi.advanceTimersByTimeAsync(100)
    first()
    // Once is enough.
    first()
    touch(group, 'b')
    await vi.advanceTimersByTimeAsync(100)
    expect(commits).toEqual([])
    second()
    await vi.advanceTimersByTimeAsync(1)
    await durable
    expect(commits).toEqual([['a', 'b']])
  })
})

describe('a store whose commits cost much by themselves', () => {
  it('waits a little after each, for what those send who are told of it', async () => {
    const { group, commits } = groupOf(3)
    touch(group, 'a')
    const first = group.durable()
    vi.advanceTimersToNextTimer()
    touch(group, 'b')
    const second = group.durable()
    await first
    await vi.advanceTimersByTimeAsync(1)
    touch(group, 'c')
    expect(commits).toEqual([['a']])
    await vi.advanceTimersByTimeAsync(3)
    await second
    expect(commits).toEqual([['a'], ['b', 'c']])
    // Nobody came before: nothing to wait for.
    touch(group, 'd')
    const third = group.durable()
    vi.advanceTimersToNextTimer()
    await third
    expect(commits.at(-1)).toEqual(['d'])
  })
})
