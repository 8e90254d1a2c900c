import { countOf, type ChartState, type ChartTransition } from './chart.ts'

/**
 * Draws a chart as a mermaid `stateDiagram-v2`.
 *
 * Mermaid draws arrows between states of the same box only, so an arrow that crosses the edge of a
 * box is drawn between the two boxes (or box and state) that lie side by side, and its label begins
 * or ends with the inner state that it really leaves or enters. The regions of a parallel state are
 * boxes side by side, and its title says so: mermaid's own divider, `--`, takes their names away,
 * and its layout fails on arrows to boxes inside a region.
 *
 * `full` shows guards, actions and what happens inside a state; `brief` only which events lead from
 * state to state.
 */
export function toMermaid(chart: ChartState, detail: ChartDetail = 'full'): string {
  return ['stateDiagram-v2', ...new Drawing(chart, detail).lines(), ''].join('\n')
}

/** Whether guards and actions are drawn as well, or only which event leads where. */
export type ChartDetail = 'full' | 'brief'

/** Words that mermaid's grammar keeps for itself. */
const reserved = new Set(['state', 'note', 'end', 'default', 'style', 'class', 'classdef', 'direction', 'click', 'as'])

interface Place {
  readonly state: ChartState
  /** Its names from the root down; the root has none. */
  readonly path: readonly string[]
}

class Drawing {
  readonly #root: ChartState
  readonly #detail: ChartDetail
  readonly #byId = new Map<string, Place>()
  /** Labels of all arrows between two states, by the box that they are drawn in. */
  readonly #arrows = new Map<string, Map<string, string[]>>()
  /** What happens in a state without leaving it. */
  readonly #inner = new Map<string, string[]>()

  constructor(root: ChartState, detail: ChartDetail) {
    this.#root = root
    this.#detail = detail
    this.#collect({ state: root, path: [] })
    for (const place of this.#byId.values()) this.#addTransitions(place)
  }

  lines(): string[] {
    const anywhere = this.#detail === 'brief' ? [] : (this.#inner.get('') ?? [])
    return [
      ...anywhere.map((label) => `  %% in every state: ${label}`),
      ...this.#box({ state: this.#root, path: [] }, '  '),
    ]
  }

  #collect(place: Place): void {
    this.#byId.set(place.state.id, place)
    for (const [name, state] of Object.entries(place.state.states ?? {}))
      this.#collect({ state, path: [...place.path, name] })
  }

  #addTransitions(from: Place): void {
    const { always = [], on = {} } = from.state
    for (const transition of always) this.#addTransition(from, 'always', transition)
    for (const [event, transitions] of Object.entries(on)) {
      for (const transition of transitions) this.#addTransition(from, eventName(event, from.state), transition)
    }
  }

  #label(event: string, { guard, actions }: ChartTransition): string {
    if (this.#detail === 'brief') return event
    return `${event}${guard === undefined ? '' : ` [${guard}]`}${actions === undefined ? '' : ` / ${actions.join(', ')}`}`
  }

  #addTransition(from: Place, event: string, transition: ChartTransition): void {
    const label = this.#label(event, transition)
    const target = transition.target?.[0]
    const to = target === undefined ? undefined : this.#byId.get(target.slice(1))
    if (!to) {
      const key = idOf(from.path)
      this.#inner.set(key, [...(this.#inner.get(key) ?? []), label])
      return
    }
    const shared = sharedLength(from.path, to.path)
    const box = idOf(from.path.slice(0, shared))
    const start = from.path.slice(0, shared + 1)
    const end = to.path.slice(0, shared + 1)
    const origin = from.path.slice(shared + 1).join('.')
    const goal = to.path.slice(shared + 1).join('.')
    const arrow = `${idOf(start)} --> ${idOf(end)}`
    const inBox = this.#arrows.get(box) ?? new Map<string, string[]>()
    const whole = `${origin ? `${origin} · ` : ''}${label}${goal ? ` → ${goal}` : ''}`
    // Without guards, several transitions on one event look the same.
    inBox.set(arrow, [...new Set([...(inBox.get(arrow) ?? []), whole])])
    this.#arrows.set(box, inBox)
  }

  /** The inside of a state: its states, where it starts, the arrows between them. */
  #box({ state, path }: Place, indent: string): string[] {
    const inside = Object.entries(state.states ?? {}).map(([name, inner]) => ({ state: inner, path: [...path, name] }))
    const states = inside.flatMap((place) => this.#state(place, indent))
    const arrows = [...(this.#arrows.get(idOf(path)) ?? [])].map(
      ([arrow, labels]) => `${indent}${arrow} : ${labels.map(plain).join('<br>')}`,
    )
    const start = state.initial === undefined ? [] : [`${indent}[*] --> ${idOf([...path, state.initial])}`]
    const ends = inside
      .filter((place) => place.state.type === 'final')
      .map((place) => `${indent}${idOf(place.path)} --> [*]`)
    return [...states, ...start, ...arrows, ...ends]
  }

  #state(place: Place, indent: string): string[] {
    const { state, path } = place
    const id = idOf(path)
    const title = `state "${plain(path.at(-1) ?? state.id)}${state.type === 'parallel' ? ' (parallel)' : ''}${countOf(state)}" as ${id}`
    const facts = this.#detail === 'brief' ? [] : [...happenings(state), ...(this.#inner.get(id) ?? [])].map(plain)
    if (!state.states) return [`${indent}${title}`, ...facts.map((fact) => `${indent}${id} : ${fact}`)]
    const note =
      facts.length > 0
        ? [`${indent}note right of ${id}`, ...facts.map((fact) => `${indent}  ${fact}`), `${indent}end note`]
        : []
    return [`${indent}${title} {`, ...this.#box(place, `${indent}  `), `${indent}}`, ...note]
  }
}

/** What a state does by itself. */
function happenings({ entry = [], exit = [], invoke = [] }: ChartState): string[] {
  return [
    ...(entry.length > 0 ? [`entry / ${entry.join(', ')}`] : []),
    ...(exit.length > 0 ? [`exit / ${exit.join(', ')}`] : []),
    ...invoke.map(({ src }) => `invoke ${src}`),
  ]
}

/** XState's names of its own events hold ids of states and actors; a reader wants to know whose end they mean. */
function eventName(event: string, state: ChartState): string {
  const [, kind, id = ''] = /^xstate\.(done\.actor|error\.actor|done\.state|after)\.(.*)$/.exec(event) ?? []
  const actor = state.invoke?.find((invoked) => invoked.id === id)?.src ?? 'actor'
  switch (kind) {
    case 'done.actor':
      return `${actor} done`
    case 'error.actor':
      return `${actor} failed`
    case 'done.state':
      return 'done'
    case 'after':
      return `after ${id.split('.')[0] ?? ''}`
    default:
      return event
  }
}

function idOf(path: readonly string[]): string {
  const id = path.join('_').replace(/\W/g, '_')
  return reserved.has(id.toLowerCase()) ? `${id}_` : id
}

/** Mermaid ends a label at a semicolon or a line's end, and reads a colon, braces and quotes its own way. */
function plain(text: string): string {
  return text.replace(/[\r\n;:{}"]+/g, ' ')
}

/** How many names two paths have in common, their own last ones left out: the box that holds both. */
function sharedLength(a: readonly string[], b: readonly string[]): number {
  const most = Math.max(0, Math.min(a.length, b.length) - 1)
  let length = 0
  while (length < most && a[length] === b[length]) length += 1
  return length
}
