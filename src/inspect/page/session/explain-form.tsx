import type { JSX } from 'preact'
import { useState } from 'preact/hooks'

import type { DecidingPermission } from '../../../roles.ts'
import { ClientText } from '../parts/client-text.tsx'
import { plainOf } from '../parts/hostile.ts'
import { Failure } from '../parts/states.tsx'
import { send } from '../shell/api.ts'
import { ruleInWords } from './wording.ts'

interface Explanation {
  readonly verdict: 'allow' | 'deny' | 'filter'
  readonly reason: string
  readonly rule: DecidingPermission | null
  readonly qos: 0 | 1 | 2 | null
  readonly roles: readonly string[]
  readonly policyVersion: number
}

const verdicts = {
  allow: ['good', 'Yes'],
  deny: ['bad', 'No'],
  filter: ['good', 'Yes, and each message is checked'],
} as const

const actions = {
  publish: 'publish to the topic',
  subscribe: 'subscribe to the filter',
  deliver: 'receive a message of the topic',
  connect: 'be connected',
} as const
type Action = keyof typeof actions

function Answer({ answer }: { readonly answer: Explanation }): JSX.Element {
  const [tone, word] = verdicts[answer.verdict]
  return (
    <output class="answer">
      <b class={tone}>{word}</b>
      {answer.qos === null ? '' : ` at QoS ${answer.qos}`}: <ClientText value={answer.reason} class="said" />
      <span class="by">
        {answer.rule === null ? '' : `${plainOf(ruleInWords(answer.rule))} · `}
        {answer.roles.length === 0 ? 'no role' : plainOf(`roles ${answer.roles.join(', ')}`)} · rights of version{' '}
        {answer.policyVersion}
      </span>
    </output>
  )
}

function questionOf(clientId: string, fields: FormData): Record<string, unknown> {
  const text = (name: string): string => {
    const value = fields.get(name)
    return typeof value === 'string' ? value : ''
  }
  const action = text('action')
  if (action === 'connect') return { clientId, action }
  return {
    clientId,
    action,
    topic: text('topic'),
    qos: Number(text('qos')),
    ...(action === 'publish' ? { retain: fields.has('retain') } : {}),
    ...(action === 'deliver' && text('group') !== '' ? { group: text('group') } : {}),
  }
}

/** What the question is about, by what is asked. */
function Fields({ action }: { readonly action: Action }): JSX.Element | null {
  if (action === 'connect') return null
  return (
    <>
      <label class="grow">
        {action === 'subscribe' ? 'Filter' : 'Topic'}
        <input name="topic" required spellcheck={false} autocomplete="off" />
      </label>
      <label>
        QoS
        <select name="qos">
          {[0, 1, 2].map((qos) => (
            <option key={qos} value={qos}>
              {qos}
            </option>
          ))}
        </select>
      </label>
      {action === 'publish' ? (
        <label class="check">
          <input type="checkbox" name="retain" /> retained
        </label>
      ) : null}
      {action === 'deliver' ? (
        <label>
          Shared group, if any
          <input name="group" autocomplete="off" />
        </label>
      ) : null}
    </>
  )
}

/** Asks the broker what this client may do, and what decides it. */
export function ExplainForm({ clientId }: { readonly clientId: string }): JSX.Element {
  const [action, setAction] = useState<Action>('publish')
  const [answer, setAnswer] = useState<Explanation>()
  const [error, setError] = useState<unknown>()

  function ask(form: HTMLFormElement): void {
    send<Explanation>('POST', '/api/v1/explain', questionOf(clientId, new FormData(form))).then(
      (given) => {
        setAnswer(given)
        setError(undefined)
      },
      (failed: unknown) => {
        setAnswer(undefined)
        setError(failed)
      },
    )
  }

  return (
    <section class="section">
      <header>
        <h2>What it may do</h2>
        <span class="hint">asks the roles of now; hooks are not asked</span>
      </header>
      <form
        class="row explain"
        onSubmit={(event) => {
          event.preventDefault()
          ask(event.currentTarget)
        }}
      >
        <label>
          May it
          <select name="action" value={action} onChange={(event) => setAction(event.currentTarget.value as Action)}>
            {Object.entries(actions).map(([name, words]) => (
              <option key={name} value={name}>
                {words}
              </option>
            ))}
          </select>
        </label>
        <Fields action={action} />
        <button type="submit">Ask</button>
      </form>
      {answer === undefined ? null : <Answer answer={answer} />}
      {error === undefined ? null : <Failure error={error} />}
    </section>
  )
}
