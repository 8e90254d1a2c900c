/** How the bytes of a payload can be looked at. */
export type PayloadForm = 'text' | 'json' | 'hex'

/** Bytes of a payload, and what can be made of them. */
export interface Payload {
  readonly bytes: Uint8Array
  /** Undefined: it is no UTF-8. */
  readonly text: string | undefined
  /** Undefined: it is no JSON, or was cut. */
  readonly json: string | undefined
}

function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
}

export function payloadOf(base64: string, isCut: boolean): Payload {
  const bytes = bytesOf(base64)
  const text = textOf(bytes, isCut)
  return { bytes, text, json: text === undefined || isCut ? undefined : indented(text) }
}

/** What was cut may end within a character. */
function textOf(bytes: Uint8Array, isCut: boolean): string | undefined {
  for (let end = bytes.length; end >= Math.max(0, bytes.length - (isCut ? 3 : 0)); end -= 1) {
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(0, end))
    } catch {
      continue
    }
  }
  return undefined
}

/** The form that says most of it. */
export function bestForm({ bytes, text, json }: Payload): PayloadForm {
  if (json !== undefined && /^\s*[[{]/.test(json)) return 'json'
  if (text === undefined || bytes.length === 0) return text === undefined ? 'hex' : 'text'
  const controls = text.match(/[^\P{Cc}\t\n\r]/gu)?.length ?? 0
  return controls * 10 > text.length ? 'hex' : 'text'
}

/** The parts of JSON, as they are written. */
const part = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/gsu

/**
 * JSON with lines and indentation, every number and string as it was written: what is read and written
 * again has other digits where a number is large. Undefined: it is no JSON.
 */
export function indented(text: string): string | undefined {
  try {
    JSON.parse(text)
  } catch {
    return undefined
  }
  const parts = text.match(part) ?? []
  let out = ''
  let depth = 0
  const newLine = (): void => {
    out += `\n${'  '.repeat(depth)}`
  }
  for (const [index, one] of parts.entries()) {
    if (one === '{' || one === '[') {
      out += one
      depth += 1
      if (parts[index + 1] !== (one === '{' ? '}' : ']')) newLine()
    } else if (one === '}' || one === ']') {
      depth -= 1
      if (parts[index - 1] !== (one === '}' ? '{' : '[')) newLine()
      out += one
    } else if (one === ',') {
      out += one
      newLine()
    } else out += one === ':' ? ': ' : one
  }
  return out
}

/** Sixteen bytes a line: where, what, and as characters. */
export function hexLines(bytes: Uint8Array, maxLines: number): string[] {
  const lines: string[] = []
  for (let at = 0; at < bytes.length && lines.length < maxLines; at += 16) {
    const line = [...bytes.subarray(at, at + 16)]
    const digits = line.map((byte) => byte.toString(16).padStart(2, '0'))
    const left = digits.slice(0, 8).join(' ')
    const right = digits.slice(8).join(' ')
    const characters = line.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '·')).join('')
    lines.push(`${at.toString(16).padStart(6, '0')}  ${left.padEnd(23)}  ${right.padEnd(23)}  ${characters}`)
  }
  return lines
}

/** One line that says what is in it, for a list. */
export function preview({ bytes, text }: Payload, max = 160): string {
  if (text !== undefined && bestForm({ bytes, text, json: undefined }) === 'text') return text.slice(0, max)
  return hexLines(bytes, 1)[0]?.slice(8, 56).trim() ?? ''
}
