import type { ELK, ElkExtendedEdge, ElkNode } from 'elkjs/lib/elk-api.js'

import type { ChartArrow, ChartBox, ChartEvent, ChartLayout, ChartPoint, ChartStart } from '../chart-layout.ts'
import type { ChartState } from './chart.ts'

/**
 * Where the boxes and arrows of a live chart stand: a compact picture, with room in every box for a name and a
 * number, and on the arrows for the name of an event and a rate. It comes from the machine's definition, so a
 * chart that a user has extended shows as extended.
 *
 * Events leave a chart's states at nearly every place, and one arrow for each would hide it. An arrow is drawn
 * between two boxes that stand beside each other, with all events that lead from anywhere inside the one to
 * anywhere inside the other; what leads back into the same box is told as its loops. So every box can be laid
 * out by itself: the life of a session runs to the right (or down), and what is beside each other in it does not
 * widen the picture.
 */
export async function layOutChart(chart: ChartState, direction: ChartDirection): Promise<ChartLayout> {
  const places = placesOf(chart)
  const arrows = arrowsOf(places)
  const { default: Elk } = (await import('elkjs/lib/elk.bundled.js')) as unknown as {
    default: { default: new () => ELK }
  }
  const laidOut = await new Elk.default().layout(nodeOf('', { places, arrows, direction }))
  return {
    id: chart.id,
    width: Math.ceil(laidOut.width ?? 0),
    height: Math.ceil(laidOut.height ?? 0),
    states: boxesOf(laidOut, places, arrows),
    starts: startsOf(laidOut),
    arrows: drawnArrows(laidOut, arrows),
  }
}

export type ChartDirection = 'right' | 'down'

interface Drawing {
  readonly places: Places
  readonly arrows: readonly Arrow[]
  readonly direction: ChartDirection
}

const options = {
  'elk.algorithm': 'layered',
  'elk.edgeRouting': 'ORTHOGONAL',
  'elk.json.edgeCoords': 'ROOT',
  'elk.json.shapeCoords': 'ROOT',
  'elk.edgeLabels.inline': 'true',
  'elk.layered.spacing.nodeNodeBetweenLayers': '18',
  'elk.layered.spacing.edgeNodeBetweenLayers': '9',
  'elk.layered.spacing.edgeEdgeBetweenLayers': '9',
  'elk.spacing.nodeNode': '18',
  'elk.spacing.edgeNode': '14',
  'elk.spacing.edgeEdge': '10',
  'elk.layered.nodePlacement.strategy': 'NETWORK_SIMPLEX',
  'elk.layered.nodePlacement.favorStraightEdges': 'true',
  'elk.layered.considerModelOrder.strategy': 'NODES_AND_EDGES',
  'elk.layered.cycleBreaking.strategy': 'MODEL_ORDER',
  'elk.separateConnectedComponents': 'false',
} as const

/** A state with its path: the names from the root down, `online.authority`; the root's is empty. */
type Places = ReadonlyMap<string, ChartState>

function placesOf(state: ChartState, path = '', found = new Map<string, ChartState>()): Map<string, ChartState> {
  found.set(path, state)
  for (const [name, inner] of Object.entries(state.states ?? {}))
    placesOf(inner, path === '' ? name : `${path}.${name}`, found)
  return found
}

const nameOf = (path: string): string => path.slice(path.lastIndexOf('.') + 1)
const parentOf = (path: string): string => (path.includes('.') ? path.slice(0, path.lastIndexOf('.')) : '')

/** The boxes in the innermost one that holds both states; twice the same where one of the two is inside the other. */
function besideEachOther(from: string, to: string): [string, string] {
  const [start, end] = [from.split('.'), to.split('.')]
  let depth = 0
  while (depth < Math.min(start.length, end.length) - 1 && start[depth] === end[depth]) depth += 1
  return [start.slice(0, depth + 1).join('.'), end.slice(0, depth + 1).join('.')]
}

interface Arrow {
  readonly from: string
  readonly to: string
  readonly events: ChartEvent[]
}

