const TIME = /^(\d{4})-(\d\d)-(\d\d)(?:[Tt](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?([Zz]|[+-]\d\d:\d\d))?$/

/**
 * Milliseconds since the epoch of an ISO 8601 time: `2026-08-01`, which is midnight UTC, or
 * `2026-08-01T12:30:00.5+02:00`. A time without a zone could mean several moments and is none;
 * undefined also for dates that do not exist.
 */
export function parseTime(text: string): number | undefined {
  const match = TIME.exec(text)
  if (!match) return undefined
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((part) => Number(part ?? 0)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  if (hour > 23 || minute > 59 || second > 59) return undefined
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  // A day that the month does not have would have become one of the next month.
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined
  const fraction = Number((match[7] ?? '').padEnd(3, '0').slice(0, 3))
  return date.getTime() + (hour * 3600 + minute * 60 + second) * 1000 + fraction - zoneMs(match[8])
}

function zoneMs(zone: string | undefined): number {
  if (zone === undefined || zone.toUpperCase() === 'Z') return 0
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4))
  return (zone.startsWith('-') ? -minutes : minutes) * 60_000
}
