import type { JSX } from 'preact'

import type { ChartLayout } from '../../../chart-layout.ts'
import { ChartList } from '../chart/chart-list.tsx'
import { countsOf, ownBoxes, ratesBetween } from '../chart/chart-model.ts'
import { ChartView } from '../chart/chart-view.tsx'
import { useLayout } from '../chart/use-layout.ts'
import { count, many } from '../parts/format.ts'
import { plainOf } from '../parts/hostile.ts'
import { Failure, Loading } from '../parts/states.tsx'
import type { Census } from './use-readings.ts'

function inWords(layout: ChartLayout, counts: ReadonlyMap<string, number>): string {
  const tops = layout.states.filter(({ parent, type }) => parent === null && type !== 'final')
  const parts = tops.map(({ path }) => `${count(counts.get(path) ?? 0)} ${path}`)
  return plainOf(`Sessions in the states of the session machine: ${parts.join(', ')}. The list below has the rest.`)
}

/** The session machine with the number of sessions in each state, and what flows between them. */
export function LiveChart({ census }: { readonly census: readonly Census[] }): JSX.Element {
  const { data: layout, error, reload } = useLayout()
  if (layout === undefined)
    return error === undefined ? <Loading what="the chart" /> : <Failure error={error} retry={reload} />
  const first = census[0]
  const last = census.at(-1)
  const counts = countsOf(layout, last?.states ?? {})
  const rates =
    first && last ? ratesBetween(first.flows, last.flows, (last.atMs - first.atMs) / 1_000) : new Map<string, number>()
  const own = ownBoxes(layout)
  return (
    <figure class="live-chart">
      <div class="chart-box">
        <ChartView layout={layout} label={inWords(layout, counts)} counts={counts} rates={rates} />
      </div>
      <figcaption class="hint">
        Sessions in each state, and steps per second between them.
        {own.length === 0 ? null : (
          <>
            {' '}
            This broker runs an extended machine: {many(own.length, 'state')} of its own,{' '}
            <span class="mono">{plainOf(own.map(({ path }) => path).join(', '))}</span>.
          </>
        )}
      </figcaption>
      <ChartList layout={layout} counts={counts} rates={rates} />
    </figure>
  )
}
