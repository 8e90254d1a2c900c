import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'

import { nothing } from './replay-rig.ts'
import { stepsPerWalk, Storm } from './takeover-storm.ts'

async function walk(seed: number): Promise<void> {
  const storm = new Storm(seed)
  try {
    await storm.run()
    await storm.rig.finish()
    expect(await storm.rig.leftovers()).toEqual(nothing)
    storm.checkLog()
  } catch (error) {
    throw new Error(`seed ${seed}; STATEMQ_STORM_SEED=${seed} repeats it`, { cause: error })
  }
  const { rig, members } = storm
  const countOf = (type: string): number => rig.log.filter((event) => event.type === type).length
  console.log(
    `storm of seed ${seed}: ${stepsPerWalk} steps, ${members.length} connections, ${countOf('session.online')} times online, ` +
      `${countOf('session.taken-over')} takeovers, ${countOf('will.published')} wills`,
  )
}

describe('session machine: takeover storms', () => {
  beforeAll(() => {
    vi.spyOn(console, 'warn').mockImplementation(() => {})
  })
  afterAll(() => {
    vi.restoreAllMocks()
  })

  const given = process.env['STATEMQ_STORM_SEED']
  const seeds = given === undefined ? [1, 2, 3, 4, Math.floor(Math.random() * 4_294_967_296)] : [Number(given)]
  it.each(seeds)('one session per identifier at any time, and nothing left behind: seed %i', walk, 120_000)
})
