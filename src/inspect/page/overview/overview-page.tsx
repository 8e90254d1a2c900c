import type { JSX } from 'preact'

import { Loading } from '../parts/states.tsx'
import { Headline, Troubles } from './headline.tsx'
import { LastHour } from './last-hour.tsx'
import { Ledger, Listeners, SlowOnes } from './ledger.tsx'
import { LiveChart } from './live-chart.tsx'
import { ratesOf } from './rates.ts'
import { useReadings } from './use-readings.ts'

import './overview.css'

/** The broker at a glance: in a sentence, as the live chart of its sessions, in numbers, and over the last hour. */
export function OverviewPage(): JSX.Element {
  const { stats, census, samples, samplesError } = useReadings()
  const last = stats.at(-1)
  if (last === undefined) return <Loading what="what the broker tells of itself" />
  const rates = ratesOf(stats)
  return (
    <div class="overview">
      <div>
        <Headline stats={last} rates={rates} />
        <Troubles stats={last} rates={rates} />
      </div>
      <LiveChart census={census} />
      <Ledger stats={last} rates={rates} />
      <LastHour samples={samples} error={samplesError} />
      <div class="columns-2">
        <SlowOnes />
        <Listeners stats={last} />
      </div>
    </div>
  )
}
