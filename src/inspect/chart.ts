import type { AnyStateMachine, AnyStateNode, AnyTransitionDefinition } from 'xstate'

/** One arrow of a chart, in the words of an XState configuration. */
export interface ChartTransition {
  /** `#id` of the state entered; absent where the state stays as it is. */
  readonly target?: readonly string[]
  readonly guard?: string
  readonly actions?: readonly string[]
  readonly reenter?: true
}

/** A state with what is in it: a configuration that `createMachine` and XState's viewers take. */
export interface ChartState {
  readonly id: string
  readonly type?: 'parallel' | 'final'
  readonly initial?: string
  readonly entry?: readonly string[]
  readonly exit?: readonly string[]
  readonly invoke?: ReadonlyArray<{ readonly src: string; readonly id: string }>
  /** Transitions that need no event. */
  readonly always?: readonly ChartTransition[]
  /** Transitions by event; those of invoked actors under XState's own event names. */
  readonly on?: Readonly<Record<string, readonly ChartTransition[]>>
  readonly states?: Readonly<Record<string, ChartState>>
  /** Where it was looked at while it ran: how many sessions are in the state. XState keeps it, and leaves it alone. */
  readonly meta?: { readonly sessions: number }
}

/** Actions and guards are strings, `{ type }` objects, or functions that XState or the author named. */
function nameOf(implementation: unknown): string {
  if (typeof implementation === 'string') return implementation
  const { type, name, guards } = implementation as { type?: unknown; name?: unknown; guards?: unknown }
  if (Array.isArray(guards)) return `${String(name)}(${guards.map(nameOf).join(', ')})`
  if (typeof type === 'string') return type.replace(/^xstate\./, '')
  return typeof name === 'string' && name ? name : 'inline'
}

function some<Key extends string, Value>(
  key: Key,
  values: readonly Value[],
): { readonly [K in Key]?: readonly Value[] } {
  return (values.length > 0 ? { [key]: values } : {}) as { readonly [K in Key]?: readonly Value[] }
}

function describeTransition(transition: AnyTransitionDefinition): ChartTransition {
  return {
    ...some('target', transition.target?.map((state) => `#${state.id}`) ?? []),
    ...(transition.guard === undefined ? {} : { guard: nameOf(transition.guard) }),
    ...some('actions', transition.actions.map(nameOf)),
    ...(transition.reenter ? { reenter: true as const } : {}),
  }
}

function describeState(node: AnyStateNode): ChartState {
  const on = Object.fromEntries(
    [...node.transitions].map(([event, transitions]) => [event, transitions.map(describeTransition)]),
  )
  const always = node.always?.map(describeTransition) ?? []
  const states = Object.fromEntries(Object.entries(node.states).map(([name, state]) => [name, describeState(state)]))
  const [initial] = node.type === 'compound' ? node.initial.target : []
  return {
    id: node.id,
    ...(node.type === 'parallel' || node.type === 'final' ? { type: node.type } : {}),
    ...(initial ? { initial: initial.key } : {}),
    ...some('entry', node.entry.map(nameOf)),
    ...some('exit', node.exit.map(nameOf)),
    ...some(
      'invoke',
      node.invoke.map(({ src, id }) => ({ src: nameOf(src), id })),
    ),
    ...some('always', always),
    ...(Object.keys(on).length > 0 ? { on } : {}),
    ...(Object.keys(states).length > 0 ? { states } : {}),
  }
}

/** The structure of a machine as plain data, taken from the machine itself: implementations by their names. */
export function describeChart(machine: AnyStateMachine): ChartState {
  return describeState(machine.root)
}

/**
 * The chart with the number of sessions in each state. `census` counts innermost states by their paths, as the inspection
 * does; who is in one is in all that it is in, and in every region of a parallel state at once.
 */
export function withCensus(chart: ChartState, census: Readonly<Record<string, number>>, path = ''): ChartState {
  const inner = Object.entries(chart.states ?? {}).map(
    ([name, state]) => [name, withCensus(state, census, path === '' ? name : `${path}.${name}`)] as const,
  )
  const counts = inner.map(([, state]) => state.meta?.sessions ?? 0)
  const own = Object.hasOwn(census, path) ? census[path]! : 0
  const sessions = own + (chart.type === 'parallel' ? Math.max(0, ...counts) : counts.reduce((a, b) => a + b, 0))
  return { ...chart, meta: { sessions }, ...(inner.length > 0 ? { states: Object.fromEntries(inner) } : {}) }
}

/** What a picture says behind the name of a state; nothing where nobody has counted. */
export function countOf({ meta }: ChartState): string {
  return meta === undefined ? '' : ` · ${meta.sessions.toLocaleString('en')}`
}
