import { bytes, duration } from './terminal-text.ts'

/** Redrawn at most so often. */
const REDRAW_MS = 100
/** Shorter work says nothing. */
const QUIET_MS = 500
const BAR_CELLS = 24
/** Where the terminal does not say. */
const DEFAULT_COLUMNS = 80
const CLEAR_LINE = '\r\u001b[K'

/** What is counted, as a number of them is said; of so many a second it is said without the word. */
const units = {
  records: {
    amount: (count: number) => `${count.toLocaleString('en')} records`,
    rate: (count: number) => count.toLocaleString('en'),
  },
  bytes: { amount: bytes, rate: bytes },
} as const
export type ProgressUnit = keyof typeof units

/** Where progress is shown: standard error, so that what a command writes stays clean. */
export interface ProgressOutput {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

/**
 * How far long work is, on one line of a terminal that is redrawn and goes when the work is done. Nothing where there is
 * no terminal, and nothing for what is done in half a second.
 */
export class Progress {
  readonly #label: string
  readonly #unit: ProgressUnit
  readonly #output: ProgressOutput
  readonly #nowMs: () => number
  readonly #startedAtMs: number
  #drawnAtMs = 0
  #isDrawn = false

  constructor(
    label: string,
    unit: ProgressUnit = 'records',
    output: ProgressOutput = process.stderr,
    nowMs: () => number = Date.now,
  ) {
    this.#label = label
    this.#unit = unit
    this.#output = output
    this.#nowMs = nowMs
    this.#startedAtMs = nowMs()
  }

  /** `share` of the work is done, from 0 to 1; undefined where nobody knows how much there is. */
  tell(done: number, share?: number): void {
    if (!this.#output.isTTY) return
    const nowMs = this.#nowMs()
    if (nowMs - this.#startedAtMs < QUIET_MS || nowMs - this.#drawnAtMs < REDRAW_MS) return
    this.#drawnAtMs = nowMs
    this.#isDrawn = true
    const line = this.#line(done, share, nowMs - this.#startedAtMs)
    this.#output.write(CLEAR_LINE + line.slice(0, (this.#output.columns ?? DEFAULT_COLUMNS) - 1))
  }

  /** The line goes, so that what is written next stands alone. */
  end(): void {
    if (this.#isDrawn) this.#output.write(CLEAR_LINE)
    this.#isDrawn = false
  }

  #line(done: number, share: number | undefined, elapsedMs: number): string {
    const unit = units[this.#unit]
    const count = unit.amount(done)
    const rate = `${unit.rate(Math.round((done / elapsedMs) * 1000))}/s`
    if (share === undefined) return `${this.#label}  ${count}  ${rate}`
    const part = Math.min(1, Math.max(0, share))
    const filled = Math.round(part * BAR_CELLS)
    const bar = `[${'#'.repeat(filled)}${'-'.repeat(BAR_CELLS - filled)}]`
    const left = part > 0 ? `${duration((elapsedMs / part) * (1 - part))} left` : ''
    return `${this.#label}  ${bar} ${String(Math.floor(part * 100)).padStart(3)} %  ${count}  ${rate}  ${left}`.trimEnd()
  }
}
