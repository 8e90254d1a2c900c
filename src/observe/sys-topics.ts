import type { BrokerStats } from '../inspection.ts'
import type { Clock } from '../options.ts'

/** What topics are made from, besides the statistics. */
export interface SysReading {
  readonly stats: BrokerStats
  /** Most sessions that were online at once. */
  readonly mostOnline: number
  /** Most of the heap that was in use when it was looked at. */
  readonly maxHeapBytes: number
}

/** A topic with what is told there; `docs/metrics.md` lists the same. */
export interface SysTopic {
  readonly topic: string
  readonly unit: string
  readonly meaning: string
  readonly read: (reading: SysReading) => number | string
}

const lostToLimits = ({ dropped }: BrokerStats['counters']): number => dropped['queue-full'] + dropped['store-full']

/** CONNECT packets that were answered, as far as it is known who sent them. */
const connects = ({ sessionsAdmitted, sessionsRefused }: BrokerStats['counters']): number =>
  sessionsAdmitted + Object.values(sessionsRefused).reduce((sum, count) => sum + count, 0)

const storedMessages = ({ stats }: SysReading): number =>
  stats.retainedMessages + stats.queuedMessages + stats.inflightMessages

function counted(topic: string, unit: string, meaning: string, read: SysTopic['read']): SysTopic {
  return { topic: `$SYS/broker/${topic}`, unit, meaning, read }
}

/** The names are mosquitto's, since that is what dashboards ask for. */
export const sysTopics: readonly SysTopic[] = [
  counted('version', 'text', '`statemq version` and its number', ({ stats }) => `statemq version ${stats.version}`),
  counted(
    'uptime',
    'seconds',
    'Since the broker was made, with the word `seconds` behind it',
    ({ stats }) => `${Math.floor((stats.atMs - stats.startedAtMs) / 1000)} seconds`,
  ),
  counted('clients/connected', 'sessions', 'Sessions that are online', ({ stats }) => stats.sessions.online),
  counted('clients/active', 'sessions', 'The same under its old name', ({ stats }) => stats.sessions.online),
  counted('clients/disconnected', 'sessions', 'Sessions that are offline', ({ stats }) => stats.sessions.offline),
  counted('clients/inactive', 'sessions', 'The same under its old name', ({ stats }) => stats.sessions.offline),
  counted('clients/total', 'sessions', 'Both together', ({ stats }) => stats.sessions.online + stats.sessions.offline),
  counted('clients/maximum', 'sessions', 'Most sessions that were online at once', ({ mostOnline }) => mostOnline),
  counted(
    'clients/expired',
    'sessions',
    'Sessions whose time without a connection had passed',
    ({ stats }) => stats.counters.sessionsExpired,
  ),
  counted(
    'bytes/received',
    'bytes',
    'From clients, without TLS and WebSocket',
    ({ stats }) => stats.counters.bytesReceived,
  ),
  counted('bytes/sent', 'bytes', 'To clients, without TLS and WebSocket', ({ stats }) => stats.counters.bytesSent),
  counted('messages/received', 'packets', 'Of any type, from clients', ({ stats }) => stats.counters.packetsReceived),
  counted('messages/sent', 'packets', 'Of any type, to clients', ({ stats }) => stats.counters.packetsSent),
  counted(
    'messages/inflight',
    'messages',
    'QoS 1 and 2 that clients have not acknowledged',
    ({ stats }) => stats.inflightMessages,
  ),
  counted(
    'publish/messages/received',
    'messages',
    'PUBLISH packets of clients, and messages of the embedder',
    ({ stats }) => stats.counters.messagesReceived,
  ),
  counted(
    'publish/messages/sent',
    'messages',
    'PUBLISH packets to clients',
    ({ stats }) => stats.counters.messagesSent,
  ),
  counted('publish/messages/dropped', 'messages', 'Given up since a queue or the store was full', ({ stats }) =>
    lostToLimits(stats.counters),
  ),
  counted(
    'publish/bytes/received',
    'bytes',
    'Payloads of the messages that were received',
    ({ stats }) => stats.counters.payloadBytesReceived,
  ),
  counted(
    'publish/bytes/sent',
    'bytes',
    'Payloads of the messages that were sent',
    ({ stats }) => stats.counters.payloadBytesSent,
  ),
  counted('subscriptions/count', 'subscriptions', 'Of all sessions', ({ stats }) => stats.subscriptions),
  counted(
    'shared_subscriptions/count',
    'subscriptions',
    'Those of them that are shared',
    ({ stats }) => stats.sharedSubscriptions,
  ),
  counted(
    'retained messages/count',
    'messages',
    'Retained, without those of `$SYS`',
    ({ stats }) => stats.retainedMessages,
  ),
  counted('store/messages/count', 'messages', 'Retained, waiting for sessions or unacknowledged', storedMessages),
  counted('messages/stored', 'messages', 'The same under its old name', storedMessages),
  counted(
    'store/messages/bytes',
    'bytes',
    'Of messages that are retained or wait for sessions',
    ({ stats }) => stats.retainedBytes + stats.queuedBytes,
  ),
  counted('heap/current', 'bytes', "JavaScript's heap in use", ({ stats }) => stats.memory.heapUsedBytes),
  counted('heap/maximum', 'bytes', 'The most of it that was seen', ({ maxHeapBytes }) => maxHeapBytes),
]

