import type { JSX } from 'preact'
import { useState } from 'preact/hooks'

import type { RetainedMessage } from '../../../inspection.ts'
import { AskDialog } from '../parts/ask-dialog.tsx'
import { ClientText } from '../parts/client-text.tsx'
import { bytes, moment, relative } from '../parts/format.ts'
import { nowMs } from '../parts/now.ts'
import { Empty, Failure, Loading } from '../parts/states.tsx'
import { useResource } from '../parts/use-resource.ts'
import { ApiError, mayOperate, send } from '../shell/api.ts'
import { href } from '../shell/router.ts'
import { PayloadView } from './payload-view.tsx'

const refreshMs = 3_000

function Moment({ atMs, none }: { readonly atMs: number | null; readonly none: string }): JSX.Element {
  if (atMs === null) return <span class="quiet">{none}</span>
  const now = nowMs.value
  return (
    <time>
      {moment(atMs, now)} <span class="quiet">({relative(atMs, now)})</span>
    </time>
  )
}

function Facts({ message }: { readonly message: RetainedMessage }): JSX.Element {
  const { publisher, contentType, userProperties } = message
  return (
    <dl class="facts">
      <dt>QoS</dt>
      <dd>{message.qos}</dd>
      <dt>Came</dt>
      <dd>
        <Moment atMs={message.atMs} none="not known" />
      </dd>
      <dt>Expires</dt>
      <dd>
        <Moment atMs={message.expiresAtMs} none="never" />
      </dd>
      <dt>Publisher</dt>
      <dd>
        {publisher === null ? (
          <span class="quiet">the broker itself</span>
        ) : (
          <a href={href('session', [publisher])}>
            <ClientText value={publisher} />
          </a>
        )}
      </dd>
      {contentType === null ? null : (
        <>
          <dt>Content type</dt>
          <dd>
            <ClientText value={contentType} />
          </dd>
        </>
      )}
      {userProperties.map(([name, value], index) => (
        <>
          <dt key={`n${index}`}>
            <ClientText value={name} />
          </dt>
          <dd key={`v${index}`}>
            <ClientText value={value} />
          </dd>
        </>
      ))}
    </dl>
  )
}

interface DeleteProps {
  readonly message: RetainedMessage
  readonly onClose: () => void
  readonly onDone: () => void
}

function DeleteDialog({ message, onClose, onDone }: DeleteProps): JSX.Element {
  return (
    <AskDialog
      title="Delete this retained message?"
      button="Delete it"
      tone="danger"
      act={() => send('DELETE', '/api/v1/retained/message', undefined, { topic: message.topic }).then(onDone)}
      onClose={onClose}
    >
      <p>
        <ClientText value={message.topic} />, {bytes(message.payloadBytes)}
      </p>
      <p class="hint">
        Who subscribes from now on does not get it. Nobody who is subscribed is told. It cannot be brought back.
      </p>
    </AskDialog>
  )
}

/** The message that is retained at a topic, as it is now. */
export function MessageView({
  topic,
  onDeleted,
}: {
  readonly topic: string
  readonly onDeleted: () => void
}): JSX.Element {
  const { data, error, reload } = useResource<RetainedMessage>(
    '/api/v1/retained/message',
    { topic },
    { everyMs: refreshMs },
  )
  const [isAsking, setAsking] = useState(false)
  if (error instanceof ApiError && error.status === 404)
    return (
      <Empty title="Nothing is retained here">
        <ClientText value={topic} />
      </Empty>
    )
  if (data === undefined)
    return error === undefined ? <Loading what="the message" /> : <Failure error={error} retry={reload} />
  return (
    <article class="message">
      <header>
        <h2>
          <ClientText value={topic} />
        </h2>
        {mayOperate() ? (
          <button type="button" class="danger" onClick={() => setAsking(true)}>
            Delete …
          </button>
        ) : null}
      </header>
      <Facts message={data} />
      <PayloadView key={topic} base64={data.payloadBase64} payloadBytes={data.payloadBytes} />
      {isAsking ? (
        <DeleteDialog
          message={data}
          onClose={() => setAsking(false)}
          onDone={() => {
            reload()
            onDeleted()
          }}
        />
      ) : null}
    </article>
  )
}
