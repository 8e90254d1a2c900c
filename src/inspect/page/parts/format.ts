/** Numbers, sizes and times as people read them; units always. What is not known is a dash. */
export const unknown = '–'

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })

export function count(value: number): string {
  return whole.format(value)
}

function threeDigits(value: number): string {
  return value.toFixed(value >= 99.95 || value === 0 ? 0 : value >= 9.995 ? 1 : 2).replace(/\.0+$/, '')
}

/** 12 · 1,234 · 12.3 k · 4.56 M */
export function short(value: number): string {
  const size = Math.abs(value)
  if (size < 9_999.5) return size < 100 && !Number.isInteger(value) ? threeDigits(value) : count(value)
  for (const [unit, factor] of [
    ['k', 1e3],
    ['M', 1e6],
    ['G', 1e9],
  ] as const) {
    if (size < factor * 999.5) return `${threeDigits(value / factor)} ${unit}`
  }
  return `${threeDigits(value / 1e12)} T`
}

/** Per second: 0 · 0.4 · 12 · 1,234 · 50.1 k. What is less than one in a hundred seconds is said so. */
export function rate(value: number): string {
  if (value > 0 && value < 0.01) return '< 0.01'
  return short(value)
}

export function bytes(value: number): string {
  const size = Math.abs(value)
  if (size < 1_000) return `${count(value)} B`
  for (const [unit, factor] of [
    ['kB', 1e3],
    ['MB', 1e6],
    ['GB', 1e9],
  ] as const) {
    if (size < factor * 999.5) return `${threeDigits(value / factor)} ${unit}`
  }
  return `${threeDigits(value / 1e12)} TB`
}

export function milliseconds(value: number): string {
  return value < 1_000 ? `${threeDigits(value)} ms` : duration(value)
}

/** A span of time by its two largest parts: 340 ms · 12 s · 3 min 20 s · 5 h 10 min · 12 d 3 h */
export function duration(ms: number): string {
  const span = Math.max(0, ms)
  if (span < 1_000) return `${Math.round(span)} ms`
  const seconds = Math.round(span / 1_000)
  const parts = [
    ['d', 86_400],
    ['h', 3_600],
    ['min', 60],
    ['s', 1],
  ] as const
  const first = parts.findIndex(([, size]) => seconds >= size)
  let rest = seconds
  return parts
    .slice(first, first + 2)
    .map(([unit, size]) => {
      const many = Math.floor(rest / size)
      rest -= many * size
      return many === 0 && unit !== parts[first]?.[0] ? '' : `${many} ${unit}`
    })
    .filter((part) => part !== '')
    .join(' ')
}

/** How long ago or how soon. */
export function relative(atMs: number, nowMs: number): string {
  const distance = atMs - nowMs
  if (Math.abs(distance) < 1_000) return 'now'
  return distance < 0 ? `${duration(-distance)} ago` : `in ${duration(distance)}`
}

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' })

/** 14:03:12.345 */
export function timeOfDay(atMs: number): string {
  return `${clock.format(atMs)}.${String(Math.floor(atMs % 1_000)).padStart(3, '0')}`
}

/** 14:03:12 today, 21 Nov 2026 14:03:12 otherwise. */
export function moment(atMs: number, nowMs: number): string {
  const time = clock.format(atMs)
  return day.format(atMs) === day.format(nowMs) ? time : `${day.format(atMs)} ${time}`
}

export function percent(share: number): string {
  return `${threeDigits(share * 100)} %`
}

/** `1 session`, `2 sessions`. */
export function many(value: number, one: string, more = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : more}`
}

/** MQTT writes reason codes in hexadecimal. */
export function hex(code: number): string {
  return `0x${code.toString(16).toUpperCase().padStart(2, '0')}`
}
