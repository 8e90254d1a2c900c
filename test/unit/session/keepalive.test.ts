import { expect, test } from 'vitest'

import { Keepalive, silenceTicks, type Watched } from '../../../src/session/keepalive.ts'
import { SimulatedClock } from '../../support/simulated-clock.ts'

class Client implements Watched {
  lastTick: number
  readonly maxSilentTicks: number
  dueTick = -1
  lostAtMs: number | undefined
  readonly #clock: SimulatedClock

  constructor(keepalive: Keepalive, clock: SimulatedClock, seconds: number) {
    this.#clock = clock
    this.lastTick = keepalive.tick
    this.maxSilentTicks = silenceTicks(seconds)
  }

  onSilence(): void {
    this.lostAtMs = this.#clock.nowMs()
  }
}

test('threat 46: silence of one and a half times the keepalive ends a connection: never before, half a second late', () => {
  const clock = new SimulatedClock()
  const keepalive = new Keepalive(clock)
  for (const seconds of [1, 2, 3, 10, 60, 601, 65_535]) {
    for (const phaseMs of [0, 1, 250, 499, 500]) {
      const client = new Client(keepalive, clock, seconds)
      keepalive.watch(client)
      clock.advance(phaseMs)
      const heardAtMs = clock.nowMs()
      client.lastTick = keepalive.tick
      clock.advance(seconds * 1500 + 1000)
      const silentMs = (client.lostAtMs ?? Infinity) - heardAtMs
      expect([seconds, phaseMs, silentMs >= seconds * 1500, silentMs <= seconds * 1500 + 1000]).toEqual([
        seconds,
        phaseMs,
        true,
        true,
      ])
    }
  }
})

test('a client that is heard of in time is never lost', () => {
  const clock = new SimulatedClock()
  const keepalive = new Keepalive(clock)
  const client = new Client(keepalive, clock, 10)
  keepalive.watch(client)
  for (let count = 0; count < 100; count += 1) {
    clock.advance(14_999)
    client.lastTick = keepalive.tick
  }
  expect(client.lostAtMs).toBe(undefined)
})

test('each is lost once, nobody after it left, and the sweep rests when nobody is watched', () => {
  const clock = new SimulatedClock()
  const keepalive = new Keepalive(clock)
  const [lost, left] = [new Client(keepalive, clock, 1), new Client(keepalive, clock, 1)]
  keepalive.watch(lost)
  keepalive.watch(left)
  expect(clock.pending).toBe(1)
  keepalive.unwatch(left)
  clock.advance(3000)
  const lostAtMs = lost.lostAtMs
  clock.advance(3000)
  expect([lostAtMs === undefined, lost.lostAtMs === lostAtMs, left.lostAtMs, clock.pending]).toEqual([
    false,
    true,
    undefined,
    0,
  ])
  keepalive.watch(left)
  keepalive.close()
  expect(clock.pending).toBe(0)
})

test('one that leaves while another is lost is not lost with it, and the others are still watched', () => {
  const clock = new SimulatedClock()
  const keepalive = new Keepalive(clock)
  const [first, second, third] = [1, 1, 5].map((seconds) => new Client(keepalive, clock, seconds)) as [
    Client,
    Client,
    Client,
  ]
  first.onSilence = () => {
    first.lostAtMs = clock.nowMs()
    keepalive.unwatch(second)
  }
  for (const client of [first, second, third]) keepalive.watch(client)
  clock.advance(10_000)
  expect([first.lostAtMs !== undefined, second.lostAtMs, third.lostAtMs !== undefined]).toEqual([true, undefined, true])
})
