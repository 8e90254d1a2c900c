/**
 * Text of clients on a terminal: client identifiers, topics and payloads may hold what moves the cursor, changes
 * colours, or turns the direction of writing around, so that a line says what it does not. All of that is written out.
 */
const invisible =
  // Controls, line and paragraph separators, what turns directions, what has no width, tags, and half characters.
  /[\p{Cc}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]|\p{Surrogate}/gu

const short: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\u001b': '\\e' }

/** The text on one line, with everything that is not to be seen written out; a backslash doubled, so that it is not mistaken. */
export function visible(text: string): string {
  return text
    .replaceAll('\\', '\\\\')
    .replace(invisible, (each) => short[each] ?? `\\u{${each.codePointAt(0)!.toString(16)}}`)
}

const graphemes = new Intl.Segmenter()
const wide =
  /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u
const narrow = /^[\p{Mn}\p{Me}]+$/u

/** Columns that a text takes on a terminal, near enough for tables. */
function columnsOf(text: string): number {
  let columns = 0
  for (const { segment } of graphemes.segment(text)) columns += narrow.test(segment) ? 0 : wide.test(segment) ? 2 : 1
  return columns
}

function cut(text: string, maxColumns: number): string {
  if (columnsOf(text) <= maxColumns) return text
  let shown = ''
  for (const { segment } of graphemes.segment(text)) {
    if (columnsOf(shown + segment) >= maxColumns) break
    shown += segment
  }
  return `${shown}…`
}

export type Cell = string | number | null | undefined

export interface Column<Row> {
  readonly title: string
  readonly of: (row: Row) => Cell
  /** Longer texts are cut. Default 40. */
  readonly maxColumns?: number
}

const DEFAULT_MAX_COLUMNS = 40

/** Rows below their titles; numbers to the right. Every text is made visible. */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = rows.map((row) =>
    columns.map(({ of, maxColumns = DEFAULT_MAX_COLUMNS }) => cellOf(of(row), maxColumns)),
  )
  const widths = columns.map(({ title }, at) =>
    Math.max(columnsOf(title), ...cells.map((line) => columnsOf(line[at]!.text))),
  )
  const line = (texts: readonly { readonly text: string; readonly isNumber: boolean }[]): string =>
    texts
      .map(({ text, isNumber }, at) => {
        const room = ' '.repeat(widths[at]! - columnsOf(text))
        return isNumber ? room + text : text + room
      })
      .join('  ')
      .trimEnd()
  const isNumber = columns.map((_, at) => cells.some((row) => row[at]!.isNumber))
  const head = columns.map(({ title }, at) => ({ text: title, isNumber: isNumber[at]! }))
  return [head, ...cells].map((texts) => `${line(texts)}\n`).join('')
}

function cellOf(value: Cell, maxColumns: number): { readonly text: string; readonly isNumber: boolean } {
  if (value === null || value === undefined || value === '') return { text: '-', isNumber: false }
  return { text: cut(visible(String(value)), maxColumns), isNumber: typeof value === 'number' }
}

/** `name  value` lines, values in one column. */
export function facts(pairs: readonly (readonly [name: string, value: Cell])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length))
  return pairs.map(([name, value]) => `${name.padEnd(width)}  ${cellOf(value, Infinity).text}\n`).join('')
}

const MINUTE = 60
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** `3d 4h`, `2m 5s`: the two largest units. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < MINUTE) return `${seconds}s`
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)}m ${seconds % MINUTE}s`
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)}h ${Math.floor((seconds % HOUR) / MINUTE)}m`
  return `${Math.floor(seconds / DAY)}d ${Math.floor((seconds % DAY) / HOUR)}h`
}

export function bytes(count: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB']
  let value = count
  let unit = 0
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000
  return unit === 0 ? `${value} B` : `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`
}

/** A time of the broker, `null` where there is none. */
export function time(atMs: number | null): string | null {
  return atMs === null || !Number.isFinite(atMs) ? null : new Date(atMs).toISOString().replace('T', ' ').slice(0, 19)
}
