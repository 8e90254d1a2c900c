import { fixedPropertyNames, isPropertyName } from '../../properties.ts'

/** What a key of a filter can hold: text only, a time, or whatever an attribute holds. */
export type KeyKind = 'text' | 'time' | 'attribute'

const fixed: ReadonlySet<string> = new Set(fixedPropertyNames)
const times: ReadonlySet<string> = new Set(['$StartTime', '$ExpiryTime'])
const ATTRIBUTE = /^@(?:session|connection)\.(.*)$/su

/** What values are to be expected under a key that is known to be one. */
export function kindOfKey(key: string): KeyKind {
  if (key.startsWith('@')) return 'attribute'
  return times.has(key) ? 'time' : 'text'
}

/** What is wrong with a key, in words; undefined: nothing. */
export function keyFault(key: string): string | undefined {
  if (key.startsWith('$')) {
    return fixed.has(key) ? undefined : `there is no fixed property ${key}${didYouMean(key)}`
  }
  if (key.startsWith('@')) {
    const name = ATTRIBUTE.exec(key)?.[1]
    if (name === undefined) return 'expected @session.name or @connection.name'
    return isPropertyName(name) ? undefined : 'expected the name of an attribute'
  }
  return isPropertyName(key) ? undefined : 'expected the name of a property'
}

function didYouMean(key: string): string {
  let best: string | undefined = undefined
  let least = 4
  // A long key is like none of them, and comparing it would cost its length times theirs.
  if (key.length > 40) return ''
  for (const name of fixedPropertyNames) {
    const distance = editDistance(key.toLowerCase(), name.toLowerCase())
    if (distance >= least) continue
    least = distance
    best = name
  }
  return best === undefined ? '' : `, did you mean ${best}?`
}

/** Insertions, deletions and replacements that make `b` out of `a`. */
function editDistance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min(replaced, above[j]! + 1, row[j - 1]! + 1))
    }
    above = row
  }
  return above[b.length]!
}
