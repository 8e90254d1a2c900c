import type { ComponentChildren, JSX } from 'preact'

import type { BrokerStats, SlowSubscriber } from '../../../inspection.ts'
import { ClientText } from '../parts/client-text.tsx'
import { bytes, count, duration, milliseconds, percent, rate, short, unknown } from '../parts/format.ts'
import { plainOf } from '../parts/hostile.ts'
import { useResource } from '../parts/use-resource.ts'
import { href } from '../shell/router.ts'
import { total, type Rates } from './rates.ts'

interface Props {
  readonly stats: BrokerStats
  readonly rates: Rates | undefined
}

/** A name, its number with its unit, and what belongs to it in a quieter voice. */
function Line(props: {
  readonly name: string
  readonly value: ComponentChildren
  readonly aside?: ComponentChildren
}): JSX.Element {
  return (
    <div class="line">
      <dt>{props.name}</dt>
      <dd>{props.value}</dd>
      <dd class="aside">{props.aside}</dd>
    </div>
  )
}

function Column({ title, children }: { readonly title: string; readonly children: ComponentChildren }): JSX.Element {
  return (
    <section class="section">
      <header>
        <h2>{title}</h2>
      </header>
      {children}
    </section>
  )
}

function perSecond(value: number | undefined): string {
  return value === undefined ? unknown : `${rate(value)}/s`
}

function Traffic({ stats, rates }: Props): JSX.Element {
  const { counters } = stats
  return (
    <Column title="Traffic">
      <dl class="lines">
        <Line
          name="Messages in"
          value={perSecond(rates?.received)}
          aside={`${short(counters.messagesReceived)} in all`}
        />
        <Line name="Messages out" value={perSecond(rates?.sent)} aside={`${short(counters.messagesSent)} in all`} />
        <Line
          name="Bytes in"
          value={rates ? `${bytes(rates.bytesReceived)}/s` : unknown}
          aside={`${bytes(counters.bytesReceived)} in all`}
        />
        <Line
          name="Bytes out"
          value={rates ? `${bytes(rates.bytesSent)}/s` : unknown}
          aside={`${bytes(counters.bytesSent)} in all`}
        />
        <Line
          name="Clients let in"
          value={perSecond(rates?.connects)}
          aside={`${short(counters.sessionsAdmitted)} in all`}
        />
        <Line name="Clients refused" value={short(total(counters.sessionsRefused))} aside="since the start" />
      </dl>
    </Column>
  )
}

function Held({ stats }: Props): JSX.Element {
  return (
    <Column title="Held for clients">
      <dl class="lines">
        <Line name="Waiting" value={`${short(stats.queuedMessages)} messages`} aside={bytes(stats.queuedBytes)} />
        <Line name="In flight" value={`${short(stats.inflightMessages)} messages`} aside="not acknowledged yet" />
        <Line name="Retained" value={`${short(stats.retainedMessages)} messages`} aside={bytes(stats.retainedBytes)} />
        <Line name="Wills" value={short(stats.pendingWills)} aside="delayed" />
        <Line
          name="Subscriptions"
          value={short(stats.subscriptions)}
          aside={`${short(stats.sharedSubscriptions)} shared`}
        />
      </dl>
    </Column>
  )
}

/** In words what docs/hooks.md says of `message.dropped`. */
const reasons: Readonly<Record<string, string>> = {
  'queue-full': 'the queue was full',
  expired: 'it expired while it waited',
  'too-large': 'larger than the client takes',
  offline: 'QoS 0, and the client was offline',
  denied: 'a permission or a hook said no',
  'store-full': 'the store took nothing',
  'retained-full': 'no room for retained messages',
  'observer-slow': 'an observer in the process was slow',
  'session-ended': 'its session ended',
  administrative: 'an operator emptied the queue',
}

function Dropped({ stats, rates }: Props): JSX.Element {
  const dropped = Object.entries(stats.counters.dropped)
    .filter(([, many]) => many > 0)
    .toSorted(([, a], [, b]) => b - a)
  return (
    <Column title="Dropped">
      {dropped.length === 0 ? (
        <p class="quiet">Nothing since the start.</p>
      ) : (
        <dl class="lines">
          {dropped.map(([reason, many]) => (
            <Line key={reason} name={reasons[reason] ?? reason} value={short(many)} />
          ))}
          <Line name="Just now" value={perSecond(rates?.dropped)} />
        </dl>
      )}
    </Column>
  )
}

function Process({ stats, rates }: Props): JSX.Element {
  const { loopLagMs, memory, store } = stats
  return (
    <Column title="Process">
      <dl class="lines">
        <Line
          name="Event loop delay"
          value={milliseconds(loopLagMs.p99)}
          aside={`at most ${milliseconds(loopLagMs.max)}`}
        />
        <Line name="Processor" value={rates ? percent(rates.cpu) : unknown} aside="of one" />
        <Line name="Memory" value={bytes(memory.rssBytes)} aside={`${bytes(memory.heapUsedBytes)} heap`} />
        <Line name="Store" value={store.name} aside={store.fault ?? undefined} />
        <Line
          name="Up for"
          value={duration(stats.atMs - stats.startedAtMs)}
          aside={`statemq ${plainOf(stats.version)}`}
        />
      </dl>
    </Column>
  )
}

export function Ledger(props: Props): JSX.Element {
  return (
    <div class="ledger">
      <Traffic {...props} />
      <Held {...props} />
      <Dropped {...props} />
      <Process {...props} />
    </div>
  )
}

export function Listeners({ stats }: { readonly stats: BrokerStats }): JSX.Element {
  return (
    <Column title="Listeners">
      {stats.listeners.length === 0 ? (
        <p class="quiet">
          None is open: clients come in through <code>attach()</code> only.
        </p>
      ) : (
        <div class="table-box">
          <table>
            <thead>
              <tr>
                <th scope="col">Name</th>
                <th scope="col">Address</th>
                <th scope="col" class="number">
                  Connections
                </th>
              </tr>
            </thead>
            <tbody>
              {stats.listeners.map(({ name, transport, address, connections }) => (
                <tr key={`${name} ${address}`}>
                  <td>
                    {plainOf(name)} <span class="quiet">{transport}</span>
                  </td>
                  <td class="mono">{plainOf(address)}</td>
                  <td class="number">{count(connections)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Column>
  )
}

export function SlowOnes(): JSX.Element {
  const { data } = useResource<{ subscribers: SlowSubscriber[] }>(
    '/api/v1/slow-subscribers',
    { max: 6 },
    { everyMs: 5_000 },
  )
  const subscribers = data?.subscribers ?? []
  return (
    <Column title="Slowest to take their messages">
      {subscribers.length === 0 ? (
        <p class="quiet">{data === undefined ? '' : 'Nobody lets messages wait.'}</p>
      ) : (
        <div class="table-box">
          <table>
            <thead>
              <tr>
                <th scope="col">Client</th>
                <th scope="col" class="number">
                  First waits for
                </th>
                <th scope="col" class="number">
                  Messages
                </th>
              </tr>
            </thead>
            <tbody>
              {subscribers.map(({ clientId, waitingMs, queuedMessages }) => (
                <tr key={clientId}>
                  <td class="client-cell">
                    <a href={href('session', [clientId])}>
                      <ClientText value={clientId} oneLine />
                    </a>
                  </td>
                  <td class="number">{duration(waitingMs)}</td>
                  <td class="number">{short(queuedMessages)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Column>
  )
}
