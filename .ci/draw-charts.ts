import elk, { type ElkExtendedEdge, type ElkNode } from 'elkjs/lib/elk.bundled.js'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { sessionMachine } from '../machines/index.ts'
import { describeChart, type ChartState } from '../src/inspect/chart.ts'

/**
 * Draws docs/images/session.svg and session-dark.svg from the session machine: states, and which
 * events lead from one to another. Guards and actions are left to docs/machines.md. `--check` says
 * whether the pictures are the machine's own instead of writing them.
 */
const characterWidth = { label: 7.25, title: 9.4 }
const lineHeight = 16
const images = join(import.meta.dirname, '..', 'docs', 'images')

const themes = {
  session: {
    paper: '#ffffff',
    frame: '#d5dbe3',
    ink: '#1f2733',
    quiet: '#5a6675',
    line: '#7b8794',
    start: '#e8edf4',
    decide: '#fff3d6',
    decideLine: '#d29c1f',
    online: '#e4f6ea',
    onlineLine: '#35a35b',
    offline: '#e3effc',
    offlineLine: '#3b82d0',
    final: '#f0e9f7',
    finalLine: '#8659b5',
  },
  'session-dark': {
    paper: '#12161c',
    frame: '#2d3542',
    ink: '#e6ebf2',
    quiet: '#9fabba',
    line: '#75828f',
    start: '#262e3a',
    decide: '#3a2f14',
    decideLine: '#d6a437',
    online: '#15301f',
    onlineLine: '#46b76d',
    offline: '#152a42',
    offlineLine: '#5b9fe8',
    final: '#2c2139',
    finalLine: '#a67fd3',
  },
} as const
type Theme = (typeof themes)[keyof typeof themes]

/** Fill and border by top-level state: what is inside takes the colours of what it is in. */
const paints: Readonly<Record<string, readonly [fill: keyof Theme, line: keyof Theme]>> = {
  connecting: ['start', 'line'],
  authenticating: ['decide', 'decideLine'],
  'enhanced-auth': ['decide', 'decideLine'],
  online: ['online', 'onlineLine'],
  offline: ['offline', 'offlineLine'],
  expired: ['final', 'finalLine'],
}

interface Arrow {
  readonly from: string
  readonly to: string
  readonly events: string[]
}

