import type { JSX } from 'preact'
import { useCallback, useEffect, useMemo, useReducer, useRef, useState } from 'preact/hooks'

import { ClientText } from '../parts/client-text.tsx'
import { bytes, count, many, timeOfDay } from '../parts/format.ts'
import { Empty } from '../parts/states.tsx'
import { liveState, useLive, type LiveSource } from '../shell/live.ts'
import { href } from '../shell/router.ts'
import { payloadOf, preview } from './payload.ts'
import { PayloadView } from './payload-view.tsx'
import { filterFault, maxKept, TapBuffer, type NumberedMessage, type TappedMessage } from './tap-buffer.ts'

const rates = [5, 20, 50, 200]

/** The messages of a filter as they come; what shows follows once a frame, however many come. */
function useTap(
  filter: string | undefined,
  rate: number,
): { readonly buffer: TapBuffer; readonly changed: () => void } {
  const [, changed] = useReducer((turn: number) => turn + 1, 0)
  const buffer = useMemo(() => new TapBuffer(), [filter])
  const frame = useRef(0)
  const soon = useCallback(() => {
    frame.current ||= requestAnimationFrame(() => {
      frame.current = 0
      changed(undefined)
    })
  }, [])
  useEffect(() => () => cancelAnimationFrame(frame.current), [])
  const source: LiveSource | undefined =
    filter === undefined
      ? undefined
      : {
          path: '/api/v1/tap',
          query: { filter, rate },
          on: {
            message: (data) => {
              buffer.take(data as TappedMessage)
              soon()
            },
            lost: (data) => {
              buffer.leftOut += (data as { readonly records: number }).records
              soon()
            },
          },
        }
  useLive(source)
  return { buffer, changed: () => changed(undefined) }
}

interface LineProps {
  readonly message: NumberedMessage
  /** Somebody wants to read it: it should stay where it is. */
  readonly onOpen: () => void
}

function Line({ message, onOpen }: LineProps): JSX.Element {
  const [isOpen, setOpen] = useState(false)
  const { atMs, topic, qos, retain, publisher, payloadBase64, payloadBytes } = message
  const line = useMemo(
    () => preview(payloadOf(payloadBase64, payloadBytes > (payloadBase64.length * 3) / 4)),
    [payloadBase64, payloadBytes],
  )
  const toggle = (): void => {
    if (!isOpen) onOpen()
    setOpen(!isOpen)
  }
  return (
    <li class="tap-line">
      <button type="button" class="tap-row" aria-expanded={isOpen} onClick={toggle}>
        <span class="quiet mono tap-time">{timeOfDay(atMs)}</span>
        <ClientText value={topic} oneLine class="tap-topic" />
        <span class="quiet tap-qos">
          QoS {qos}
          {retain ? ', retained' : ''}
        </span>
        <ClientText value={line} oneLine class="tap-payload" empty="empty payload" />
        <span class="quiet number tap-size">{bytes(payloadBytes)}</span>
      </button>
      {isOpen ? (
        <div class="tap-open">
          <p class="hint">
            From{' '}
            {publisher === '' ? (
              'the broker itself'
            ) : (
              <a href={href('session', [publisher])}>
                <ClientText value={publisher} />
              </a>
            )}{' '}
            to <ClientText value={topic} />
          </p>
          <PayloadView base64={payloadBase64} payloadBytes={payloadBytes} />
        </div>
      ) : null}
    </li>
  )
}

/** What is not in the list, and why. */
function LeftOut({ buffer, rate }: { readonly buffer: TapBuffer; readonly rate: number }): JSX.Element {
  const { seen, leftOut, waiting, isPaused } = buffer
  const notes = [
    seen > maxKept && !isPaused ? `the last ${count(maxKept)} of ${count(seen)} messages` : '',
    seen > 0 && seen <= maxKept && !isPaused ? many(seen, 'message') : '',
    isPaused ? `paused, ${count(waiting)} came since` : '',
  ].filter((note) => note !== '')
  return (
    <p class="tap-notes" role="status">
      {notes.length > 0 ? <span class="hint">{notes.join('; ')}</span> : null}
      {leftOut > 0 ? (
        <span class="tap-left-out">
          {count(leftOut)} left out: there were more than {rate} a second
        </span>
      ) : null}
    </p>
  )
}

export interface TapViewProps {
  /** The filter that runs; undefined: none does. */
  readonly filter: string | undefined
  readonly rate: number
  readonly onTap: (filter: string | undefined, rate: number) => void
}

interface TapFormProps extends TapViewProps {
  readonly isPaused: boolean
  readonly onPause: (isPaused: boolean) => void
}

function TapForm({ filter, rate, onTap, isPaused, onPause }: TapFormProps): JSX.Element {
  const [text, setText] = useState(filter ?? '#')
  const fault = filterFault(text)
  const waitsFor = filter !== undefined && liveState.value.type === 'waiting' ? liveState.value.reason : undefined
  const start = (event: Event): void => {
    event.preventDefault()
    if (fault === undefined) onTap(text, rate)
  }
  return (
    <form class="tap-form" onSubmit={start}>
      <label>
        Topic filter
        <input
          type="text"
          autocomplete="off"
          spellcheck={false}
          value={text}
          aria-invalid={fault !== undefined}
          aria-describedby="tap-fault"
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </label>
      <label>
        At most
        <select value={rate} onChange={(event) => onTap(filter, Number(event.currentTarget.value))}>
          {rates.map((one) => (
            <option key={one} value={one}>
              {one} a second
            </option>
          ))}
        </select>
      </label>
      <span class="tap-buttons">
        {filter === text ? null : (
          <button type="submit" class="primary" disabled={fault !== undefined}>
            {filter === undefined ? 'Start' : 'Change'}
          </button>
        )}
        {filter === undefined ? null : (
          <>
            <button type="button" aria-pressed={isPaused} onClick={() => onPause(!isPaused)}>
              {isPaused ? 'Go on' : 'Pause'}
            </button>
            <button type="button" onClick={() => onTap(undefined, rate)}>
              Stop
            </button>
          </>
        )}
      </span>
      <p id="tap-fault" class="filter-fault" role="status">
        {fault ?? waitsFor ?? ''}
      </p>
    </form>
  )
}

/** Messages of a topic filter while they pass, as many a second as one can read. */
export function TapView({ filter, rate, onTap }: TapViewProps): JSX.Element {
  const { buffer, changed } = useTap(filter, rate)
  const pause = (isPaused: boolean): void => {
    buffer.pause(isPaused)
    changed()
  }
  return (
    <div class="tap">
      <TapForm filter={filter} rate={rate} onTap={onTap} isPaused={buffer.isPaused} onPause={pause} />
      {filter === undefined ? (
        <Empty title="Nothing is tapped">
          A tap shows live messages as they pass, without taking them from anybody. Retained ones are under Retained.
        </Empty>
      ) : (
        <>
          <LeftOut buffer={buffer} rate={rate} />
          {buffer.shown.length === 0 ? (
            <Empty title="No message yet">
              Waiting for <ClientText value={filter} />.
            </Empty>
          ) : (
            <ol class="tap-list" aria-label="Messages, the newest first">
              {buffer.shown.map((message) => (
                <Line key={message.number} message={message} onOpen={() => pause(true)} />
              ))}
            </ol>
          )}
        </>
      )}
    </div>
  )
}
