/**
 * For `node --import`: the process kills itself at the step that the variable KILL_POINT names, as
 * `received:after:3` before or after the third time. No line of the broker knows of it.
 */
import { Keeper } from '../../src/session/keeper.ts'
import { LmdbStore } from '../../src/store/lmdb.ts'
import { RedisStore } from '../../src/store/redis.ts'
import { killSteps } from './kill-point-names.ts'

type Method = (this: unknown, ...args: unknown[]) => unknown

const [step = '', when = '', count = '1'] = (process.env['KILL_POINT'] ?? '').split(':')
const place = (killSteps as Readonly<Record<string, string>>)[step]
let left = Number(count)

function die(): void {
  process.kill(process.pid, 'SIGKILL')
}

function patch(prototype: object, name: string): void {
  const methods = prototype as Record<string, Method>
  const method = methods[name]!
  methods[name] = function (...args) {
    const isNow = --left === 0
    if (isNow && when === 'before') die()
    const result = method.apply(this, args)
    if (!isNow || when !== 'after') return result
    // What is durable, and not what was only begun.
    if (result instanceof Promise) void result.then(die)
    else die()
    return result
  }
}

if (place !== undefined) {
  const [, name = ''] = place.split('.')
  for (const { prototype } of place.startsWith('Keeper') ? [Keeper] : [LmdbStore, RedisStore]) patch(prototype, name)
}
