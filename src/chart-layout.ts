/** A chart of a machine with coordinates, for who draws it: `/machines/session.layout.json`. */
export interface ChartLayout {
  /** Of the machine. */
  readonly id: string
  readonly width: number
  readonly height: number
  /** A box comes before those inside it. */
  readonly states: readonly ChartBox[]
  /** From the dot of each state that has an initial one, to that. */
  readonly starts: readonly ChartStart[]
  readonly arrows: readonly ChartArrow[]
}

export interface ChartStart {
  /** Path of the initial state. */
  readonly to: string
  readonly points: readonly ChartPoint[]
}

export interface ChartPoint {
  readonly x: number
  readonly y: number
}

export interface ChartBox {
  /** The names from the root down: `online.authority.valid`. */
  readonly path: string
  readonly name: string
  readonly type: 'atomic' | 'compound' | 'parallel' | 'final'
  readonly parent: string | null
  readonly isInitial: boolean
  /** What leads back into it. */
  readonly loops: readonly ChartEvent[]
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

export interface ChartEvent {
  /** XState's event type; empty: none is needed. */
  readonly event: string
  /** As a person reads it, with the guard where that tells more: `authenticate done [isDenied]`. */
  readonly label: string
  /** Path of the state that takes it: that of the arrow, or one inside. */
  readonly from: string
}

export interface ChartArrow {
  readonly from: string
  readonly to: string
  readonly events: readonly ChartEvent[]
  readonly points: readonly ChartPoint[]
  /** What stands on it, with room for a second line; null: there is no room, or nothing to say. */
  readonly label: {
    readonly text: string
    readonly x: number
    readonly y: number
    readonly width: number
    readonly height: number
  } | null
}
