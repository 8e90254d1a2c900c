import type { JSX } from 'preact'

import type { InflightDetail, SessionDetail } from '../../../inspected-session.ts'
import { ClientText } from '../parts/client-text.tsx'
import { bytes, count, duration, many, relative, unknown } from '../parts/format.ts'
import { nowMs } from '../parts/now.ts'

const steps: Readonly<Record<InflightDetail['step'], string>> = {
  'awaiting-puback': 'waits for PUBACK',
  'awaiting-pubrec': 'waits for PUBREC',
  'awaiting-pubcomp': 'waits for PUBCOMP',
  'awaiting-pubrel': 'waits for PUBREL',
}

function age(sinceMs: number | null): string {
  return sinceMs === null ? unknown : duration(nowMs.value - sinceMs)
}

function Inflight({ list }: { readonly list: readonly InflightDetail[] }): JSX.Element {
  return (
    <div class="table-box">
      <table>
        <thead>
          <tr>
            <th scope="col">Topic</th>
            <th scope="col" class="number">
              Packet
            </th>
            <th scope="col">Step</th>
            <th scope="col" class="number">
              Age
            </th>
          </tr>
        </thead>
        <tbody>
          {list.map((one) => (
            <tr key={`${one.direction} ${one.packetId}`}>
              <td>
                <span aria-label={one.direction === 'to-client' ? 'to the client' : 'from the client'}>
                  {one.direction === 'to-client' ? '↓' : '↑'}
                </span>{' '}
                {one.topic === null ? <span class="quiet">{unknown}</span> : <ClientText value={one.topic} />}
              </td>
              <td class="number">{one.packetId}</td>
              <td class="quiet">{steps[one.step]}</td>
              <td class="number">{age(one.sinceMs)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function Queue({ queue }: Pick<SessionDetail, 'queue'>): JSX.Element {
  return (
    <div class="table-box">
      <table>
        <thead>
          <tr>
            <th scope="col">Topic</th>
            <th scope="col">QoS</th>
            <th scope="col" class="number">
              Size
            </th>
            <th scope="col" class="number">
              Age
            </th>
            <th scope="col">Expires</th>
          </tr>
        </thead>
        <tbody>
          {queue.first.map((one, index) => (
            <tr key={index}>
              <td>
                <ClientText value={one.topic} />
              </td>
              <td>{one.qos}</td>
              <td class="number">{bytes(one.payloadBytes)}</td>
              <td class="number">{age(one.sinceMs)}</td>
              <td class="quiet">{one.expiresAtMs === null ? 'never' : relative(one.expiresAtMs, nowMs.value)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

/** What is under way to the client and from it, and what waits. */
export function Messages({ detail }: { readonly detail: SessionDetail }): JSX.Element {
  const { inflight, inflightMessages, maxInflightMessages, queue } = detail
  const most = maxInflightMessages === null ? '' : ` of at most ${count(maxInflightMessages)}`
  return (
    <>
      <section class="section">
        <header>
          <h2>In flight</h2>
          <span class="hint">
            {count(inflightMessages)}
            {most} not acknowledged
          </span>
        </header>
        {inflight.length === 0 ? <p class="quiet">Nothing.</p> : <Inflight list={inflight} />}
      </section>
      <section class="section">
        <header>
          <h2>Waiting</h2>
          <span class="hint">
            {many(queue.messages, 'message')}, {bytes(queue.bytes)}
            {queue.oldestAtMs === null ? '' : `, the oldest for ${duration(nowMs.value - queue.oldestAtMs)}`}
          </span>
        </header>
        {queue.first.length === 0 ? (
          <p class="quiet">{queue.messages === 0 ? 'Nothing.' : 'What waits is not shown one by one.'}</p>
        ) : (
          <Queue queue={queue} />
        )}
        {queue.first.length > 0 && queue.messages > queue.first.length ? (
          <p class="hint">and {count(queue.messages - queue.first.length)} more</p>
        ) : null}
      </section>
    </>
  )
}
