import type { ELK, ElkExtendedEdge, ElkNode } from 'elkjs/lib/elk-api.js'

import { countOf, type ChartState, type ChartTransition } from './chart.ts'

/**
 * The layout of a picture: every state, and on each arrow all events that take it, since nobody can ask a
 * picture for more. Guards and actions are left to docs/machines.md. `layout.ts` has the compact one of the
 * page, where one can.
 */
const characterWidth = { label: 7.25, title: 9.4 }
export const lineHeight = 16

/** An author may have given states ids of any kind; a picture goes by where they are: `chart.online.authority`. */
function withPathsAsIds(chart: ChartState): ChartState {
  const paths = new Map<string, string>()
  const collect = (state: ChartState, path: string): void => {
    paths.set(state.id, path)
    for (const [name, inner] of Object.entries(state.states ?? {})) collect(inner, `${path}.${name}`)
  }
  collect(chart, 'chart')
  const moved = (transition: ChartTransition): ChartTransition => ({
    ...transition,
    ...(transition.target ? { target: transition.target.map((id) => `#${paths.get(id.slice(1)) ?? ''}`) } : {}),
  })
  const rename = (state: ChartState): ChartState => ({
    ...state,
    id: paths.get(state.id)!,
    ...(state.always ? { always: state.always.map(moved) } : {}),
    ...(state.on
      ? { on: Object.fromEntries(Object.entries(state.on).map(([event, some]) => [event, some.map(moved)])) }
      : {}),
    ...(state.states
      ? { states: Object.fromEntries(Object.entries(state.states).map(([name, inner]) => [name, rename(inner)])) }
      : {}),
  })
  return rename(chart)
}

interface Arrow {
  readonly from: string
  readonly to: string
  readonly events: string[]
}

/** A chart as it is drawn. */
export interface Drawing {
  readonly chart: ChartState
  /** Ends that so many arrows lead to that most are told in words. */
  readonly folded: ReadonlySet<string>
  readonly states: ReadonlyMap<string, ChartState>
  readonly arrows: readonly Arrow[]
  /** Lines below the name of a state. */
  readonly notes: ReadonlyMap<string, readonly string[]>
}

function statesOf(chart: ChartState): Map<string, ChartState> {
  const found = new Map([[chart.id, chart]])
  for (const state of Object.values(chart.states ?? {})) for (const [id, inner] of statesOf(state)) found.set(id, inner)
  return found
}

/** XState names the events of invoked actors by the actor's id; a reader knows it by its name, and by what it found. */
function eventName(event: string, state: ChartState, guard: string | undefined): string {
  const [, outcome, id] = /^xstate\.(done|error)\.actor\.(.*)$/.exec(event) ?? []
  if (id === undefined) return event
  const actor = state.invoke?.find((invoked) => invoked.id === id)?.src ?? 'actor'
  return `${actor} ${outcome === 'done' ? 'done' : 'failed'}${bracketed(guard)}`
}

function bracketed(guard: string | undefined): string {
  return guard === undefined ? '' : ` [${guard}]`
}

/** One arrow between each two states, with every event that takes it. */
function arrowsOf(states: ReadonlyMap<string, ChartState>): Arrow[] {
  const arrows = new Map<string, Arrow>()
  for (const [from, state] of states) {
    const transitions = [
      ...(state.always ?? []).map((transition) => [`always${bracketed(transition.guard)}`, transition] as const),
      ...Object.entries(state.on ?? {}).flatMap(([event, some]) =>
        some.map((transition) => [eventName(event, state, transition.guard), transition] as const),
      ),
    ]
    for (const [event, { target }] of transitions) {
      const to = target?.[0]?.slice(1)
      if (to === undefined) continue
      const arrow = arrows.get(`${from}>${to}`) ?? { from, to, events: [] }
      if (!arrow.events.includes(event)) arrow.events.push(event)
      arrows.set(`${from}>${to}`, arrow)
    }
  }
  return [...arrows.values()]
}

const livedIn = new Set(['online', 'offline'])

export function nameOf(id: string): string {
  return id.split('.').at(-1) ?? id
}

/** As many arrows to one end can be followed. */
const MAX_ARROWS_TO_END = 3

/**
 * What leads back into a state is told in its box: arrows with such long labels hide the rest. So are the ways to an
 * end that nearly all states have; they are drawn as well where they are short, from the states that a session lives in.
 */