/** A rate by the minute. */
export interface SysLoad {
  readonly topic: string
  readonly unit: string
  readonly meaning: string
  readonly read: (counters: BrokerStats['counters']) => number
}

function load(topic: string, unit: string, meaning: string, read: SysLoad['read']): SysLoad {
  return { topic: `$SYS/broker/load/${topic}`, unit, meaning, read }
}

/** Each under `1min`, `5min` and `15min`: how much comes in a minute, averaged over so many. */
export const sysLoads: readonly SysLoad[] = [
  load('messages/received', 'packets', 'Of any type, from clients', (counters) => counters.packetsReceived),
  load('messages/sent', 'packets', 'Of any type, to clients', (counters) => counters.packetsSent),
  load('publish/received', 'messages', 'PUBLISH packets of clients', (counters) => counters.messagesReceived),
  load('publish/sent', 'messages', 'PUBLISH packets to clients', (counters) => counters.messagesSent),
  load('publish/dropped', 'messages', 'Given up since a queue or the store was full', lostToLimits),
  load('bytes/received', 'bytes', 'From clients', (counters) => counters.bytesReceived),
  load('bytes/sent', 'bytes', 'To clients', (counters) => counters.bytesSent),
  load('connections', 'CONNECTs', 'CONNECT packets that were answered', connects),
  load('sockets', 'connections', 'Connections that were opened', (counters) => counters.connectionsOpened),
]

const loadMinutes = [1, 5, 15] as const

/** A rate over the last minutes, in which what is longer ago counts for less and less. */
class MovingAverage {
  readonly #minutes: number
  #perMinute = 0

  constructor(minutes: number) {
    this.#minutes = minutes
  }

  add(count: number, seconds: number): number {
    const now = (count * 60) / seconds
    this.#perMinute = now + Math.exp(-seconds / (this.#minutes * 60)) * (this.#perMinute - now)
    return this.#perMinute
  }
}

export interface SysTopicsOptions {
  readonly clock: Clock
  readonly intervalSeconds: number
  readonly read: () => BrokerStats
  readonly mostOnline: () => number
  readonly publish: (topic: string, payload: string) => void
}

/** Publishes what a broker has counted under `$SYS`, every few seconds: what has changed since the last time. */
export class SysTopics {
  readonly #options: SysTopicsOptions
  readonly #told = new Map<string, string>()
  readonly #loads = sysLoads.map((one) => ({
    ...one,
    before: 0,
    averages: loadMinutes.map((minutes) => ({ minutes, average: new MovingAverage(minutes) })),
  }))
  #readAtMs = 0
  #maxHeapBytes = 0
  #timer: unknown = undefined

  constructor(options: SysTopicsOptions) {
    this.#options = options
    this.#tell()
  }

  close(): void {
    this.#options.clock.clearTimeout(this.#timer)
  }

  #tell(): void {
    const { clock, intervalSeconds, read, mostOnline } = this.#options
    const stats = read()
    this.#maxHeapBytes = Math.max(this.#maxHeapBytes, stats.memory.heapUsedBytes)
    const reading = { stats, mostOnline: mostOnline(), maxHeapBytes: this.#maxHeapBytes }
    for (const topic of sysTopics) this.#publish(topic.topic, String(topic.read(reading)))
    this.#tellLoads(stats)
    const timer = clock.setTimeout(() => this.#tell(), intervalSeconds * 1000)
    // Nobody's process stays for it.
    ;(timer as { unref?: () => void } | undefined)?.unref?.()
    this.#timer = timer
  }

  #tellLoads({ atMs, startedAtMs, counters }: BrokerStats): void {
    const seconds = (atMs - (this.#readAtMs || startedAtMs)) / 1000
    this.#readAtMs = atMs
    for (const load of this.#loads) {
      const count = load.read(counters)
      for (const { minutes, average } of load.averages) {
        const perMinute = seconds > 0 ? average.add(count - load.before, seconds) : 0
        this.#publish(`${load.topic}/${minutes}min`, perMinute.toFixed(2))
      }
      load.before = count
    }
  }

  #publish(topic: string, payload: string): void {
    if (this.#told.get(topic) === payload) return
    this.#told.set(topic, payload)
    this.#options.publish(topic, payload)
  }
}