/** One arrow between each two boxes, with every event that takes it. */
function arrowsOf(places: Places): Arrow[] {
  const paths = new Map([...places].map(([path, { id }]) => [id, path]))
  const arrows = new Map<string, Arrow>()
  for (const [from, state] of places) {
    const transitions = [
      ...(state.always ?? []).map((transition) => ['', transition] as const),
      ...Object.entries(state.on ?? {}).flatMap(([event, some]) =>
        some.map((transition) => [event, transition] as const),
      ),
    ]
    for (const [event, { target, guard }] of transitions) {
      const to = paths.get(target?.[0]?.slice(1) ?? '')
      if (to === undefined || from === '') continue
      const [start, end] = besideEachOther(from, to)
      const arrow = arrows.get(`${start}>${end}`) ?? { from: start, to: end, events: [] }
      const label = labelOf(event, state, guard)
      if (!arrow.events.some((one) => one.event === event && one.label === label && one.from === from))
        arrow.events.push({ event, label, from })
      arrows.set(`${start}>${end}`, arrow)
    }
  }
  return [...arrows.values()]
}

/** XState's names of its own events hold ids; a reader knows an actor by its name, and an outcome by its guard. */
function labelOf(event: string, state: ChartState, guard: string | undefined): string {
  const told = guard === undefined ? '' : ` [${guard}]`
  if (event === '') return `always${told}`
  const [, kind, id = ''] = /^xstate\.(done\.actor|error\.actor|done\.state|after)\.(.*)$/.exec(event) ?? []
  if (kind === undefined) return event
  const actor = state.invoke?.find((invoked) => invoked.id === id)?.src ?? 'actor'
  if (kind === 'done.actor') return `${actor} done${told}`
  if (kind === 'error.actor') return `${actor} failed`
  return kind === 'after' ? `after ${id.split('.')[0] ?? ''}${told}` : `done${told}`
}

/** Width of text in the page's type, generously: browsers may have to show it in another. */
const textWidth = (text: string, size: number): number => text.length * size * 0.55

const leafHeight = { top: 56, inner: 32 }
const headHeight = 34

function nodeOf(path: string, drawing: Drawing): ElkNode {
  const state = drawing.places.get(path)!
  const inner = Object.keys(state.states ?? {}).map((name) => (path === '' ? name : `${path}.${name}`))
  const isTop = !path.includes('.')
  // At the top level the number stands below the name, elsewhere beside it.
  const width = Math.ceil(isTop ? Math.max(textWidth(nameOf(path), 14), 60) + 28 : textWidth(nameOf(path), 12.5) + 46)
  if (inner.length === 0) return { id: path, width, height: isTop ? leafHeight.top : leafHeight.inner }
  const children = inner.map((one) => nodeOf(one, drawing))
  const edges = drawing.arrows
    .filter(({ from, to }) => from !== to && parentOf(from) === path)
    .map((arrow) => edgeOf(arrow, path === '' && drawing.places.get(arrow.to)?.type !== 'final'))
  if (state.initial !== undefined) {
    const first = path === '' ? state.initial : `${path}.${state.initial}`
    children.unshift({ id: `${path}:start`, width: 8, height: 8 })
    edges.push({ id: `${path}:begin`, sources: [`${path}:start`], targets: [first] })
  }
  edges.push(...bySequence(inner, drawing))
  return { id: path, children, edges, layoutOptions: optionsOf(path, state, width, drawing.direction) }
}

/**
 * A state that leads back, or to the end only, has no place in the row of the others: it would be put far from
 * where it comes in time. An edge that is never drawn leads on to the state that its author has put next.
 */
function bySequence(inner: readonly string[], { places, arrows }: Drawing): ElkExtendedEdge[] {
  return inner.slice(0, -1).flatMap((path, index) => {
    const next = inner[index + 1]!
    const targets = arrows.filter(({ from, to }) => from === path && to !== path)
    const leadsOn = targets.some(({ to }) => inner.indexOf(to) > index && places.get(to)?.type !== 'final')
    if (leadsOn || targets.length === 0 || places.get(next)?.type === 'final') return []
    return [{ id: `${path}:next`, sources: [path], targets: [next] }]
  })
}

