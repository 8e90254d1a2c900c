import type { JSX } from 'preact'

import type { WillDetail } from '../../../inspected-session.ts'
import { ClientText } from '../parts/client-text.tsx'
import { bytes, duration, relative } from '../parts/format.ts'
import { plainOf } from '../parts/hostile.ts'
import { nowMs } from '../parts/now.ts'
import { ruleInWords } from './wording.ts'

function Now({ ifFiredNow }: Pick<WillDetail, 'ifFiredNow'>): JSX.Element {
  const { verdict, reason, rule } = ifFiredNow
  return (
    <p>
      If it fired now it would be {verdict === 'publish' ? <b class="good">published</b> : <b class="bad">withheld</b>}:{' '}
      <ClientText value={reason} class="said" />
      {rule === null ? null : <span class="by"> {plainOf(ruleInWords(rule))}</span>}
    </p>
  )
}

/** The will, and what would become of it. */
export function WillCard({ will }: { readonly will: WillDetail | null }): JSX.Element {
  return (
    <section class="section">
      <header>
        <h2>Will</h2>
        {will === null ? null : (
          <span class="hint">
            {will.state === 'armed' ? 'armed: its connection lives' : 'delayed: its connection is gone'}
          </span>
        )}
      </header>
      {will === null ? (
        <p class="quiet">None.</p>
      ) : (
        <>
          <dl class="facts">
            <dt>Topic</dt>
            <dd>
              <ClientText value={will.topic} />
            </dd>
            <dt>Message</dt>
            <dd>
              {bytes(will.payloadBytes)}, QoS {will.qos}
              {will.retain ? ', retained' : ''}
            </dd>
            <dt>When</dt>
            <dd>
              {will.dueAtMs === null
                ? will.delaySeconds === 0
                  ? 'at once when the connection breaks'
                  : `${duration(will.delaySeconds * 1_000)} after the connection breaks`
                : relative(will.dueAtMs, nowMs.value)}
            </dd>
          </dl>
          <Now ifFiredNow={will.ifFiredNow} />
        </>
      )}
    </section>
  )
}
