import type { JSX } from 'preact'

import type { ChartLayout } from '../../../chart-layout.ts'
import { count, rate } from '../parts/format.ts'
import { plainOf } from '../parts/hostile.ts'
import { familyOf, keyOf } from './chart-model.ts'

interface Props {
  readonly layout: ChartLayout
  readonly counts: ReadonlyMap<string, number>
  readonly rates: ReadonlyMap<string, number>
}

/** What the chart shows, in words and numbers. */
export function ChartList({ layout, counts, rates }: Props): JSX.Element {
  return (
    <details class="chart-list">
      <summary>The same as a list</summary>
      <div class="columns-2">
        <div class="table-box">
          <table>
            <caption class="sr-only">Sessions in each state</caption>
            <thead>
              <tr>
                <th scope="col">State</th>
                <th scope="col" class="number">
                  Sessions
                </th>
              </tr>
            </thead>
            <tbody>
              {layout.states.map(({ path }) => (
                <tr key={path}>
                  <td>
                    <span class={`state-word family-${familyOf(path)}`}>{plainOf(path)}</span>
                  </td>
                  <td class="number">{count(counts.get(path) ?? 0)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
        <div class="table-box">
          <table>
            <caption class="sr-only">Steps per second from state to state</caption>
            <thead>
              <tr>
                <th scope="col">From and to</th>
                <th scope="col">Events</th>
                <th scope="col" class="number">
                  Per second
                </th>
              </tr>
            </thead>
            <tbody>
              {layout.arrows.map((arrow) => (
                <tr key={keyOf(arrow)}>
                  <td>
                    {plainOf(arrow.from)} → {plainOf(arrow.to)}
                  </td>
                  <td class="mono quiet">{[...new Set(arrow.events.map(({ label }) => plainOf(label)))].join(', ')}</td>
                  <td class="number">{rate(rates.get(keyOf(arrow)) ?? 0)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </div>
    </details>
  )
}
