import type { JSX } from 'preact'
import { useEffect, useId, useLayoutEffect, useRef, useState } from 'preact/hooks'

import { ClientText } from '../parts/client-text.tsx'
import { useResource } from '../parts/use-resource.ts'
import { send } from '../shell/api.ts'
import { complete, suggestionsAt, type FilterWords, type Suggestion, type Suggestions } from './complete-filter.ts'

const noWords: FilterWords = { fields: [], attributes: [], properties: [], roles: [] }
const none: Suggestions = { from: 0, to: 0, options: [] }
/** Who types is not checked at every key. */
const checkAfterMs = 200

interface FilterVerdict {
  readonly valid: boolean
  readonly message: string | null
  readonly offset: number | null
}

/** What the broker says of the filter, a moment after the last key. */
function useVerdict(text: string, onValid: (filter: string) => void): FilterVerdict | undefined {
  const [verdict, setVerdict] = useState<{ readonly text: string; readonly verdict: FilterVerdict }>()
  const told = useRef(onValid)
  told.current = onValid
  useEffect(() => {
    let isCurrent = true
    const check = (): void => {
      send<FilterVerdict>('POST', '/api/v1/filter/check', { filter: text.trim() === '' ? '' : text }).then(
        (answer) => {
          if (!isCurrent) return
          setVerdict({ text, verdict: answer })
          if (answer.valid) told.current(text.trim())
        },
        // That nobody can be asked shows elsewhere.
        () => undefined,
      )
    }
    const timer = setTimeout(check, checkAfterMs)
    return () => {
      isCurrent = false
      clearTimeout(timer)
    }
  }, [text])
  return verdict?.text === text ? verdict.verdict : undefined
}

/** The message without the name of the error and the offset, which are shown in their own way. */
function inWords(message: string | null): string {
  return (message ?? '').replace(/^[^:]*: at \d+: /s, '')
}

/** Under the text, where the filter stops making sense. */
function Mark({
  text,
  offset,
  scrolled,
}: {
  readonly text: string
  readonly offset: number
  readonly scrolled: number
}) {
  const end = /^[\w$@.-]+|^./su.exec(text.slice(offset))?.[0].length ?? 0
  return (
    <div class="filter-mark" aria-hidden="true">
      <span style={{ transform: `translateX(${-scrolled}px)` }}>
        {text.slice(0, offset)}
        <mark data-offset={offset}>{end === 0 ? ' ' : text.slice(offset, offset + end)}</mark>
      </span>
    </div>
  )
}

interface ListProps {
  readonly id: string
  readonly suggestions: Suggestions
  readonly active: number
  readonly onChoose: (chosen: Suggestion) => void
}

function SuggestionList({ id, suggestions, active, onChoose }: ListProps): JSX.Element {
  return (
    // oxlint-disable-next-line jsx-a11y/click-events-have-key-events -- its keys are those of the text box, which keeps the focus
    <div
      id={id}
      class="suggestions"
      role="listbox"
      aria-label="What can stand here"
      tabIndex={-1}
      onPointerDown={(event) => event.preventDefault()}
      onClick={(event) => {
        const option = (event.target as Element).closest<HTMLElement>('[data-index]')
        const chosen = suggestions.options[Number(option?.dataset['index'] ?? -1)]
        if (chosen) onChoose(chosen)
      }}
    >
      {suggestions.options.map((option, index) => (
        <div
          key={option.text}
          id={`${id}-${index}`}
          role="option"
          data-index={index}
          tabIndex={-1}
          aria-selected={index === active}
        >
          <ClientText value={option.text} />
          <span class="quiet">{option.kind}</span>
        </div>
      ))}
    </div>
  )
}

