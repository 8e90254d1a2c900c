import type { JSX } from 'preact'
import { useState } from 'preact/hooks'

import type { Decision, TransitionRecord } from '../../../inspection.ts'
import { familyOf } from '../chart/chart-model.ts'
import { ClientText } from '../parts/client-text.tsx'
import { moment, timeOfDay } from '../parts/format.ts'
import { plainOf } from '../parts/hostile.ts'
import { nowMs } from '../parts/now.ts'
import { isRefusal, stepInWords } from './story.ts'
import { codeInWords, deciderOf, ruleInWords } from './wording.ts'

const shownAtFirst = 15

/** XState's names of its own events hold ids of states and actors. */
function eventInWords({ event, from }: TransitionRecord): string {
  const [, outcome, , actor] = /^xstate\.(done|error)\.actor\.(\d+\.)?(.*)$/.exec(event) ?? []
  if (outcome !== undefined) return `${actor?.split('.').at(-1) ?? ''} ${outcome === 'done' ? 'decided' : 'failed'}`
  if (from.length === 0) return 'begins'
  return event === '' || event === 'xstate.init' ? 'at once' : event
}

function State({ path }: { readonly path: string }): JSX.Element {
  return path === '' ? (
    <span class="quiet">–</span>
  ) : (
    <span class={`state-word family-${familyOf(path)}`}>{plainOf(path)}</span>
  )
}

function Cause({ decision }: { readonly decision: Decision | null }): JSX.Element | null {
  if (decision === null) return null
  const { reason, reasonCode, rule } = decision
  return (
    <>
      {reason === '' ? null : <ClientText value={reason} class="said" />}
      <span class="by">
        {plainOf(deciderOf(decision))}
        {rule === null ? null : ` · ${plainOf(ruleInWords(rule))}`}
        {reasonCode === null || reasonCode === 0 ? null : ` · ${codeInWords(reasonCode)}`}
      </span>
    </>
  )
}

function Step({ record, isOther }: { readonly record: TransitionRecord; readonly isOther: boolean }): JSX.Element {
  const { left, entered } = stepInWords(record)
  return (
    <li class={`step ${isRefusal(record) ? 'refused' : ''} ${isOther ? 'other' : ''}`}>
      <time class="mono" title={moment(record.atMs, nowMs.peek())}>
        {timeOfDay(record.atMs)}
      </time>
      <div>
        <p class="step-way">
          <State path={left} /> <span aria-label="to">→</span> <State path={entered} />{' '}
          <span class="mono quiet">{plainOf(eventInWords(record))}</span>
          {isOther ? <span class="tag">another connection</span> : null}
        </p>
        <p class="step-cause">
          <Cause decision={record.decision} />
        </p>
      </div>
    </li>
  )
}

interface Props {
  /** Oldest first. */
  readonly records: readonly TransitionRecord[]
  /** Of the session that lives. */
  readonly sessionId: string | undefined
}

/** What the charts under this client identifier did, the latest first, and who decided on it. */
export function History({ records, sessionId }: Props): JSX.Element {
  const [isAll, setAll] = useState(false)
  const shown = records.toReversed().slice(0, isAll ? undefined : shownAtFirst)
  return (
    <section class="section history">
      <header>
        <h2>What happened</h2>
        <span class="hint">the latest first</span>
      </header>
      {records.length === 0 ? <p class="quiet">Nothing since the inspector was opened.</p> : null}
      <ol>
        {shown.map((record) => (
          <Step
            key={record.sequence}
            record={record}
            isOther={sessionId !== undefined && record.sessionId !== sessionId}
          />
        ))}
      </ol>
      {records.length > shown.length ? (
        <button type="button" onClick={() => setAll(true)}>
          Show all {records.length} steps
        </button>
      ) : null}
    </section>
  )
}
