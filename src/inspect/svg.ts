import type { ElkExtendedEdge, ElkNode } from 'elkjs/lib/elk-api.js'

import { countOf, type ChartState } from './chart.ts'
import { drawingOf, invisible, layOutPicture, lineHeight, nameOf, type Drawing } from './picture-layout.ts'

/** Of both: what is drawn in `own` is none of this package's. */
const themes = {
  light: {
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
    own: '#c2410c',
  },
  dark: {
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
    own: '#fb923c',
  },
} as const
export type PictureTheme = keyof typeof themes
export const pictureThemes = Object.keys(themes) as readonly PictureTheme[]
type Theme = (typeof themes)[PictureTheme]

/** Fill and border by top-level state: what is inside takes the colours of what it is in. */
const paints: Readonly<Record<string, readonly [fill: keyof Theme, line: keyof Theme]>> = {
  connecting: ['start', 'line'],
  authenticating: ['decide', 'decideLine'],
  'enhanced-auth': ['decide', 'decideLine'],
  online: ['online', 'onlineLine'],
  offline: ['offline', 'offlineLine'],
  expired: ['final', 'finalLine'],
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

function drawNode(node: ElkNode, picture: Picture): string {
  const { drawing, theme } = picture
  const { states } = drawing
  const { id, x = 0, y = 0, width = 0, height = 0 } = node
  const inner = (node.children ?? []).map((child) => drawNode(child, picture)).join('')
  if (id.endsWith(':start')) return `<circle cx="${round(x + 5)}" cy="${round(y + 5)}" r="5" fill="${theme.quiet}"/>\n`
  const state = states.get(id)
  const [, top = ''] = id.split('.')
  if (!state || top === '') return inner
  const [fill, line] = paints[top] ?? paints[state.type === 'final' ? 'expired' : 'connecting']!
  const depth = id.split('.').length
  const isOwn = picture.own.has(id)
  const isRegion = states.get(id.split('.').slice(0, -1).join('.'))?.type === 'parallel'
  const box = (inset: number): string =>
    `<rect x="${round(x + inset)}" y="${round(y + inset)}" width="${round(width - inset * 2)}" height="${round(height - inset * 2)}" ` +
    `rx="${9 - inset}" fill="${depth === 2 ? theme[fill] : theme.paper}" fill-opacity="${depth === 2 ? 1 : 0.55}" ` +
    `stroke="${isOwn ? theme.own : theme[line]}" stroke-width="${isOwn ? 2.2 : depth === 2 ? 1.6 : 1.1}"${isRegion ? ' stroke-dasharray="5 4"' : ''}/>\n`
  const notes = drawing.notes.get(id) ?? []
  const center = round(x + width / 2)
  const titleY = y + (notes.length > 0 || node.children ? 24 : 22)
  const title = `<text x="${center}" y="${round(titleY)}" ${depth === 2 ? topText : innerText}>${escaped(nameOf(id) + countOf(state))}</text>\n`
  const lines = notes
    .map(
      (note, index) =>
        `<text x="${center}" y="${round(titleY + 4 + (index + 1) * lineHeight)}" ${eventText(theme)}>${escaped(note)}</text>\n`,
    )
    .join('')
  return `${box(0)}${state.type === 'final' ? box(4) : ''}${title}${lines}${inner}`
}

function edgesOf(node: ElkNode): ElkExtendedEdge[] {
  return [...(node.edges ?? []), ...(node.children ?? []).flatMap(edgesOf)].filter(({ id }) => id !== invisible)
}

function drawEdge(edge: ElkExtendedEdge, theme: Theme): string {
  return (edge.sections ?? [])
    .map(
      ({ startPoint, bendPoints = [], endPoint }) =>
        `<path d="${pathThrough([startPoint, ...bendPoints, endPoint])}" fill="none" stroke="${theme.line}" stroke-width="1.3" marker-end="url(#head)"/>\n`,
    )
    .join('')
}

function drawLabel(edge: ElkExtendedEdge, theme: Theme): string {
  return (edge.labels ?? [])
    .map(({ text = '', x = 0, y = 0, width = 0 }) => {
      const lines = text.split('\n')
      const spans = lines
        .map(
          (line, index) =>
            `<tspan x="${round(x + width / 2)}" y="${round(y + 13 + index * lineHeight)}">${escaped(line)}</tspan>`,
        )
        .join('')
      return `<text ${eventText(theme)}>${spans}</text>\n`
    })
    .join('')
}

/** What a picture is drawn with. */
interface Picture {
  readonly drawing: Drawing
  readonly theme: Theme
  /** Ids of states that the package's own machine does not have. */
  readonly own: ReadonlySet<string>
}

/** Attributes and no style sheet: where a policy forbids inline styles the picture looks the same. */
const topText = 'font-size="17" font-weight="650"'
const innerText = 'font-size="14" font-weight="600"'
const mono = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
const sans = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
const eventText = (theme: Theme): string => `font-family="${mono}" font-size="12" fill="${theme.quiet}"`

export interface PictureOptions {
  readonly theme: PictureTheme
  /** For those who do not see it. */
  readonly title: string
  /** The chart as the package has it: what it does not have is drawn as somebody's own. */
  readonly known?: ChartState | undefined
}

/** A chart as an SVG picture. Text in it is escaped: an embedder may name states as it likes. */
export async function drawPicture(chart: ChartState, { theme: name, title, known }: PictureOptions): Promise<string> {
  const drawing = drawingOf(chart)
  const knownIds = new Set(known && drawingOf(known).states.keys())
  const own = new Set(known ? [...drawing.states.keys()].filter((id) => !knownIds.has(id)) : [])
  const laidOut = await layOutPicture(drawing)
  const theme = themes[name]
  const [width, height] = [Math.ceil(laidOut.width ?? 0), Math.ceil(laidOut.height ?? 0)]
  const edges = edgesOf(laidOut)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title">
<title id="title">${escaped(title)}</title>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0.6L8 4L0 7.4z" fill="${theme.line}"/></marker></defs>
<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="12" fill="${theme.paper}" stroke="${theme.frame}"/>
<g text-anchor="middle" fill="${theme.ink}" font-family="${sans}">
${drawNode(laidOut, { drawing, theme, own })}${edges.map((edge) => drawEdge(edge, theme)).join('')}${edges.map((edge) => drawLabel(edge, theme)).join('')}</g>
</svg>
`
}
