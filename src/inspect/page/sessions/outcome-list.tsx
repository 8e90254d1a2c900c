import type { JSX } from 'preact'
import { useState } from 'preact/hooks'

import { ClientText } from '../parts/client-text.tsx'
import { count } from '../parts/format.ts'
import { href } from '../shell/router.ts'
import type { Outcome, Outcomes } from './act.ts'

const words = { done: 'done', unchanged: 'was so already', failed: 'failed' } as const
const shownAtFirst = 100

function Line({ clientId, outcome, error, reason }: Outcome): JSX.Element {
  return (
    <tr class={`outcome-${outcome}`}>
      <td>
        <a href={href('session', [clientId])}>
          <ClientText value={clientId} />
        </a>
      </td>
      <td>{words[outcome]}</td>
      <td>
        {reason === null ? null : <ClientText value={reason} />} {error === null ? null : <code>{error}</code>}
      </td>
    </tr>
  )
}

/** What came of an action for each session, what failed first. */
export function OutcomeList({ outcomes }: { readonly outcomes: Outcomes }): JSX.Element {
  const [max, setMax] = useState(shownAtFirst)
  const { done, unchanged, failed, outcomes: all } = outcomes
  const total = done + unchanged + failed
  const left = total - Math.min(max, all.length)
  return (
    <>
      <p role="status">
        {total === 0 ? 'There was no session left that it could be done to.' : null}
        {done > 0 ? `Done for ${count(done)}. ` : ''}
        {unchanged > 0 ? `It was so already for ${count(unchanged)}. ` : ''}
        {failed > 0 ? <strong class="bad">Failed for {count(failed)}.</strong> : null}
      </p>
      {all.length === 0 ? null : (
        <div class="table-box outcomes">
          <table>
            <thead>
              <tr>
                <th scope="col">Client</th>
                <th scope="col">Outcome</th>
                <th scope="col">Why</th>
              </tr>
            </thead>
            <tbody>
              {all.slice(0, max).map((one) => (
                <Line key={one.clientId} {...one} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {left > 0 ? (
        <p class="hint">
          {count(left)} others are not listed.{' '}
          {max < all.length ? (
            <button type="button" class="link" onClick={() => setMax(max + 1_000)}>
              Show more
            </button>
          ) : null}
        </p>
      ) : null}
    </>
  )
}