export function drawingOf(described: ChartState): Drawing {
  const chart = withPathsAsIds(described)
  const states = statesOf(chart)
  const all = arrowsOf(states)
  const notes = new Map<string, string[]>()
  const folded = new Set(
    [...states.keys()].filter(
      (id) => states.get(id)!.type === 'final' && all.filter(({ to }) => to === id).length > MAX_ARROWS_TO_END,
    ),
  )
  const arrows = all.filter(({ from, to, events }) => {
    const isEnd = folded.has(to)
    if (from !== to && !isEnd) return true
    const width = states.get(from)?.type === 'parallel' ? 84 : 40
    notes.set(from, [...(notes.get(from) ?? []), ...wrapped(events, width, isEnd ? '⊗ ' : '↻ ')])
    return isEnd && livedIn.has(nameOf(from))
  })
  for (const id of folded) notes.set(id, ['⊗ leads here'])
  return { chart, states, notes, arrows, folded }
}

function wrapped(events: readonly string[], width: number, mark = ''): string[] {
  const lines: string[] = []
  for (const event of events) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + event.length + 3 <= width) lines[lines.length - 1] = `${last} · ${event}`
    else lines.push(`${last === undefined ? mark : ''}${event}`)
  }
  return lines
}

function toNode(state: ChartState, drawing: Drawing): ElkNode {
  const notes = drawing.notes.get(state.id) ?? []
  const widest = Math.max(
    (nameOf(state.id).length + countOf(state).length) * characterWidth.title,
    ...notes.map((note) => note.length * characterWidth.label),
  )
  const inner = Object.values(state.states ?? {})
  const noteHeight = notes.length * lineHeight + (notes.length > 0 ? 4 : 0)
  if (inner.length === 0) {
    return { id: state.id, width: Math.ceil(widest) + 28, height: 34 + noteHeight }
  }
  const edges: ElkExtendedEdge[] = []
  const children = inner.map((one) => toNode(one, drawing))
  if (state.initial !== undefined) {
    children.unshift({ id: `${state.id}:start`, width: 10, height: 10 })
    edges.push({ id: `${state.id}:begin`, sources: [`${state.id}:start`], targets: [`${state.id}.${state.initial}`] })
  }
  const top = 40 + noteHeight
  return {
    id: state.id,
    children,
    edges,
    layoutOptions: {
      'elk.padding': `[top=${top},left=16,bottom=16,right=16]`,
      'elk.nodeSize.constraints': 'MINIMUM_SIZE',
      'elk.nodeSize.minimum': `(${Math.ceil(widest) + 28}, 60)`,
    },
  }
}

function toEdge({ from, to, events }: Arrow, { states, folded }: Drawing): ElkExtendedEdge {
  const order = [...states.keys()]
  // Arrows go down where the chart goes on, as its author has listed the states.
  const isForward = order.indexOf(from) < order.indexOf(to)
  const layoutOptions = { 'elk.layered.priority.direction': isForward ? '10' : '0' }
  const edge = { id: `${from}>${to}`, sources: [from], targets: [to], layoutOptions }
  if (folded.has(to)) return edge
  const lines = events.flatMap((event) => event.split(/ (?=\[)/))
  const width = Math.max(...lines.map((line) => line.length)) * characterWidth.label + 8
  return { ...edge, labels: [{ text: lines.join('\n'), width, height: lines.length * lineHeight + 2 }] }
}

export const invisible = 'invisible'

/** Never drawn: it puts the exchange of a session between the states that it stands between in time. */
function orderOf(chart: ChartState): ElkExtendedEdge[] {
  const { 'enhanced-auth': exchange, online } = chart.states ?? {}
  return exchange && online ? [{ id: invisible, sources: [exchange.id], targets: [online.id] }] : []
}

/** Where everything in a picture stands. */
export async function layOutPicture(drawing: Drawing): Promise<ElkNode> {
  const { chart } = drawing
  const { default: Elk } = (await import('elkjs/lib/elk.bundled.js')) as unknown as {
    default: { default: new () => ELK }
  }
  const root = toNode(chart, drawing)
  return await new Elk.default().layout({
    ...root,
    edges: [...(root.edges ?? []), ...orderOf(chart), ...drawing.arrows.map((arrow) => toEdge(arrow, drawing))],
    layoutOptions: {
      'elk.algorithm': 'layered',
      'elk.direction': 'DOWN',
      'elk.hierarchyHandling': 'INCLUDE_CHILDREN',
      'elk.edgeRouting': 'ORTHOGONAL',
      'elk.json.edgeCoords': 'ROOT',
      'elk.json.shapeCoords': 'ROOT',
      'elk.edgeLabels.inline': 'true',
      'elk.layered.spacing.nodeNodeBetweenLayers': '22',
      'elk.layered.spacing.edgeNodeBetweenLayers': '16',
      'elk.spacing.nodeNode': '26',
      'elk.spacing.edgeNode': '18',
      'elk.spacing.edgeEdge': '14',
      'elk.layered.nodePlacement.strategy': 'NETWORK_SIMPLEX',
      'elk.layered.nodePlacement.favorStraightEdges': 'true',
      'elk.layered.cycleBreaking.strategy': 'GREEDY',
      'elk.padding': '[top=20,left=20,bottom=20,right=20]',
    },
  })
}
