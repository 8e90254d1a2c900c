import type { JSX } from 'preact'
import { useMemo } from 'preact/hooks'

import type { StatsSample } from '../../../inspection.ts'
import { bytes, milliseconds, rate, short } from '../parts/format.ts'
import { Failure } from '../parts/states.tsx'
import { TimeSeries, type TimeSeriesProps } from './time-series.tsx'

function chartsOf(samples: readonly StatsSample[]): TimeSeriesProps[] {
  const times = samples.map(({ atMs }) => atMs / 1_000)
  const of = (value: (sample: StatsSample) => number): number[] => samples.map(value)
  const perSecond = (value: number): string => `${rate(value)}/s`
  return [
    {
      title: 'Messages',
      times,
      format: perSecond,
      series: [
        { name: 'in', colour: '--online-edge', values: of((sample) => sample.messagesReceivedPerSecond) },
        { name: 'out', colour: '--offline-edge', values: of((sample) => sample.messagesSentPerSecond) },
      ],
    },
    {
      title: 'Sessions',
      times,
      format: short,
      isWhole: true,
      series: [
        { name: 'online', colour: '--online-edge', values: of((sample) => sample.sessionsOnline) },
        { name: 'offline', colour: '--offline-edge', values: of((sample) => sample.sessionsOffline) },
      ],
    },
    {
      title: 'Messages held',
      times,
      format: short,
      isWhole: true,
      series: [
        { name: 'waiting', colour: '--decide-edge', values: of((sample) => sample.queuedMessages) },
        { name: 'in flight', colour: '--end-edge', values: of((sample) => sample.inflightMessages) },
      ],
    },
    {
      title: 'Dropped',
      times,
      format: perSecond,
      series: [{ name: 'dropped', colour: '--bad', values: of((sample) => sample.droppedPerSecond) }],
    },
    {
      title: 'Event loop delay',
      times,
      format: milliseconds,
      series: [
        { name: 'most', colour: '--decide-edge', values: of((sample) => sample.loopLagMaxMs) },
        { name: 'mean', colour: '--begin-edge', values: of((sample) => sample.loopLagMeanMs) },
      ],
    },
    {
      title: 'Memory',
      times,
      format: bytes,
      series: [
        { name: 'process', colour: '--begin-edge', values: of((sample) => sample.rssBytes) },
        { name: 'heap', colour: '--end-edge', values: of((sample) => sample.heapUsedBytes) },
      ],
    },
  ]
}

export function LastHour({
  samples,
  error,
}: {
  readonly samples: readonly StatsSample[]
  readonly error: unknown
}): JSX.Element {
  const charts = useMemo(() => chartsOf(samples), [samples])
  return (
    <section class="section">
      <header>
        <h2>The last hour</h2>
        {samples.length < 2 ? <p class="hint">The broker keeps a sample every few seconds from now on.</p> : null}
      </header>
      {error === undefined ? (
        <div class="time-series-grid">
          {charts.map((chart) => (
            <TimeSeries key={chart.title} {...chart} />
          ))}
        </div>
      ) : (
        <Failure error={error} />
      )}
    </section>
  )
}
