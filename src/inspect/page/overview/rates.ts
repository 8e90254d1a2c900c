import type { BrokerCounters, BrokerStats } from '../../../inspection.ts'

export interface Rates {
  readonly received: number
  readonly sent: number
  readonly bytesReceived: number
  readonly bytesSent: number
  readonly connects: number
  readonly dropped: number
  /** Share of one processor. */
  readonly cpu: number
}

export function total(some: Readonly<Record<string, number>>): number {
  return Object.values(some).reduce((sum, one) => sum + one, 0)
}

/** What happened per second between the first and the last of the readings; undefined: there is one only. */
export function ratesOf(readings: readonly BrokerStats[]): Rates | undefined {
  const [first] = readings
  const last = readings.at(-1)
  if (!first || !last || last.atMs <= first.atMs) return undefined
  const seconds = (last.atMs - first.atMs) / 1_000
  const of = (count: (counters: BrokerCounters) => number): number =>
    Math.max(0, count(last.counters) - count(first.counters)) / seconds
  return {
    received: of(({ messagesReceived }) => messagesReceived),
    sent: of(({ messagesSent }) => messagesSent),
    bytesReceived: of(({ bytesReceived }) => bytesReceived),
    bytesSent: of(({ bytesSent }) => bytesSent),
    connects: of(({ sessionsAdmitted }) => sessionsAdmitted),
    dropped: of(({ dropped }) => total(dropped)),
    cpu: Math.max(0, last.cpuSeconds - first.cpuSeconds) / seconds,
  }
}
