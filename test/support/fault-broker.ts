/**
 * A broker in a process of its own, driven over IPC by `child-broker.ts`: what it costs to hold out
 * is measured here, where nothing of the test runs. Started with `--max-old-space-size=256`.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'

import { createBroker, type Broker, type BrokerOptions, type Clock } from '../../src/index.ts'

/** What the broker's process used since the last `begin`. */
export interface Usage {
  /** Most memory resident at once, and before it began. */
  readonly peakRssBytes: number
  readonly baseRssBytes: number
  /** Longest time for which the event loop did not come round, by the clock on the wall. */
  readonly maxDelayMs: number
  /**
   * The same by the processor: the loop was late and this process was working. A machine that gives
   * its processors to others makes `maxDelayMs` long and leaves this as it is.
   */
  readonly maxBlockMs: number
  readonly cpuMs: number
}

export interface Request {
  readonly id: number
  readonly call: keyof typeof calls
  readonly argument: unknown
}

export interface Response {
  readonly id: number
  readonly result?: unknown
  readonly error?: string
}

/** Real time plus what the test has jumped; timers that a jump makes due fire in turns of their own. */
class JumpingClock implements Clock {
  #jumpedMs = 0
  readonly #timers = new Map<object, { readonly dueMs: number; timer: NodeJS.Timeout; readonly callback: () => void }>()

  nowMs(): number {
    return performance.timeOrigin + performance.now() + this.#jumpedMs
  }

  setTimeout(callback: () => void, delayMs: number): unknown {
    const key = {}
    const fire = (): void => {
      this.#timers.delete(key)
      callback()
    }
    this.#timers.set(key, { dueMs: this.nowMs() + delayMs, timer: setTimeout(fire, delayMs), callback: fire })
    return key
  }

  clearTimeout(key: unknown): void {
    const entry = this.#timers.get(key as object)
    if (entry) clearTimeout(entry.timer)
    this.#timers.delete(key as object)
  }

  jump(ms: number): void {
    this.#jumpedMs += ms
    for (const entry of this.#timers.values()) {
      clearTimeout(entry.timer)
      entry.timer = setTimeout(entry.callback, Math.max(0, entry.dueMs - this.nowMs()))
    }
  }
}

const sampleMs = 5
const clock = new JumpingClock()
const delays = monitorEventLoopDelay({ resolution: 1 })
const watched = { peakRssBytes: 0, baseRssBytes: 0, maxBlockMs: 0, cpuFromUs: 0, isOn: false }
let broker: Broker | undefined

function cpuUs(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

/** Asking takes a file descriptor, and threat 59 is that there is none. */
function rssBytes(): number {
  try {
    return process.memoryUsage.rss()
  } catch {
    return 0
  }
}

/** Looks at the memory, and at how late and how busy the loop was, again and again. */
function sample(): void {
  const [lastMs, lastCpuUs] = [performance.now(), cpuUs()]
  setTimeout(() => {
    const blockMs = Math.min(performance.now() - lastMs - sampleMs, (cpuUs() - lastCpuUs) / 1000)
    watched.maxBlockMs = Math.max(watched.maxBlockMs, blockMs)
    watched.peakRssBytes = Math.max(watched.peakRssBytes, rssBytes())
    sample()
  }, sampleMs)
}

const calls = {
  async start({ jumping, ...options }: BrokerOptions & { readonly jumping?: boolean }): Promise<number> {
    broker = createBroker({ ...options, ...(jumping ? { clock } : {}) })
    const { address } = await broker.listen({ transport: 'tcp', port: 0 })
    if (!('port' in address)) throw new Error('a listener without a port')
    return address.port
  },

  begin(): void {
    const rss = rssBytes()
    Object.assign(watched, { peakRssBytes: rss, baseRssBytes: rss, maxBlockMs: 0, cpuFromUs: cpuUs() })
    delays.reset()
    delays.enable()
    if (!watched.isOn) sample()
    watched.isOn = true
  },

  usage(): Usage {
    const { peakRssBytes, baseRssBytes, maxBlockMs } = watched
    return {
      peakRssBytes: Math.max(peakRssBytes, rssBytes()),
      baseRssBytes,
      maxDelayMs: delays.max / 1e6,
      maxBlockMs,
      cpuMs: (cpuUs() - watched.cpuFromUs) / 1000,
    }
  },

  sessions(): number {
    return broker?.sessions.size ?? 0
  },

  async keep({ count, expirySeconds }: { readonly count: number; readonly expirySeconds: number }): Promise<void> {
    const keepOne = async (number: number): Promise<void> => {
      const client = await broker!.client({ clientId: `kept-${number}`, sessionExpiryIntervalSeconds: expirySeconds })
      client.abort()
    }
    for (let made = 0; made < count; made += 1000) {
      await Promise.all(Array.from({ length: Math.min(1000, count - made) }, (_, n) => keepOne(made + n)))
    }
  },

  jump(ms: number): void {
    clock.jump(ms)
  },

  /** The wall clock is set: everything that asks `Date` sees another time from now on. */
  stepDate(ms: number): void {
    const OldDate = Date
    const now = (): number => OldDate.now() + ms
    globalThis.Date = class extends OldDate {
      constructor(value?: number | string) {
        super(value ?? now())
      }
      static override now(): number {
        return now()
      }
    } as DateConstructor
  },

  async expired({ clientId }: { readonly clientId: string }): Promise<void> {
    await new Promise<void>((resolve) => {
      broker!.events$.subscribe((event) => {
        if (event.type === 'session.expired' && event.clientId === clientId) resolve()
      })
    })
  },

  async stop(): Promise<void> {
    await broker?.close({ drainTimeoutMs: 500 })
  },
}

process.on('message', ({ id, call, argument }: Request) => {
  const run = async (): Promise<unknown> => (calls[call] as (argument: unknown) => unknown)(argument)
  run().then(
    (result) => process.send?.({ id, result } satisfies Response),
    (error: unknown) => process.send?.({ id, error: String(error) } satisfies Response),
  )
})
process.on('disconnect', () => process.exit(0))
process.send?.({ id: 0 } satisfies Response)
