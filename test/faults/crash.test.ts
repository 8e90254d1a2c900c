/**
 * The broker is killed again and again, at moments that a seed chooses, while clients publish and
 * receive; each time it starts on what is left, and they go on. Then the history is looked at.
 */
import { describe, expect, test } from 'vitest'

import { runCommand } from '../support/command.ts'
import { killPointNames } from '../support/kill-point-names.ts'
import { startRedis, type TestRedis } from '../support/redis-server.ts'
import { tempFolder } from '../support/temp-files.ts'
import { Scene, type CrashStore } from './crash-scene.ts'

const base = Number(process.env['CRASH_SEED'] ?? 1)
/** Some of them, for a closer look: `received:after,committed:before`. */
const points = process.env['CRASH_POINTS']?.split(',') ?? killPointNames

function onDisk(durability: 'disk' | 'os'): CrashStore {
  const directory = tempFolder()
  return {
    words: ['--data', directory, '--durability', durability],
    problems: async () => {
      const { status, out, err } = runCommand(['store', 'verify', '--data', directory])
      return status === 0 ? [] : [`store verify: ${out}${err}`]
    },
  }
}

/** `diesToo`: the server is killed as well, together with the broker or under it, and comes back with what it had flushed. */
async function inRedis(diesToo: boolean): Promise<{ readonly store: CrashStore; readonly redis: TestRedis }> {
  const redis = await startRedis({ appendfsync: diesToo ? 'always' : 'everysec' })
  const restart = async (): Promise<void> => {
    await redis.kill()
    await redis.start()
  }
  const store: CrashStore = {
    words: ['--redis', redis.socket, ...(diesToo ? ['--durability', 'fsync'] : [])],
    ...(diesToo
      ? {
          betweenBrokers: (random: (limit: number) => number) => (random(2) === 0 ? restart() : Promise.resolve()),
          underBroker: restart,
        }
      : {}),
    // Sessions that are gone leave no queue, and jobs of BullMQ none that failed.
    problems: async () => {
      const failed = await redis.admin.keys('statemq:*:failed')
      return failed.map((key) => `${key} has jobs that were given up`)
    },
  }
  return { store, redis }
}

/** Issue 4 asks for 200 kills on disk and 50 in Redis, half of them with a Redis that dies too. `CRASH_KILLS` for more. */
const killsOr = (usual: number): number => Number(process.env['CRASH_KILLS'] ?? usual)

describe('killed at random moments', () => {
  test.for([0, 1, 2, 3, 4, 5, 6, 7].map((at) => [base + at, at === 7 ? 'os' : 'disk'] as const))(
    'threats 1, 3, 4, 5, 6, 7, 8: nothing acknowledged is lost, QoS 2 comes once, order and wills hold (seed %i, %s)',
    { timeout: 300_000 },
    async ([seed, durability]) => {
      const scene = new Scene(seed, onDisk(durability))
      const kills = killsOr(25)
      const problems = await scene.run(kills)
      expect(problems.slice(0, 20)).toEqual([])
      expect(scene.history.accepts).toBeGreaterThan(kills)
      expect(scene.comparisons).toBeGreaterThan(kills / 5)
    },
  )

  test.for([
    [base, false],
    [base + 1, true],
  ] as const)(
    'threats 1, 3, 4, 5, 6, 7, 8, 17: the same with the store in Redis (seed %i, Redis dies too: %s)',
    { timeout: 400_000 },
    async ([seed, diesToo]) => {
      const { store, redis } = await inRedis(diesToo)
      try {
        const scene = new Scene(seed, store)
        const kills = killsOr(25)
        const problems = await scene.run(kills)
        expect(problems.slice(0, 20)).toEqual([])
        expect(scene.history.accepts).toBeGreaterThan(kills)
        expect(scene.comparisons).toBeGreaterThan(kills / 5)
      } finally {
        await redis.end()
      }
    },
  )
})

describe('killed at named points', () => {
  test('threats 1, 3, 4, 6: before and after each step, on disk', { timeout: 900_000 }, async () => {
    const scene = new Scene(base, onDisk('disk'))
    const problems = await scene.runPoints(points)
    expect(problems.slice(0, 20)).toEqual([])
  })

  test('threats 1, 3, 4, 6: before and after each step, in Redis', { timeout: 900_000 }, async () => {
    const { store, redis } = await inRedis(false)
    try {
      const scene = new Scene(base + 1, store)
      const problems = await scene.runPoints(points)
      expect(problems.slice(0, 20)).toEqual([])
    } finally {
      await redis.end()
    }
  })
})
