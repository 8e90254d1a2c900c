/** Events of XState's inspection as the tools of Stately take them (`@statelyai/inspect`): plain data, one JSON text each. */

/** The version of `@statelyai/inspect` whose events these are. */
export const STATELY_PROTOCOL = '0.7.2'

interface OfActor {
  /** Of the session. */
  readonly sessionId: string
  /** Each session is a root of its own. */
  readonly rootId: string
  readonly id: string
  /** Milliseconds since the epoch, as text. */
  readonly createdAt: string
  readonly _version: string
}

export interface StatelySnapshot {
  readonly status: 'active' | 'done'
  /** As XState nests it. */
  readonly value: unknown
  /** What one may know of a session: no secret, no properties, no payload. */
  readonly context: Readonly<Record<string, unknown>>
}

/** What the chart was given, without what a client sent along, and who decided. */
export type StatelyCause = { readonly type: string } & Readonly<Record<string, unknown>>

/** An event as Stately's inspection protocol has it. */
export type StatelyInspectionEvent =
  | ({
      readonly type: '@xstate.actor'
      /** The client identifier, once there is one. */
      readonly name: string
      readonly parentId: undefined
      /** The chart as JSON text, implementations by their names. */
      readonly definition: string
      readonly snapshot: StatelySnapshot
    } & OfActor)
  | ({ readonly type: '@xstate.event'; readonly event: StatelyCause; readonly sourceId: undefined } & OfActor)
  | ({
      readonly type: '@xstate.snapshot'
      readonly event: StatelyCause
      readonly snapshot: StatelySnapshot
    } & OfActor)

/** What of the broker Stately's tools are told. */
export interface StatelyOptions {
  /** Sessions and connections of this client identifier only. Default: all. */
  readonly clientId?: string
  /** Actors at once; others are left out until one of these has ended. Default 100: the tool draws each of them. */
  readonly maxActors?: number
}
