/**
 * What clients choose is shown as what it is: characters that a browser would obey, hide or draw as nothing are
 * named instead. A client identifier that turns the rest of its line around, or that only differs by a
 * zero-width character from another, is seen at once.
 */
export interface Piece {
  readonly text: string
  /** Absent: as it is. Otherwise the name of what stands here instead of the character. */
  readonly named?: string
}

/** Control and format characters, line and paragraph ends, odd spaces, halves of surrogate pairs, what is never drawn. */
const odd = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]|(?! )\p{Zs}|^ +| +$/gu

const names: Readonly<Record<number, string>> = {
  0x00: 'NUL',
  0x09: 'TAB',
  0x0a: 'LF',
  0x0d: 'CR',
  0x1b: 'ESC',
  0x20: 'SP',
  0x7f: 'DEL',
  0xa0: 'NBSP',
  0xad: 'SHY',
  0x200b: 'ZWSP',
  0x200c: 'ZWNJ',
  0x200d: 'ZWJ',
  0x200e: 'LRM',
  0x200f: 'RLM',
  0x202a: 'LRE',
  0x202b: 'RLE',
  0x202c: 'PDF',
  0x202d: 'LRO',
  0x202e: 'RLO',
  0x2060: 'WJ',
  0x2066: 'LRI',
  0x2067: 'RLI',
  0x2068: 'FSI',
  0x2069: 'PDI',
  0xfeff: 'BOM',
}

function nameOf(character: string): string {
  const code = character.codePointAt(0) ?? 0
  return names[code] ?? `U+${code.toString(16).toUpperCase().padStart(4, '0')}`
}

/** The text in pieces, at most `maxCharacters` of it. */
export function piecesOf(text: string, maxCharacters = 4_096): Piece[] {
  const pieces: Piece[] = []
  const shown = text.length > maxCharacters ? text.slice(0, maxCharacters) : text
  let at = 0
  for (const match of shown.matchAll(odd)) {
    if (match.index > at) pieces.push({ text: shown.slice(at, match.index) })
    for (const character of match[0]) pieces.push({ text: character, named: nameOf(character) })
    at = match.index + match[0].length
  }
  if (at < shown.length) pieces.push({ text: shown.slice(at) })
  if (shown.length < text.length) pieces.push({ text: '', named: `… ${text.length - shown.length} more` })
  return pieces
}

/** The same for attributes and titles, which have no markup: names in brackets. */
export function plainOf(text: string, maxCharacters = 512): string {
  return piecesOf(text, maxCharacters)
    .map(({ text: piece, named }) => (named === undefined ? piece : `⟨${named}⟩`))
    .join('')
}
