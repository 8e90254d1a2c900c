import type { JSX } from 'preact'
import { useMemo, useState } from 'preact/hooks'

import { ClientText } from '../parts/client-text.tsx'
import { bytes as sized, count } from '../parts/format.ts'
import { bestForm, hexLines, payloadOf, type PayloadForm } from './payload.ts'

export interface PayloadViewProps {
  readonly base64: string
  /** Of the whole payload; more than there are here: it was cut. */
  readonly payloadBytes: number
}

const forms: readonly { readonly form: PayloadForm; readonly title: string }[] = [
  { form: 'text', title: 'Text' },
  { form: 'json', title: 'JSON' },
  { form: 'hex', title: 'Hex' },
]

const linesAtFirst = 200
/** A line is shown in pieces: each names its odd characters. */
const charactersOfPiece = 4_000

/** What a line begins with is its indentation, and no trick. */
function Line({ line }: { readonly line: string }): JSX.Element {
  const [indentation = ''] = /^[ \t]*/.exec(line) ?? []
  const rest = line.slice(indentation.length)
  const pieces = Array.from({ length: Math.ceil(rest.length / charactersOfPiece) }, (_, piece) =>
    rest.slice(piece * charactersOfPiece, (piece + 1) * charactersOfPiece),
  )
  return (
    <div class="payload-line">
      {indentation}
      {pieces.length === 0 ? '\n' : pieces.map((piece, index) => <ClientText key={index} value={piece} />)}
    </div>
  )
}

/** Lines of a client's text: each character that a browser would obey is named, line ends are line ends. */
function Lines({ text, max }: { readonly text: string; readonly max: number }): JSX.Element {
  const lines = text.split(/\r?\n/, max)
  return (
    <pre class="payload">
      {lines.map((line, index) => (
        <Line key={index} line={line} />
      ))}
    </pre>
  )
}

/** A payload as text, as JSON or byte by byte; never anything but text in the document. */
export function PayloadView({ base64, payloadBytes }: PayloadViewProps): JSX.Element {
  const payload = useMemo(() => {
    const isCut = payloadBytes > Math.floor((base64.length * 3) / 4)
    return payloadOf(base64, isCut)
  }, [base64, payloadBytes])
  const [chosen, choose] = useState<PayloadForm>()
  const [isWhole, setWhole] = useState(false)
  const { bytes, text, json } = payload
  const isPossible = { text: text !== undefined, json: json !== undefined, hex: true }
  const form = chosen !== undefined && isPossible[chosen] ? chosen : bestForm(payload)
  const shownText = form === 'json' ? json : text
  const max = isWhole ? 100_000 : linesAtFirst
  const lineCount = form === 'hex' ? Math.ceil(bytes.length / 16) : (shownText?.split('\n').length ?? 0)
  return (
    <div class="payload-view">
      <p class="row payload-head">
        <span class="choices" role="group" aria-label="How the payload is shown">
          {forms.map((one) => (
            <button
              key={one.form}
              type="button"
              aria-pressed={one.form === form}
              disabled={!isPossible[one.form]}
              onClick={() => choose(one.form)}
            >
              {one.title}
            </button>
          ))}
        </span>
        <span class="hint">
          {sized(payloadBytes)}
          {bytes.length < payloadBytes ? `, the first ${sized(bytes.length)} shown` : ''}
          {text === undefined && bytes.length > 0 ? ', not UTF-8' : ''}
        </span>
      </p>
      {bytes.length === 0 ? (
        <p class="quiet">The payload is empty.</p>
      ) : form === 'hex' ? (
        <pre class="payload">{hexLines(bytes, max).join('\n')}</pre>
      ) : (
        <Lines text={shownText ?? ''} max={max} />
      )}
      {lineCount > max ? (
        <button type="button" class="link" onClick={() => setWhole(true)}>
          Show all {count(lineCount)} lines
        </button>
      ) : null}
    </div>
  )
}