/** The text of the box, and what can stand at the caret. */
function useCompletion(filter: string) {
  const input = useRef<HTMLInputElement>(null)
  const [text, setText] = useState(filter)
  const [suggestions, setSuggestions] = useState(none)
  const [active, setActive] = useState(-1)
  const caret = useRef<number | undefined>(undefined)
  const words = useResource<FilterWords>('/api/v1/filter/words').data ?? noWords

  // The address has another one: a link was followed.
  useEffect(() => setText((before) => (before.trim() === filter ? before : filter)), [filter])
  useLayoutEffect(() => {
    if (caret.current === undefined) return
    input.current?.setSelectionRange(caret.current, caret.current)
    caret.current = undefined
  }, [text])

  const close = (): void => setSuggestions(none)
  const suggest = (value: string, at: number): void => {
    setSuggestions(suggestionsAt(value, at, words))
    setActive(-1)
  }
  const type = (value: string, at: number): void => {
    setText(value)
    suggest(value, at)
  }
  const choose = (chosen: Suggestion): void => {
    const completed = complete(text, suggestions, chosen)
    caret.current = completed.caret
    type(completed.text, completed.caret)
  }
  const onKeyDown = (event: KeyboardEvent): void => {
    const { length } = suggestions.options
    const isOpen = length > 0
    const chosen = suggestions.options[active]
    if (event.key === 'ArrowDown' && !isOpen) suggest(text, input.current?.selectionStart ?? text.length)
    else if (event.key === 'ArrowDown') setActive((active + 1) % length)
    else if (event.key === 'ArrowUp' && isOpen) setActive((active <= 0 ? length : active) - 1)
    else if ((event.key === 'Enter' || event.key === 'Tab') && chosen) choose(chosen)
    else if (event.key === 'Enter' || (event.key === 'Escape' && isOpen)) close()
    else return
    event.preventDefault()
  }
  return { input, text, suggestions, active, type, choose, close, onKeyDown }
}

export interface FilterBoxProps {
  readonly filter: string
  /** A filter that can be read was typed. */
  readonly onFilter: (filter: string) => void
}

/** The search box: the filter language of docs/sessions.md with completion, and an error where it is. */
export function FilterBox({ filter, onFilter }: FilterBoxProps): JSX.Element {
  const id = useId()
  const { input, text, suggestions, active, type, choose, close, onKeyDown } = useCompletion(filter)
  const [scrolled, setScrolled] = useState(0)
  const verdict = useVerdict(text, onFilter)
  const isOpen = suggestions.options.length > 0
  const fault = verdict?.valid === false ? verdict : undefined
  const follow = (): void => setScrolled(input.current?.scrollLeft ?? 0)
  return (
    <div class="filter-box">
      <label htmlFor={`${id}-input`}>
        Filter <span class="hint">such as hasRoles ["operator"] and $ClientIP like "10.*"</span>
      </label>
      <div class="filter-field">
        <input
          ref={input}
          id={`${id}-input`}
          type="text"
          role="combobox"
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          aria-expanded={isOpen}
          aria-controls={`${id}-list`}
          aria-autocomplete="list"
          aria-activedescendant={active >= 0 ? `${id}-list-${active}` : undefined}
          aria-invalid={fault !== undefined}
          aria-describedby={`${id}-fault`}
          value={text}
          onInput={({ currentTarget: { value, selectionStart } }) => type(value, selectionStart ?? value.length)}
          onKeyDown={onKeyDown}
          onKeyUp={follow}
          onScroll={follow}
          onBlur={close}
        />
        {typeof fault?.offset === 'number' ? <Mark text={text} offset={fault.offset} scrolled={scrolled} /> : null}
        {text === '' ? null : (
          <button
            type="button"
            class="quiet-button filter-clear"
            aria-label="Clear the filter"
            onClick={() => {
              type('', 0)
              close()
              input.current?.focus()
            }}
          >
            <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
              <path d="M3 3l10 10M13 3L3 13" stroke="currentColor" stroke-width="1.6" />
            </svg>
          </button>
        )}
        {isOpen ? (
          <SuggestionList id={`${id}-list`} suggestions={suggestions} active={active} onChoose={choose} />
        ) : null}
      </div>
      <p id={`${id}-fault`} class="filter-fault" role="status">
        {fault ? (
          <>
            At character {(fault.offset ?? 0) + 1}: <ClientText value={inWords(fault.message)} />
          </>
        ) : null}
      </p>
    </div>
  )
}