/** A chart as it is drawn. */
interface Drawing {
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

function nameOf(id: string): string {
  return id.split('.').at(-1) ?? id
}

/**
 * What leads back into a state, or out of the chart, is told in its box: arrows with such long labels hide the rest. The
 * ways out are drawn as well where they are short, from the states that a session lives in.
 */
function drawingOf(chart: ChartState): Drawing {
  const states = statesOf(chart)
  const notes = new Map<string, string[]>()
  const arrows = arrowsOf(states).filter(({ from, to, events }) => {
    const isEnd = states.get(to)?.type === 'final'
    if (from !== to && !isEnd) return true
    const width = states.get(from)?.type === 'parallel' ? 84 : 40
    notes.set(from, [...(notes.get(from) ?? []), ...wrapped(events, width, isEnd ? '⊗ ' : '↻ ')])
    return isEnd && livedIn.has(nameOf(from))
  })
  for (const [id, { type }] of states) if (type === 'final') notes.set(id, ['⊗ leads here'])
  return { states, notes, arrows }
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
    nameOf(state.id).length * characterWidth.title,
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

function toEdge({ from, to, events }: Arrow, { states }: Drawing): ElkExtendedEdge {
  const order = [...states.keys()]
  // Arrows go down where the chart goes on, as its author has listed the states.
  const isForward = order.indexOf(from) < order.indexOf(to)
  const layoutOptions = { 'elk.layered.priority.direction': isForward ? '10' : '0' }
  const edge = { id: `${from}>${to}`, sources: [from], targets: [to], layoutOptions }
  if (states.get(to)?.type === 'final') return edge
  const lines = events.flatMap((event) => event.split(/ (?=\[)/))
  const width = Math.max(...lines.map((line) => line.length)) * characterWidth.label + 8
  return { ...edge, labels: [{ text: lines.join('\n'), width, height: lines.length * lineHeight + 2 }] }
}

const invisible = 'invisible'

async function layOut(chart: ChartState): Promise<ElkNode> {
  const drawing = drawingOf(chart)
  const root = toNode(chart, drawing)
  return await new elk.default().layout({
    ...root,
    edges: [
      ...(root.edges ?? []),
      // Never drawn: it puts the exchange between the states that it stands between in time.
      { id: invisible, sources: [`${chart.id}.enhanced-auth`], targets: [`${chart.id}.online`] },
      ...drawing.arrows.map((arrow) => toEdge(arrow, drawing)),
    ],
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

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

const round = (value: number): number => Math.round(value * 10) / 10

/** A path with round corners through points that lie at right angles. */
function pathThrough(points: readonly { readonly x: number; readonly y: number }[]): string {
  const radius = 7
  let path = `M${round(points[0]!.x)} ${round(points[0]!.y)}`
  for (let i = 1; i < points.length - 1; i++) {
    const [before, at, after] = [points[i - 1]!, points[i]!, points[i + 1]!]
    const towards = (other: typeof at): string => {
      const length = Math.hypot(other.x - at.x, other.y - at.y)
      const step = Math.min(radius, length / 2) / (length || 1)
      return `${round(at.x + (other.x - at.x) * step)} ${round(at.y + (other.y - at.y) * step)}`
    }
    path += `L${towards(before)}Q${round(at.x)} ${round(at.y)} ${towards(after)}`
  }
  const last = points.at(-1)!
  return `${path}L${round(last.x)} ${round(last.y)}`
}

function drawNode(node: ElkNode, drawing: Drawing, theme: Theme): string {
  const { states } = drawing
  const { id, x = 0, y = 0, width = 0, height = 0 } = node
  const inner = (node.children ?? []).map((child) => drawNode(child, drawing, theme)).join('')
  if (id.endsWith(':start')) return `<circle cx="${round(x + 5)}" cy="${round(y + 5)}" r="5" fill="${theme.quiet}"/>\n`
  const state = states.get(id)
  const [, top = ''] = id.split('.')
  if (!state || top === '') return inner
  const [fill, line] = paints[top] ?? (['start', 'line'] as const)
  const depth = id.split('.').length
  const isRegion = states.get(id.split('.').slice(0, -1).join('.'))?.type === 'parallel'
  const box = (inset: number): string =>
    `<rect x="${round(x + inset)}" y="${round(y + inset)}" width="${round(width - inset * 2)}" height="${round(height - inset * 2)}" ` +
    `rx="${9 - inset}" fill="${depth === 2 ? theme[fill] : theme.paper}" fill-opacity="${depth === 2 ? 1 : 0.55}" ` +
    `stroke="${theme[line]}" stroke-width="${depth === 2 ? 1.6 : 1.1}"${isRegion ? ' stroke-dasharray="5 4"' : ''}/>\n`
  const notes = drawing.notes.get(id) ?? []
  const center = round(x + width / 2)
  const titleY = y + (notes.length > 0 || node.children ? 24 : 22)
  const title = `<text x="${center}" y="${round(titleY)}" class="${depth === 2 ? 'top' : 'sub'}">${escaped(nameOf(id))}</text>\n`
  const lines = notes
    .map(
      (note, index) =>
        `<text x="${center}" y="${round(titleY + 4 + (index + 1) * lineHeight)}" class="event">${escaped(note)}</text>\n`,
    )
    .join('')
  return `${box(0)}${state.type === 'final' ? box(4) : ''}${title}${lines}${inner}`
}

function edgesOf(node: ElkNode): ElkExtendedEdge[] {
  return [...(node.edges ?? []), ...(node.children ?? []).flatMap(edgesOf)].filter(({ id }) => id !== invisible)
}

function drawEdge(edge: ElkExtendedEdge): string {
  return (edge.sections ?? [])
    .map(
      ({ startPoint, bendPoints = [], endPoint }) =>
        `<path d="${pathThrough([startPoint, ...bendPoints, endPoint])}" class="arrow"/>\n`,
    )
    .join('')
}

function drawLabel(edge: ElkExtendedEdge): string {
  return (edge.labels ?? [])
    .map(({ text = '', x = 0, y = 0, width = 0 }) => {
      const lines = text.split('\n')
      const spans = lines
        .map(
          (line, index) =>
            `<tspan x="${round(x + width / 2)}" y="${round(y + 13 + index * lineHeight)}">${escaped(line)}</tspan>`,
        )
        .join('')
      return `<text class="event">${spans}</text>\n`
    })
    .join('')
}

function draw(laidOut: ElkNode, chart: ChartState, theme: Theme): string {
  const { width = 0, height = 0 } = laidOut
  const edges = edgesOf(laidOut)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${Math.ceil(width)} ${Math.ceil(height)}" width="${Math.ceil(width)}" height="${Math.ceil(height)}" role="img" aria-labelledby="title">
<title id="title">The states of a statemq session and the events that lead from one to another</title>
<style>
text { text-anchor: middle; fill: ${theme.ink}; font-family: system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif }
.top { font-size: 17px; font-weight: 650 }
.sub { font-size: 14px; font-weight: 600 }
.event { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: ${theme.quiet} }
.arrow { fill: none; stroke: ${theme.line}; stroke-width: 1.3; marker-end: url(#head) }
</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0.6L8 4L0 7.4z" fill="${theme.line}"/></marker></defs>
<rect x="0.5" y="0.5" width="${Math.ceil(width) - 1}" height="${Math.ceil(height) - 1}" rx="12" fill="${theme.paper}" stroke="${theme.frame}"/>
${drawNode(laidOut, drawingOf(chart), theme)}${edges.map(drawEdge).join('')}${edges.map((edge) => drawLabel(edge)).join('')}</svg>
`
}

/** The pictures by file name. */
export async function drawCharts(): Promise<Map<string, string>> {
  const chart = describeChart(sessionMachine)
  const laidOut = await layOut(chart)
  return new Map(Object.entries(themes).map(([name, theme]) => [`${name}.svg`, draw(laidOut, chart, theme)]))
}

if (process.argv[1] === import.meta.filename) {
  for (const [name, text] of await drawCharts()) {
    const file = join(images, name)
    if (!process.argv.includes('--check')) writeFileSync(file, text)
    else if (readFileSync(file, 'utf8') !== text) {
      console.error(`docs/images/${name} is not the machine's own; renew it with: node .ci/draw-charts.ts`)
      process.exitCode = 1
    }
  }
}
