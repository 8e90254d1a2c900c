import { isIP } from 'node:net'

import type { SubjectAltName } from '../messages.ts'

const kinds: Readonly<Record<string, SubjectAltName['type']>> = Object.assign(
  Object.create(null) as Record<string, SubjectAltName['type']>,
  { DNS: 'dns', email: 'email', URI: 'uri', 'IP Address': 'ip' } as const,
)

/** One name: its kind, and a JSON string or text in which nothing could be taken for the end. */
const onePattern = /([A-Za-z][A-Za-z0-9 ]*):(?:("(?:[^"\\]|\\.)*")|([^",\\']*))/y

/**
 * Takes apart what Node prints of the names of a certificate. A name may hold `, DNS:` itself; Node
 * then writes it as a JSON string (since CVE-2021-44532), so splitting at commas would give an
 * attacker names that nobody has certified. Whatever does not read whole gives no names at all.
 */
export function readSubjectAltNames(printed: string | undefined): readonly SubjectAltName[] {
  if (printed === undefined || printed === '') return []
  const names: SubjectAltName[] = []
  let at = 0
  for (;;) {
    onePattern.lastIndex = at
    const match = onePattern.exec(printed)
    const value = match && (match[2] === undefined ? match[3] : unquote(match[2]))
    if (typeof value !== 'string') return []
    const type = kinds[match![1]!] ?? 'other'
    if (type === 'ip' && isIP(value) === 0) return []
    names.push({ type, value })
    at = onePattern.lastIndex
    if (at === printed.length) return names
    if (!printed.startsWith(', ', at)) return []
    at += 2
  }
}

function unquote(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