function optionsOf(path: string, state: ChartState, width: number, direction: ChartDirection): Record<string, string> {
  // In a picture that runs to the right, the steps inside a state of the top level go down: that keeps it narrow.
  const goesDown = direction === 'down' || (path !== '' && !path.includes('.') && state.type !== 'parallel')
  const elkDirection = { 'elk.direction': goesDown ? 'DOWN' : 'RIGHT' }
  if (path === '') return { ...options, ...elkDirection, 'elk.padding': '[top=8,left=8,bottom=8,right=8]' }
  return {
    ...options,
    ...elkDirection,
    'elk.padding': `[top=${headHeight},left=12,bottom=12,right=12]`,
    'elk.nodeSize.constraints': 'MINIMUM_SIZE',
    'elk.nodeSize.minimum': `(${width}, 60)`,
  }
}

/** What stands on an arrow: the first event, and how many others there are. */
function lineOf({ events }: Arrow): string {
  const names = [...new Set(events.filter(({ event }) => event !== '').map(({ label }) => label.replace(/ \[.*$/, '')))]
  if (names.length === 0) return ''
  return names.length === 1 ? names[0]! : `${names[0]} +${names.length - 1}`
}

/** The ways between states of the top level are told by name: on those inside, and on those that end it, there is no room. */
function edgeOf(arrow: Arrow, isNamed: boolean): ElkExtendedEdge {
  const edge = { id: `${arrow.from}>${arrow.to}`, sources: [arrow.from], targets: [arrow.to] }
  const text = isNamed ? lineOf(arrow) : ''
  if (text === '') return edge
  return { ...edge, labels: [{ text, width: Math.ceil(textWidth(text, 11)) + 6, height: 28 }] }
}

const round = (value: number): number => Math.round(value * 10) / 10

function nodesOf(node: ElkNode): ElkNode[] {
  return [node, ...(node.children ?? []).flatMap(nodesOf)]
}

function boxesOf(laidOut: ElkNode, places: Places, arrows: readonly Arrow[]): ChartBox[] {
  return nodesOf(laidOut)
    .filter(({ id }) => id !== '' && places.has(id))
    .map(({ id, x = 0, y = 0, width = 0, height = 0 }) => {
      const state = places.get(id)!
      const parent = parentOf(id)
      return {
        path: id,
        name: nameOf(id),
        type: state.type ?? (state.states === undefined ? 'atomic' : 'compound'),
        parent: parent === '' ? null : parent,
        isInitial: places.get(parent)?.initial === nameOf(id),
        loops: arrows.find(({ from, to }) => from === id && to === id)?.events ?? [],
        x: round(x),
        y: round(y),
        width: round(width),
        height: round(height),
      }
    })
}

function startsOf(laidOut: ElkNode): ChartStart[] {
  const edges = nodesOf(laidOut).flatMap(({ edges: some = [] }) => some)
  return edges
    .filter(({ id }) => id.endsWith(':begin'))
    .map((edge) => ({ to: edge.targets[0] ?? '', points: pointsOf(edge) }))
}

function pointsOf(edge: ElkExtendedEdge): ChartPoint[] {
  return (edge.sections ?? []).flatMap(({ startPoint, bendPoints = [], endPoint }) =>
    [startPoint, ...bendPoints, endPoint].map(({ x, y }) => ({ x: round(x), y: round(y) })),
  )
}

function drawnArrows(laidOut: ElkNode, arrows: readonly Arrow[]): ChartArrow[] {
  const edges = new Map(
    nodesOf(laidOut).flatMap(({ edges: some = [] }) => some.map((edge) => [edge.id, edge] as const)),
  )
  return arrows.flatMap(({ from, to, events }) => {
    const edge = edges.get(`${from}>${to}`)
    if (!edge) return []
    const [label] = edge.labels ?? []
    const { text = '', x = 0, y = 0, width = 0, height = 0 } = label ?? {}
    const room = label ? { text, x: round(x), y: round(y), width: round(width), height: round(height) } : null
    return [{ from, to, events, points: pointsOf(edge), label: room }]
  })
}
