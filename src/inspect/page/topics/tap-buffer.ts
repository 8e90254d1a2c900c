/** A message of the stream `/api/v1/tap`. */
export interface TappedMessage {
  readonly atMs: number
  readonly topic: string
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  readonly publisher: string
  readonly payloadBase64: string
  readonly payloadBytes: number
}

/** With the number that tells it from others that look the same. */
export interface NumberedMessage extends TappedMessage {
  readonly number: number
}

export const maxKept = 300

/** The last messages of a tap, and how many there were; while it is paused what shows stays as it is. */
export class TapBuffer {
  /** Newest first. */
  shown: readonly NumberedMessage[] = []
  seen = 0
  /** Messages that the broker did not send, because there were more than the tap takes. */
  leftOut = 0
  /** Messages that came since it was paused. */
  waiting = 0
  isPaused = false
  #kept: NumberedMessage[] = []

  take(message: TappedMessage): void {
    this.seen += 1
    this.#kept.unshift({ ...message, number: this.seen })
    if (this.#kept.length > maxKept) this.#kept.length = maxKept
    if (this.isPaused) this.waiting += 1
    else this.shown = [...this.#kept]
  }

  pause(isPaused: boolean): void {
    this.isPaused = isPaused
    this.waiting = 0
    if (!isPaused) this.shown = [...this.#kept]
  }

  clear(): void {
    this.#kept = []
    this.shown = []
    this.seen = 0
    this.leftOut = 0
    this.waiting = 0
  }
}

/** What is wrong with a topic filter, in words; undefined: nothing. MQTT 5 section 4.7.1 */
export function filterFault(filter: string): string | undefined {
  if (filter === '') return 'A filter has at least one character.'
  if (filter.startsWith('$share/')) return 'A tap sees every message: it cannot share them with others.'
  if (/[\0]/.test(filter)) return 'A filter has no NUL.'
  const levels = filter.split('/')
  const hash = levels.findIndex((level) => level.includes('#'))
  if (hash >= 0 && (levels[hash] !== '#' || hash < levels.length - 1)) return '# stands alone, and at the end: a/b/#'
  if (levels.some((level) => level.includes('+') && level !== '+')) return '+ stands alone between two slashes: a/+/b'
  return undefined
}
