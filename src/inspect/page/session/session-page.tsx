import type { JSX } from 'preact'

import { litBy, familyOf, ownBoxes } from '../chart/chart-model.ts'
import { ChartView } from '../chart/chart-view.tsx'
import { useLayout } from '../chart/use-layout.ts'
import { ClientText } from '../parts/client-text.tsx'
import { plainOf } from '../parts/hostile.ts'
import { nowMs } from '../parts/now.ts'
import { Failure, Loading } from '../parts/states.tsx'
import { href } from '../shell/router.ts'
import { Actions } from './actions.tsx'
import { ExplainForm } from './explain-form.tsx'
import { Facts } from './facts.tsx'
import { History } from './history.tsx'
import { Messages } from './messages.tsx'
import type { Frame } from './playback.ts'
import { storyOf, type Sentence } from './story.ts'
import { Subscriptions } from './subscriptions.tsx'
import { useSession } from './use-session.ts'
import { WillCard } from './will-card.tsx'

import './session.css'

function Story({ sentences }: { readonly sentences: readonly Sentence[] }): JSX.Element {
  return (
    <div class="story">
      {sentences.map(({ kind, text, said, by }) => (
        <p key={kind} class={`sentence sentence-${kind}`}>
          {plainOf(text)}{' '}
          {said === undefined ? null : (
            <>
              Why: <ClientText value={said} class="said" />.{' '}
            </>
          )}
          {by === undefined ? null : <span class="by">{plainOf(by)}</span>}
        </p>
      ))}
    </div>
  )
}

function SessionChart({ frame }: { readonly frame: Frame | undefined }): JSX.Element {
  const { data: layout, error, reload } = useLayout()
  if (layout === undefined)
    return error === undefined ? <Loading what="the chart" /> : <Failure error={error} retry={reload} />
  const lit = frame?.lit ?? []
  const own = ownBoxes(layout)
  const label =
    lit.length === 0
      ? 'The chart of this session: it is in no state.'
      : `The chart of this session: it is in ${lit.join(' and ')}.`
  return (
    <figure class="session-chart">
      <div class="chart-box">
        <ChartView
          layout={layout}
          label={plainOf(label)}
          lit={litBy(lit)}
          ghost={litBy(frame?.ghost ?? [])}
          pulses={frame?.pulse === undefined ? [] : [frame.pulse]}
        />
      </div>
      {own.length === 0 ? null : (
        <figcaption class="hint">
          This broker runs an extended machine; its own states:{' '}
          <span class="mono">{plainOf(own.map(({ path }) => path).join(', '))}</span>.
        </figcaption>
      )}
      {/* Steps are told as they happen, one at a time. */}
      <output class="sr-only" aria-label="State">
        {plainOf(lit.join(', '))}
      </output>
    </figure>
  )
}

/** One client's session: its chart, why it is as it is, what it did, and all that it holds. */
export function SessionPage({ names }: { readonly names: readonly string[] }): JSX.Element {
  const clientId = names[0] ?? ''
  const { detail, records, error, frame, reload } = useSession(clientId)
  if (detail === undefined)
    return error === undefined ? <Loading what="the session" /> : <Failure error={error} retry={reload} />
  const state = detail?.state ?? 'expired'
  const isUnknown = detail === null && records.length === 0
  return (
    <div class="session">
      <header class="session-head">
        <div>
          <span class={`state-word family-${familyOf(state)}`}>{detail === null ? 'no session' : state}</span>
          <h1>
            <ClientText value={clientId} />
          </h1>
        </div>
        {detail === null ? null : <Actions detail={detail} done={reload} />}
      </header>
      {isUnknown ? (
        <p class="sentence sentence-state">
          Nothing is known of this client: it has no session, and none of its connections is remembered. Should it
          connect, you see it here. <a href={href('sessions')}>All sessions</a>
        </p>
      ) : (
        <Story sentences={storyOf(detail ?? undefined, records, nowMs.value)} />
      )}
      {error === undefined ? null : <Failure error={error} retry={reload} />}
      <SessionChart frame={frame} />
      <div class="session-columns">
        <div class="stack">
          <History records={records} sessionId={detail?.sessionId} />
          {detail === null ? null : (
            <>
              <Subscriptions list={detail.subscriptionList} total={detail.subscriptions} />
              <Messages detail={detail} />
            </>
          )}
        </div>
        {detail === null ? null : (
          <div class="stack">
            <Facts detail={detail} />
            <WillCard will={detail.will} />
          </div>
        )}
      </div>
      <ExplainForm clientId={clientId} />
    </div>
  )
}
