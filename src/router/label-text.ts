/**
 * The labels of a {@link LevelTrie}: UTF-16 units in one array, each label a start and a length.
 * They are compared with the units of a topic where both lie, without making a substring.
 */

const SLASH_UNIT = 0x2f
const PLUS_UNIT = 0x2b
const DOLLAR_UNIT = 0x24
const INITIAL_UNITS = 256

export class LabelText {
  /** The units. Replaced when the array grows: read it afresh after every {@link append}. */
  units = new Uint16Array(INITIAL_UNITS)
  #end = 0
  /** Units of living labels; the rest up to `#end` is garbage. */
  #used = 0

  /** Units of living labels. */
  get used(): number {
    return this.#used
  }

  /** Whether a label of `length` units can be appended without {@link grow} or {@link compact}. */
  fits(length: number): boolean {
    return this.#end + length <= this.units.length
  }

  /** Whether more than half of the text is garbage, so that compacting makes as much room as growing. */
  get isWasteful(): boolean {
    return this.#used * 2 < this.#end
  }

  /** Appends `path[at, end)` and returns where it starts. */
  append(path: string, at: number, end: number): number {
    const start = this.#end
    for (let unit = at; unit < end; unit += 1) this.units[start + unit - at] = path.charCodeAt(unit)
    this.#end += end - at
    this.#used += end - at
    return start
  }

  /** Says that `length` units of a label are garbage now. */
  discard(length: number): void {
    this.#used -= length
  }

  /** Makes room for at least `needed` units; every label keeps its start. */
  grow(needed: number): void {
    const larger = new Uint16Array(Math.ceil((this.#end + needed) * 1.5))
    larger.set(this.units)
    this.units = larger
  }

  /** Starts over in an empty array: the caller hands every living label of the old one to {@link keep}. */
  compact(): Uint16Array {
    const old = this.units
    this.units = new Uint16Array(old.length)
    this.#end = 0
    this.#used = 0
    return old
  }

  /** Copies a label from the array before compaction; returns where it starts now. */
  keep(old: Uint16Array, start: number, length: number): number {
    const moved = this.#end
    for (let unit = 0; unit < length; unit += 1) this.units[moved + unit] = old[start + unit] as number
    this.#end += length
    this.#used += length
    return moved
  }

  /** The label as a text; in pieces, since a call takes only so many arguments. */
  read(start: number, length: number): string {
    let text = ''
    for (let at = start; at < start + length; at += 4_096) {
      text += String.fromCharCode(...this.units.subarray(at, Math.min(at + 4_096, start + length)))
    }
    return text
  }

  countLevels(start: number, length: number): number {
    let levels = 1
    for (let unit = start; unit < start + length; unit += 1) if (this.units[unit] === SLASH_UNIT) levels += 1
    return levels
  }

  startsWithPlus(start: number, length: number): boolean {
    return length !== 0 && this.units[start] === PLUS_UNIT
  }

  /** Whether the first level of the label is `path[at, stop)`. */
  startsWithLevel(start: number, length: number, path: string, at: number, stop: number): boolean {
    const size = stop - at
    if (length < size || (length > size && this.units[start + size] !== SLASH_UNIT)) return false
    for (let unit = 0; unit < size; unit += 1) {
      if (this.units[start + unit] !== path.charCodeAt(at + unit)) return false
    }
    return true
  }

  /** Units of the longest run of whole levels with which the label and `path[at, end)` both begin; expects one level. */
  commonUnits(start: number, length: number, path: string, at: number, end: number): number {
    const { units } = this
    const size = end - at
    let boundary = 0
    for (let unit = 0; ; unit += 1) {
      const labelEnds = unit === length || units[start + unit] === SLASH_UNIT
      const pathEnds = unit === size || path.charCodeAt(at + unit) === SLASH_UNIT
      if (labelEnds && pathEnds) boundary = unit
      if (unit === length || unit === size || units[start + unit] !== path.charCodeAt(at + unit)) return boundary
    }
  }

  /**
   * Reads the label as levels of a filter and matches it with `topic` from its level `level` on.
   * Returns how many levels of the topic are consumed then, or 0 when it doesn't match. `starts`
   * says where the topic's levels start, with one entry behind the last of the `levels`.
   */
  passTopic(start: number, length: number, topic: string, starts: Int32Array, level: number, levels: number): number {
    const { units } = this
    const end = start + length
    let unit = start
    let at = starts[level] as number
    for (let consumed = level + 1; ; consumed += 1) {
      if (unit < end && units[unit] === PLUS_UNIT) {
        unit += 1
        at = (starts[consumed] as number) - 1
      } else {
        for (; unit < end && units[unit] !== SLASH_UNIT; unit += 1, at += 1) {
          if (topic.charCodeAt(at) !== units[unit]) return 0
        }
        if (at !== (starts[consumed] as number) - 1) return 0
      }
      if (unit === end) return consumed
      if (consumed === levels) return 0
      unit += 1
      at += 1
    }
  }

  /**
   * Reads the label as levels of a topic and matches it with `filter` from its level `from` on. A
   * label longer than the filter agrees only below a `#`.
   */
  agreesWithFilter(start: number, length: number, filter: readonly string[], from: number): boolean {
    const { units } = this
    const end = start + length
    // MQTT-4.7.2-1
    const reserved = from === 0 && length > 0 && units[start] === DOLLAR_UNIT
    if (reserved && (filter[0] === '+' || filter[0] === '#')) return false
    let at = start
    for (let level = from; at <= end; level += 1) {
      const wanted = filter[level]
      if (wanted === undefined) return false
      if (wanted === '#') return true
      let stop = at
      while (stop < end && units[stop] !== SLASH_UNIT) stop += 1
      if (wanted !== '+' && !this.#isLevel(at, stop, wanted)) return false
      at = stop + 1
    }
    return true
  }

  #isLevel(at: number, stop: number, level: string): boolean {
    if (level.length !== stop - at) return false
    for (let unit = 0; unit < level.length; unit += 1) {
      if (this.units[at + unit] !== level.charCodeAt(unit)) return false
    }
    return true
  }
}
