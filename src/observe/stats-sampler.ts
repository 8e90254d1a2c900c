import { monitorEventLoopDelay } from 'node:perf_hooks'

import type { BrokerStats, StatsSample } from '../inspection.ts'
import type { Clock } from '../options.ts'

/** Seconds between samples, and how many of them are kept: an hour. */
const SAMPLE_SECONDS = 5
const KEPT_SAMPLES = 720

/** What is measured is how far apart the ticks of a timer are, which is this without any delay. */
const TICK_MS = 20

type Tallies = Pick<
  BrokerStats['counters'],
  'messagesReceived' | 'messagesSent' | 'bytesReceived' | 'bytesSent' | 'sessionsAdmitted'
> & { readonly dropped: number; readonly cpuSeconds: number; readonly atMs: number }

/** Takes a sample of a broker every few seconds, from when it is told to begin until it is closed. */
export class StatsSampler {
  readonly #clock: Clock
  readonly #read: () => BrokerStats
  readonly #delay = monitorEventLoopDelay({ resolution: TICK_MS })
  /** A ring: the oldest is at `#next` once it is full. */
  readonly #samples: StatsSample[] = []
  #next = 0
  #before: Tallies | undefined = undefined
  #timer: unknown = undefined
  #isClosed = false

  constructor(clock: Clock, read: () => BrokerStats) {
    this.#clock = clock
    this.#read = read
  }

  begin(): void {
    if (this.#before !== undefined || this.#isClosed) return
    this.#before = talliesOf(this.#read())
    this.#delay.enable()
    this.#schedule()
  }

  /** Oldest first. */
  get history(): readonly StatsSample[] {
    return [...this.#samples.slice(this.#next), ...this.#samples.slice(0, this.#next)]
  }

  /** Since the last sample. */
  get loopLagMs(): BrokerStats['loopLagMs'] {
    const delay = this.#delay
    // Before its first tick it answers with what is none.
    if (delay.count === 0) return { mean: 0, p99: 0, max: 0 }
    return { mean: beyondTick(delay.mean), p99: beyondTick(delay.percentile(99)), max: beyondTick(delay.max) }
  }

  close(): void {
    this.#isClosed = true
    this.#clock.clearTimeout(this.#timer)
    this.#delay.disable()
  }

  #schedule(): void {
    const timer = this.#clock.setTimeout(() => this.#sample(), SAMPLE_SECONDS * 1000)
    // Nobody's process stays for it.
    ;(timer as { unref?: () => void } | undefined)?.unref?.()
    this.#timer = timer
  }

  #sample(): void {
    const stats = this.#read()
    const tallies = talliesOf(stats)
    this.#samples[this.#next] = sampleOf(stats, tallies, this.#before!)
    this.#next = (this.#next + 1) % KEPT_SAMPLES
    this.#before = tallies
    this.#delay.reset()
    this.#schedule()
  }
}

function beyondTick(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1_000_000 - TICK_MS)
}

function talliesOf({ atMs, cpuSeconds, counters }: BrokerStats): Tallies {
  const { messagesReceived, messagesSent, bytesReceived, bytesSent, sessionsAdmitted } = counters
  const dropped = Object.values(counters.dropped).reduce((sum, count) => sum + count, 0)
  return { atMs, cpuSeconds, messagesReceived, messagesSent, bytesReceived, bytesSent, sessionsAdmitted, dropped }
}

function sampleOf(stats: BrokerStats, now: Tallies, before: Tallies): StatsSample {
  const seconds = (now.atMs - before.atMs) / 1000
  const rate = (name: keyof Tallies): number => (seconds > 0 ? (now[name] - before[name]) / seconds : 0)
  return {
    atMs: now.atMs,
    seconds,
    messagesReceivedPerSecond: rate('messagesReceived'),
    messagesSentPerSecond: rate('messagesSent'),
    bytesReceivedPerSecond: rate('bytesReceived'),
    bytesSentPerSecond: rate('bytesSent'),
    droppedPerSecond: rate('dropped'),
    connectsPerSecond: rate('sessionsAdmitted'),
    sessionsOnline: stats.sessions.online,
    sessionsOffline: stats.sessions.offline,
    queuedMessages: stats.queuedMessages,
    inflightMessages: stats.inflightMessages,
    loopLagMaxMs: stats.loopLagMs.max,
    loopLagMeanMs: stats.loopLagMs.mean,
    rssBytes: stats.memory.rssBytes,
    heapUsedBytes: stats.memory.heapUsedBytes,
    cpuShare: rate('cpuSeconds'),
  }
}
