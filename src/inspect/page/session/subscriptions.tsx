import type { JSX } from 'preact'

import type { SubscriptionDetail } from '../../../inspected-session.ts'
import { ClientText } from '../parts/client-text.tsx'
import { many } from '../parts/format.ts'

const retainHandlings = ['', 'retained only when new', 'no retained'] as const

function optionsOf({ noLocal, retainAsPublished, retainHandling, subscriptionIdentifier }: SubscriptionDetail): string {
  return [
    noLocal ? 'no local' : '',
    retainAsPublished ? 'retain as published' : '',
    retainHandlings[retainHandling],
    subscriptionIdentifier === null ? '' : `identifier ${subscriptionIdentifier}`,
  ]
    .filter((text) => text !== '')
    .join(', ')
}

function Granted({ requestedQoS, grantedQoS }: SubscriptionDetail): JSX.Element {
  if (grantedQoS === null) return <span class="bad">withheld</span>
  return <span class={grantedQoS < requestedQoS ? 'bad' : ''}>QoS {grantedQoS}</span>
}

/** What it asked to receive, and what of it it receives. */
export function Subscriptions({
  list,
  total,
}: {
  readonly list: readonly SubscriptionDetail[]
  readonly total: number
}): JSX.Element {
  return (
    <section class="section">
      <header>
        <h2>Subscriptions</h2>
        {total > list.length ? (
          <span class="hint">
            the first {list.length} of {many(total, 'subscription')}
          </span>
        ) : null}
      </header>
      {list.length === 0 ? (
        <p class="quiet">None.</p>
      ) : (
        <div class="table-box">
          <table>
            <thead>
              <tr>
                <th scope="col">Filter</th>
                <th scope="col">Requested</th>
                <th scope="col">Granted</th>
                <th scope="col">Options</th>
                <th scope="col">Why less</th>
              </tr>
            </thead>
            <tbody>
              {list.map((one) => (
                <tr key={`${one.share ?? ''} ${one.filter}`}>
                  <td>
                    <ClientText value={one.filter} />
                    {one.share === null ? null : (
                      <span class="tag">
                        shared in <ClientText value={one.share} />
                      </span>
                    )}
                    {one.replacedBy === null ? null : (
                      <div class="quiet">
                        a hook made it <ClientText value={one.replacedBy} />
                      </div>
                    )}
                  </td>
                  <td>QoS {one.requestedQoS}</td>
                  <td>
                    <Granted {...one} />
                  </td>
                  <td class="quiet">{optionsOf(one)}</td>
                  <td>{one.withheld === null ? null : <ClientText value={one.withheld} class="said" />}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  )
}
