/** One step of a glob: a character, or what stands for one or for many. */
export type GlobStep =
  | { readonly type: 'character'; readonly text: string }
  | { readonly type: 'one' }
  | { readonly type: 'any' }

/** The steps of a glob; a `\` makes the character behind it an ordinary one, and one at the end is itself one. */
export function globSteps(pattern: string): GlobStep[] {
  const steps: GlobStep[] = []
  let escaped = false
  for (const text of pattern) {
    if (escaped) steps.push({ type: 'character', text })
    else if (text === '*') steps.push({ type: 'any' })
    else if (text === '?') steps.push({ type: 'one' })
    else if (text !== '\\') steps.push({ type: 'character', text })
    escaped = !escaped && text === '\\'
  }
  if (escaped) steps.push({ type: 'character', text: '\\' })
  return steps
}

/**
 * Compiles a glob to a predicate over whole texts. All places of the pattern that the text read so
 * far can have come to are kept as a set of bits and moved together, one character of the text at a
 * time (Baeza-Yates and Gonnet, "A new approach to text searching", 1992; `*` is a place that stays
 * where it is). Nothing is tried twice, so time is the text's length times a word for every 32
 * characters of the pattern, whatever they are (threat 87).
 */
export function compileGlob(pattern: string): (text: string) => boolean {
  const steps = globSteps(pattern)
  const wild = steps.findIndex(({ type }) => type !== 'character')
  const prefix = textOf(wild < 0 ? steps : steps.slice(0, wild))
  if (wild < 0) return (text) => text === prefix
  const rest = steps.slice(wild)
  if (rest.every(({ type }) => type === 'any')) return (text) => text.startsWith(prefix)
  const matches = simulate(rest)
  return (text) => text.startsWith(prefix) && matches(text, prefix.length)
}

function textOf(steps: readonly GlobStep[]): string {
  return steps.map((step) => (step.type === 'character' ? step.text : '')).join('')
}

/** Whether the text from `start` on is what the steps describe. */
function simulate(steps: readonly GlobStep[]): (text: string, start: number) => boolean {
  // Bit i: the first i characters of the pattern, `*` not counted, are behind us.
  const characters = steps.filter(({ type }) => type !== 'any')
  const words = (characters.length >>> 5) + 1
  const stays = new Int32Array(words)
  const anyCharacter = new Int32Array(words)
  const byCharacter = new Map<string, Int32Array>()
  let at = 0
  for (const step of steps) {
    if (step.type === 'any') setBit(stays, at)
    else setBit(step.type === 'one' ? anyCharacter : masks(byCharacter, step.text, words), at++)
  }
  for (const mask of byCharacter.values()) for (let w = 0; w < words; w++) mask[w]! |= anyCharacter[w]!
  const state = new Int32Array(words)
  return (text, start) => {
    state.fill(0)
    state[0] = 1
    for (let i = start; i < text.length;) {
      const character = String.fromCodePoint(text.codePointAt(i)!)
      i += character.length
      if (!advance(state, byCharacter.get(character) ?? anyCharacter, stays)) return false
    }
    return (state[characters.length >>> 5]! & (1 << (characters.length & 31))) !== 0
  }
}

/** Moves every place over one character; false when none is left. */
function advance(state: Int32Array, mask: Int32Array, stays: Int32Array): boolean {
  let carry = 0
  let left = 0
  for (let w = 0; w < state.length; w++) {
    const here = state[w]!
    const moved = here & mask[w]!
    const next = (here & stays[w]!) | (moved << 1) | carry
    carry = moved >>> 31
    state[w] = next
    left |= next
  }
  return left !== 0
}

function masks(byCharacter: Map<string, Int32Array>, text: string, words: number): Int32Array {
  const found = byCharacter.get(text) ?? new Int32Array(words)
  byCharacter.set(text, found)
  return found
}

function setBit(bits: Int32Array, at: number): void {
  bits[at >>> 5]! |= 1 << (at & 31)
}
