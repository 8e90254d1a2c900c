import { setTimeout as wait } from 'node:timers/promises'

import type { BrokerStats, SlowSubscriber } from '../inspection.ts'
import type { AdminClient } from './admin-client.ts'
import { bytes, duration, facts, table } from './terminal-text.ts'

const MAX_SLOW_SUBSCRIBERS = 10
const CLEAR = '\u001b[H\u001b[2J'

export interface TopOptions {
  readonly intervalSeconds: number
  /** Looks at all; undefined: until it is interrupted. */
  readonly count: number | undefined
  readonly json: boolean
  readonly isTerminal: boolean
  readonly write: (text: string) => void
  readonly signal: AbortSignal
}

/** Looks again and again; on a terminal each look takes the place of the one before. */
export async function top(client: AdminClient, options: TopOptions): Promise<void> {
  let before: BrokerStats | undefined = undefined
  for (let looks = 1; !options.signal.aborted; looks++) {
    const stats = await client.get<BrokerStats>('/api/v1/stats')
    const { subscribers } = await client.get<{ readonly subscribers: readonly SlowSubscriber[] }>(
      '/api/v1/slow-subscribers',
      { max: MAX_SLOW_SUBSCRIBERS },
    )
    if (options.json) options.write(`${JSON.stringify({ stats, slowSubscribers: subscribers })}\n`)
    else options.write(`${options.isTerminal ? CLEAR : ''}${topText(stats, before, subscribers)}`)
    before = stats
    if (looks === options.count) return
    if (!options.json && !options.isTerminal) options.write('\n')
    await wait(options.intervalSeconds * 1000, undefined, { signal: options.signal }).catch(() => {})
  }
}

function topText(stats: BrokerStats, before: BrokerStats | undefined, slow: readonly SlowSubscriber[]): string {
  const seconds = before ? (stats.atMs - before.atMs) / 1000 : 0
  const rate = (of: (stats: BrokerStats) => number): string =>
    before && seconds > 0 ? `${Math.round((of(stats) - of(before)) / seconds)}/s` : '-'
  const { counters, sessions, memory, loopLagMs, store } = stats
  const dropped = ({ counters: { dropped: reasons } }: BrokerStats): number =>
    Object.values(reasons).reduce((sum, count) => sum + count, 0)
  const head = facts([
    ['statemq', `${stats.version}, ${stats.state} for ${duration(stats.atMs - stats.startedAtMs)}`],
    [
      'sessions',
      Object.entries(sessions)
        .map(([state, count]) => `${count} ${state}`)
        .join(', '),
    ],
    ['connections', `${stats.connections}, ${rate((one) => one.counters.connectionsOpened)} opened`],
    ['messages in', `${counters.messagesReceived}, ${rate((one) => one.counters.messagesReceived)}`],
    ['messages out', `${counters.messagesSent}, ${rate((one) => one.counters.messagesSent)}`],
    ['dropped', `${dropped(stats)}, ${rate(dropped)}`],
    ['waiting', `${stats.queuedMessages} messages, ${bytes(stats.queuedBytes)}; ${stats.inflightMessages} under way`],
    ['subscriptions', `${stats.subscriptions}, ${stats.sharedSubscriptions} shared`],
    ['retained', `${stats.retainedMessages} messages, ${bytes(stats.retainedBytes)}`],
    ['event loop', `${loopLagMs.mean.toFixed(1)} ms late, ${loopLagMs.max.toFixed(1)} ms at most`],
    ['memory', `${bytes(memory.rssBytes)}, heap ${bytes(memory.heapUsedBytes)}`],
    ['cpu', before && seconds > 0 ? `${Math.round(((stats.cpuSeconds - before.cpuSeconds) / seconds) * 100)} %` : '-'],
    ['store', store.fault === null ? store.name : `${store.name}: ${store.fault}`],
  ])
  if (slow.length === 0) return head
  const subscribers = table<SlowSubscriber>(
    [
      { title: 'SLOW SUBSCRIBER', of: ({ clientId }) => clientId },
      { title: 'WAITS', of: ({ waitingMs }) => duration(waitingMs) },
      { title: 'QUEUED', of: ({ queuedMessages }) => queuedMessages },
      { title: 'BYTES', of: ({ queuedBytes }) => queuedBytes },
      { title: 'DROPPED', of: ({ droppedMessages }) => droppedMessages },
    ],
    slow,
  )
  return `${head}\n${subscribers}`
}
