import type { TransitionRecord } from '../../../inspection.ts'
import { keysOfStep, type Pulse } from '../chart/chart-model.ts'

/** What the chart of one session shows at a moment. */
export interface Frame {
  /** Whose states are lit. */
  readonly sessionId: string
  readonly lit: readonly string[]
  /** States of another connection under the same client identifier, while there is a session. */
  readonly ghost: readonly string[]
  readonly pulse: Pulse | undefined
}

/** A step shows for this long, so that one sees a connection pass through its states within milliseconds. */
const stepMs = 450
/** With more than so many waiting it goes quicker, and with more than that the oldest are left out. */
const hurryBehind = 6
const skipBehind = 40

const isUnchanged = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((path) => b.includes(path))

const nothing: Frame = { sessionId: '', lit: [], ghost: [], pulse: undefined }

/**
 * Shows steps one after the other, each for a moment, however fast they came. While a session lives, its states
 * are lit; a connection that has yet to become it, or is refused, passes through the chart as a ghost.
 */
export class Playback {
  readonly #show: (frame: Frame) => void
  readonly #waiting: Frame[] = []
  #shown = nothing
  /** What is so by the last reading. */
  #settled: Frame | undefined = undefined
  /** The session that lives once all that waits was shown. */
  #living: string | undefined = undefined
  #timer: ReturnType<typeof setTimeout> | undefined = undefined

  constructor(show: (frame: Frame) => void) {
    this.#show = show
  }

  /** What a reading says is so; it shows when no step is on its way. */
  settle(sessionId: string, lit: readonly string[], isLiving: boolean): void {
    this.#settled = { ...nothing, sessionId, lit }
    if (this.#timer !== undefined) return
    this.#living = isLiving ? sessionId : undefined
    this.#arrive()
  }

  add(record: TransitionRecord): void {
    const { sequence, sessionId, from, to, event } = record
    const last = this.#waiting.at(-1) ?? this.#shown
    const pulse = { sequence, keys: keysOfStep(from, to), event }
    // What was read before this step is old.
    this.#settled = undefined
    if (this.#living !== undefined && this.#living !== sessionId && !entersOnline(record)) {
      this.#waiting.push({ ...last, ghost: isOver(record) ? [] : to, pulse })
    } else {
      if (from.length > 0 && (last.sessionId !== sessionId || !isUnchanged(last.lit, from)))
        this.#waiting.push({ ...nothing, sessionId, lit: from })
      this.#waiting.push({ ...nothing, sessionId, lit: to, pulse })
      if (isOver(record)) this.#living = undefined
      else if (entersOnline(record)) this.#living = sessionId
    }
    if (this.#waiting.length > skipBehind) this.#waiting.splice(0, this.#waiting.length - skipBehind)
    if (this.#timer === undefined) this.#next()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#waiting.length = 0
  }

  #present(frame: Frame): void {
    this.#shown = frame
    this.#show(frame)
  }

  #next(): void {
    const frame = this.#waiting.shift()
    if (frame === undefined) {
      this.#timer = undefined
      this.#arrive()
      return
    }
    this.#present(frame)
    this.#timer = setTimeout(() => this.#next(), this.#waiting.length > hurryBehind ? stepMs / 4 : stepMs)
  }

  #arrive(): void {
    const { sessionId, lit, ghost } = this.#shown
    const settled = this.#settled
    if (settled === undefined) return
    if (settled.sessionId === sessionId && isUnchanged(settled.lit, lit) && ghost.length === 0) return
    this.#present(settled)
  }
}

const isOver = ({ to }: TransitionRecord): boolean => to.includes('expired')
const entersOnline = ({ to }: TransitionRecord): boolean => to.some((path) => path.startsWith('online'))
