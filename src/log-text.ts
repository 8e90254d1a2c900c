/** Texts of clients on their way into a log: whatever shows it, a line stays a line and says what it says. */

/** Topics may have 65,535 bytes. */
const MAX_LOGGED_CHARACTERS = 512
/** Deeper than anything that the broker logs. */
const MAX_DEPTH = 6

/**
 * What must not reach a terminal or a log viewer as it is: control characters, of which CR, LF and ESC forge lines and
 * colours, separators of lines, marks that turn the direction of writing round, and halves of characters.
 */
const UNSAFE =
  // oxlint-disable-next-line no-control-regex -- control characters are what it is about
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g

/** The text with every such character as `\uXXXX`, and cut where it is too long, with its length. */
export function logText(text: string): string {
  const isLong = text.length > MAX_LOGGED_CHARACTERS
  const shown = isLong ? text.slice(0, MAX_LOGGED_CHARACTERS) : text
  const safe = shown.replace(UNSAFE, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return isLong ? `${safe}… (${text.length} characters)` : safe
}

/** The same for every text in the details of a log line, at any depth; the details themselves where nothing had to change. */
export function logDetails<T>(value: T, depth = 0): T {
  if (typeof value === 'string') return logText(value) as T
  // An error is the logger's to write: it knows stack and cause.
  if (typeof value !== 'object' || value === null || value instanceof Error || depth > MAX_DEPTH) return value
  if (ArrayBuffer.isView(value)) return value
  const entries = Object.entries(value)
  const safe = entries.map(([name, one]) => [logText(name), logDetails<unknown>(one, depth + 1)] as const)
  const isSame = safe.every(([name, one], at) => name === entries[at]![0] && one === entries[at]![1])
  if (isSame) return value
  return (Array.isArray(value) ? safe.map(([, one]) => one) : Object.fromEntries(safe)) as T
}
