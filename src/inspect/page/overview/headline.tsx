import type { JSX } from 'preact'

import type { BrokerStats } from '../../../inspection.ts'
import { milliseconds, rate, short } from '../parts/format.ts'
import { href } from '../shell/router.ts'
import type { Rates } from './rates.ts'

/** The broker in a sentence. */
export function Headline({
  stats,
  rates,
}: {
  readonly stats: BrokerStats
  readonly rates: Rates | undefined
}): JSX.Element {
  const { online, offline } = stats.sessions
  return (
    <h1 class="headline">
      <a href={href('sessions', [], { filter: "$State = 'online'" })}>
        <b>{short(online)}</b> {online === 1 ? 'client' : 'clients'} online
      </a>
      {offline === 0 ? null : (
        <>
          , <b>{short(offline)}</b> {offline === 1 ? 'session waits' : 'sessions wait'} for{' '}
          {offline === 1 ? 'its client' : 'their clients'}
        </>
      )}
      .{' '}
      {rates === undefined ? null : (
        <>
          <b>{rate(rates.received)}</b> messages a second come in, <b>{rate(rates.sent)}</b> go out.
        </>
      )}
    </h1>
  )
}

interface Trouble {
  readonly key: string
  readonly text: string
}

/** Lag from which on clients notice: a keepalive is answered late, an acknowledgement waits. */
const noticeableLagMs = 200

function troublesOf(stats: BrokerStats, rates: Rates | undefined): Trouble[] {
  const troubles: Trouble[] = []
  if (stats.state !== 'running') troubles.push({ key: 'state', text: `The broker is ${stats.state}.` })
  if (stats.store.fault !== null)
    troubles.push({
      key: 'store',
      text: `The store takes nothing (${stats.store.fault}): messages of QoS 1 and 2 for persistent sessions are not acknowledged.`,
    })
  if (rates !== undefined && rates.dropped > 0)
    troubles.push({ key: 'drops', text: `Messages are dropped: ${rate(rates.dropped)} a second.` })
  if (stats.loopLagMs.p99 > noticeableLagMs)
    troubles.push({
      key: 'lag',
      text: `The event loop is late by ${milliseconds(stats.loopLagMs.p99)}: something blocks the process.`,
    })
  return troubles
}

/** What a person should look at, or nothing. */
export function Troubles({
  stats,
  rates,
}: {
  readonly stats: BrokerStats
  readonly rates: Rates | undefined
}): JSX.Element | null {
  const troubles = troublesOf(stats, rates)
  if (troubles.length === 0) return null
  return (
    <ul class="troubles">
      {troubles.map(({ key, text }) => (
        <li key={key}>{text}</li>
      ))}
    </ul>
  )
}
