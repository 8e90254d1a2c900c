import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'

import { sessionMachine } from '../../machines/index.ts'
import { causes, impossible, noRights } from './replay-causes.ts'
import { everyEdge, shortestPaths, simplePaths, snapshotAfter, stepNames } from './session-graph.ts'
import { eventOf, leavesOf, outcomeOf } from './session-model.ts'
import type { StepName } from './session-model.ts'
import { Replay } from './session-replay.ts'

/** Most steps of a simple path; one more makes them five times as many. From 4 on all edges are replayed too. */
const maxSimpleSteps = Number(process.env['STATEMQ_REPLAY_STEPS'] ?? 3)
/** Far above what it takes: two cores that others use too are slow. */
const timeLimitMs = 300_000

/** Types of events that reached a chart in some replay, from outside or at all. */
const seen = new Set<string>()
const caused = new Set<string>()

/** Replays them all; says how many they were and how much of them no outside could bring about. */
async function replayAll(what: string, paths: readonly (readonly StepName[])[], hooksThrow = false): Promise<void> {
  const startMs = performance.now()
  let steps = 0
  let direct = 0
  for (const path of paths) {
    const replay = new Replay(path, { hooksThrow })
    await replay.run()
    steps += path.length
    direct += replay.direct
    for (const type of replay.seen) seen.add(type)
    for (const type of replay.caused) caused.add(type)
  }
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1)
  console.log(`replayed ${paths.length} ${what}: ${steps} steps, ${direct} of them sent to the actor, in ${seconds} s`)
}

/** The step of a path that cannot be replayed at all, and why; undefined where all of them can. */
function obstacle(path: readonly StepName[]): string | undefined {
  for (const [at, step] of path.entries()) {
    const snapshot = snapshotAfter(path.slice(0, at))
    const why = impossible(snapshot, step)
    if (why !== undefined) return `${step} in ${leavesOf(snapshot.value)}: ${why}`
  }
  return undefined
}

const edges = everyEdge()

/** What the regions of `online` do at once they do independently: one of them away from its rest at a time will do. */
function isNearRest(path: readonly StepName[]): boolean {
  if (maxSimpleSteps > 3) return true
  const [, inside] = /^online\((.*)\)$/.exec(leavesOf(snapshotAfter(path.slice(0, -1)).value)) ?? []
  return inside === undefined || inside.split(', ').filter((leaf) => leaf !== 'valid' && leaf !== 'flowing').length < 2
}

/** What only the actor itself could be sent, and what it has no use for, shows no more than the table does. */
function showsSomething(path: readonly StepName[]): boolean {
  const last = path.at(-1)
  if (last === undefined) return false
  const before = snapshotAfter(path.slice(0, -1))
  return causes[last].never?.(before, []) === undefined || !outcomeOf(before, last).ignored
}

const isReplayable = (path: readonly StepName[]): boolean => obstacle(path) === undefined

describe('session machine: replayed on a broker', () => {
  beforeAll(() => {
    // XState's development build warns whenever an action makes another actor, as the one that arms a will does.
    vi.spyOn(console, 'warn').mockImplementation(() => {})
  })
  afterAll(() => {
    vi.restoreAllMocks()
  })

  it('leaves out three kinds of edges only', () => {
    const leftOut = ['valid', 'expiring', 'grace', 'lapsed'].map(
      (authority) =>
        `auth 0x19 in online(${authority}, throttled): a re-authentication begins with the data of its AUTH, which only a packet brings to the host`,
    )
    const obstacles = edges.map(obstacle).filter((why) => !noRights.some((reason) => why?.endsWith(reason)))
    expect(new Set(obstacles)).toEqual(new Set([undefined, ...leftOut]))
    expect(shortestPaths.filter((path) => !isReplayable(path))).toEqual([])
  })

  it('the shortest path to every vertex', () => replayAll('shortest paths', shortestPaths), timeLimitMs)

  it(
    'the shortest path to every vertex and then each thing that may happen there',
    () =>
      replayAll(
        'edges',
        edges.filter((path) => isReplayable(path) && isNearRest(path) && showsSomething(path)),
      ),
    timeLimitMs,
  )

  it(
    `every path of at most ${maxSimpleSteps} steps that comes to no vertex twice`,
    () => replayAll('simple paths', simplePaths(maxSimpleSteps).filter(isReplayable)),
    timeLimitMs,
  )

  it(
    'a hook that throws leads where the failure of its actor leads',
    () => {
      const failing = edges.filter((path) => path.at(-1)?.endsWith(': fails') === true)
      return replayAll('paths to a hook that throws', failing, true)
    },
    timeLimitMs,
  )

  it('has a cause for every step of the model, and a step for every event of the machine', () => {
    expect(Object.keys(causes).toSorted()).toEqual([...stepNames].toSorted())
    const named = new Set<string>(sessionMachine.events.filter((type) => !type.includes('*')))
    expect(new Set<string>(stepNames.map((step) => eventOf(step).type))).toEqual(named)
    // Whatever the machine can be given has reached it in a replay …
    expect(seen).toEqual(named)
    // … from outside, except what the chart raises itself, and that the host lets no actor of the chart fail.
    expect(
      [...named]
        .filter((type) => !caused.has(type))
        .map((type) => type.split('.session')[0])
        .toSorted((a = '', b = '') => a.localeCompare(b)),
    ).toEqual([
      'grant.renewed',
      'reauthentication.failed',
      'xstate.error.actor.0',
      'xstate.error.actor.0',
      'xstate.error.actor.0',
    ])
  })
})
