import { useRef, useState } from 'preact/hooks'

import type { BrokerStats, StatsSample, TransitionFlow } from '../../../inspection.ts'
import { read } from '../shell/api.ts'
import { useLive } from '../shell/live.ts'

export interface Census {
  readonly atMs: number
  readonly states: Readonly<Record<string, number>>
  readonly flows: readonly TransitionFlow[]
}

/** What the overview shows: the last readings, oldest first, so that rates are those of some seconds. */
export interface Readings {
  readonly stats: readonly BrokerStats[]
  readonly census: readonly Census[]
  readonly samples: readonly StatsSample[]
  readonly samplesError: unknown
}

/** Rates over so many readings, one a second: steady enough to be read. */
const kept = 5
const sampleEveryMs = 10_000

const none: Readings = { stats: [], census: [], samples: [], samplesError: undefined }

function lastOf<T extends { readonly atMs: number }>(some: readonly T[], next: T): T[] {
  // A broker that was restarted begins anew; one that was not heard of for long has other rates.
  const isNew = some.length > 0 && (next.atMs < some.at(-1)!.atMs || next.atMs - some.at(-1)!.atMs > 10_000)
  return [...(isNew ? [] : some.slice(1 - kept)), next]
}

export function useReadings(): Readings {
  const [readings, setReadings] = useState(none)
  const sampledAtMs = useRef(0)

  function fetchSamples(): void {
    read<{ samples: StatsSample[] }>('/api/v1/stats/history').then(
      ({ samples }) => setReadings((before) => ({ ...before, samples, samplesError: undefined })),
      (error: unknown) => setReadings((before) => ({ ...before, samplesError: error })),
    )
  }

  useLive({
    path: '/api/v1/events',
    query: { streams: 'stats,census' },
    on: {
      stats: (data) => {
        setReadings((before) => ({ ...before, stats: lastOf(before.stats, data as BrokerStats) }))
        if (Date.now() - sampledAtMs.current < sampleEveryMs) return
        sampledAtMs.current = Date.now()
        fetchSamples()
      },
      census: (data) => setReadings((before) => ({ ...before, census: lastOf(before.census, data as Census) })),
    },
    onOpen: () => {
      sampledAtMs.current = 0
    },
  })
  return readings
}
