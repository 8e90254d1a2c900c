import type { ChartArrow, ChartBox, ChartLayout } from '../../../chart-layout.ts'
import type { TransitionFlow } from '../../../inspection.ts'

/** Every state of the machine that comes with statemq; a box that is not among them is an embedder's own. */
const builtIn = new Set([
  'connecting',
  'authenticating',
  'authenticating.arriving',
  'authenticating.identity',
  'authenticating.admission',
  'authenticating.claiming',
  'enhanced-auth',
  'online',
  'online.authority',
  'online.authority.valid',
  'online.authority.expiring',
  'online.authority.grace',
  'online.authority.lapsed',
  'online.reauthentication',
  'online.reauthentication.idle',
  'online.reauthentication.underway',
  'online.reauthentication.underway.deciding',
  'online.reauthentication.underway.challenged',
  'online.delivery',
  'online.delivery.waking',
  'online.delivery.flowing',
  'online.delivery.throttled',
  'offline',
  'expired',
])

export function isOwn(path: string): boolean {
  return !builtIn.has(path)
}

/** States by colour: what is inside a state takes the colour of what it is in. */
export type Family = 'begin' | 'decide' | 'online' | 'offline' | 'end' | 'own'

const families: Readonly<Record<string, Family>> = {
  connecting: 'begin',
  authenticating: 'decide',
  'enhanced-auth': 'decide',
  online: 'online',
  offline: 'offline',
  expired: 'end',
}

export function familyOf(path: string): Family {
  return isOwn(path) ? 'own' : (families[path.split('.', 1)[0] ?? ''] ?? 'own')
}

/** As layout.ts gathers arrows: between the two boxes that stand beside each other in the innermost one with both. */
export function arrowKey(from: string, to: string): string {
  const [start, end] = [from.split('.'), to.split('.')]
  let depth = 0
  while (depth < Math.min(start.length, end.length) - 1 && start[depth] === end[depth]) depth += 1
  return `${start.slice(0, depth + 1).join('.')}>${end.slice(0, depth + 1).join('.')}`
}

export function keyOf({ from, to }: Pick<ChartArrow, 'from' | 'to'>): string {
  return `${from}>${to}`
}

/** How many sessions are in each box, from the census of the innermost states. */
export function countsOf(layout: ChartLayout, census: Readonly<Record<string, number>>): Map<string, number> {
  const counts = new Map<string, number>()
  // A box comes before those inside it: backwards, everything inside is known already.
  for (const { path, type, parent } of layout.states.toReversed()) {
    const own = counts.get(path) ?? 0
    const all = type === 'atomic' || type === 'final' ? (census[path] ?? 0) : own
    counts.set(path, all)
    if (parent === null) continue
    const above = counts.get(parent) ?? 0
    const isParallel = layout.states.some((box) => box.path === parent && box.type === 'parallel')
    // Each session is in every region of a parallel state at once.
    counts.set(parent, isParallel ? Math.max(above, all) : above + all)
  }
  return counts
}

/** Steps per second on each arrow and loop, by {@link arrowKey}, between two readings of the broker's counts. */
export function ratesBetween(
  before: readonly TransitionFlow[],
  after: readonly TransitionFlow[],
  seconds: number,
): Map<string, number> {
  const rates = new Map<string, number>()
  if (seconds <= 0) return rates
  const known = new Map(before.map((flow) => [`${flow.from} ${flow.event} ${flow.to}`, flow.count]))
  for (const { from, event, to, count } of after) {
    const steps = count - (known.get(`${from} ${event} ${to}`) ?? 0)
    if (steps <= 0) continue
    const key = arrowKey(from, to)
    rates.set(key, (rates.get(key) ?? 0) + steps / seconds)
  }
  return rates
}

/** The boxes that are lit while these innermost states are active: they, and all that they are in. */
export function litBy(active: readonly string[]): Set<string> {
  const lit = new Set<string>()
  for (const leaf of active) {
    const names = leaf.split('.')
    for (let depth = 1; depth <= names.length; depth++) lit.add(names.slice(0, depth).join('.'))
  }
  return lit
}

/** The arrows and loops that a step took: from each state that it left to each that it entered. */
export function keysOfStep(from: readonly string[], to: readonly string[]): string[] {
  const left = from.filter((path) => !to.includes(path))
  const entered = to.filter((path) => !from.includes(path))
  const origins = left.length > 0 ? left : from
  const goals = entered.length > 0 ? entered : to
  const keys = new Set<string>()
  for (const origin of origins) for (const goal of goals) keys.add(arrowKey(origin, goal))
  return [...keys]
}

/** A step that was just taken: shown once, on the arrows that it took. */
export interface Pulse {
  readonly sequence: number
  readonly keys: readonly string[]
  readonly event: string
}

/** Boxes that came with the machine of an embedder. */
export function ownBoxes(layout: ChartLayout): ChartBox[] {
  return layout.id === 'session' ? layout.states.filter(({ path }) => isOwn(path)) : []
}

/** A path with round corners through points that lie at right angles. */
export function roundedPath(points: ChartArrow['points'], radius = 6): string {
  const [first] = points
  if (!first) return ''
  let path = `M${first.x} ${first.y}`
  for (let i = 1; i < points.length - 1; i++) {
    const [before, at, after] = [points[i - 1]!, points[i]!, points[i + 1]!]
    const towards = (other: typeof at): string => {
      const length = Math.hypot(other.x - at.x, other.y - at.y)
      const step = length === 0 ? 0 : Math.min(radius, length / 2) / length
      return `${(at.x + (other.x - at.x) * step).toFixed(1)} ${(at.y + (other.y - at.y) * step).toFixed(1)}`
    }
    path += `L${towards(before)}Q${at.x} ${at.y} ${towards(after)}`
  }
  const last = points.at(-1)!
  return `${path}L${last.x} ${last.y}`
}

/**
 * Where a number can stand on an arrow: the middle of its longest straight piece; undefined: there is no room on it.
 * A short arrow has room only where it leads straight down, between two boxes above each other.
 */
export function roomOn(points: ChartArrow['points']): { readonly x: number; readonly y: number } | undefined {
  let longest = 0
  let room: { readonly x: number; readonly y: number } | undefined
  for (let i = 1; i < points.length; i++) {
    const [before, at] = [points[i - 1]!, points[i]!]
    const length = Math.hypot(at.x - before.x, at.y - before.y)
    const isShortOne = points.length === 2 && before.x === at.x && length >= 15
    if (length <= longest || (length < 50 && !isShortOne)) continue
    longest = length
    room = { x: (at.x + before.x) / 2, y: (at.y + before.y) / 2 }
  }
  return room
}
