import { sessionMachine, type SessionMachine } from './session.machine.ts'

/** `sessionSetup`, or what `sessionSetup.extend({ … })` gives. */
interface Setup {
  createStateConfig(config: never): object
  createMachine(config: never): object
}

/** What a state may get on top: the states, transitions and actions of a state of the setup's chart. */
type StateOf<S extends Setup> = Parameters<S['createStateConfig']>[0]

/** The six, each with what it gets. */
export type SessionStates<S extends Setup> = {
  readonly [Name in keyof SessionMachine['states']]?: StateOf<S>
}

type Config = Readonly<Record<string, unknown>>

/**
 * The session machine with states of your own inside those that it has. What you give is added:
 *
 * - `states`: states that are not there, and more for those that are. In `online`, which is parallel, each is a region
 *   beside `authority`, `reauthentication` and `delivery`;
 * - `on`: events that the state does not deal with yet; yours are `custom.…`;
 * - `always`: asked before those that are there;
 * - `entry`, `exit`, `invoke`: done after those that are there;
 * - `initial`, `tags`, `meta` and `description`, where the state has none.
 *
 * Guards and actions of your own are named by a setup, `sessionSetup.extend({ guards, actions })`. The six top-level
 * states stay as they are. Throws a TypeError for what would replace something.
 */
export function extendSession<const S extends Setup>(setup: S, states: SessionStates<S>): SessionMachine {
  const { config } = sessionMachine
  const extended = extendNode(config, { states }, 'session')
  return setup.createMachine(extended as never) as SessionMachine
}

/** What is a list, or one that could be, of things that are done in order. */
const lists: ReadonlySet<string> = new Set(['entry', 'exit', 'invoke'])

function extendNode(base: Config, more: Config, path: string): Config {
  const merged: Record<string, unknown> = { ...base }
  for (const [key, value] of Object.entries(more)) {
    if (value === undefined) continue
    const present = base[key]
    if (present === undefined) merged[key] = value
    else if (key === 'states') merged[key] = extendStates(present as Config, value as Config, path)
    else if (key === 'on') merged[key] = added(present as Config, value as Config, `${path}: on`)
    else if (key === 'always') merged[key] = [...listOf(value), ...listOf(present)]
    else if (lists.has(key)) merged[key] = [...listOf(present), ...listOf(value)]
    else throw new TypeError(`${path}: ${key} is there already`)
  }
  return merged
}

function extendStates(base: Config, more: Config, path: string): Config {
  const known = Object.entries(more).filter(([name]) => Object.hasOwn(base, name))
  const fresh = Object.entries(more).filter(([name]) => !Object.hasOwn(base, name))
  if (path === 'session' && fresh.length > 0) {
    throw new TypeError(
      `session: ${fresh[0]![0]} would be a top-level state; put it inside one of those that are there`,
    )
  }
  return {
    ...base,
    ...Object.fromEntries(fresh),
    ...Object.fromEntries(
      known.map(([name, value]) => [name, extendNode(base[name] as Config, value as Config, `${path}.${name}`)]),
    ),
  }
}

function added(base: Config, more: Config, path: string): Config {
  const taken = Object.keys(more).find((key) => Object.hasOwn(base, key))
  if (taken !== undefined) throw new TypeError(`${path} ${taken} is there already`)
  return { ...base, ...more }
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : [value]
}
