/**
 * What a topic name and a topic filter are (MQTT 5 sections 4.7 and 4.8.2), and the plain definition
 * of matching. Matching works on the exact characters, without any normalisation (MQTT-4.7.3-4).
 * The index and the retained store implement the same definition faster; tests hold them equal.
 */

const SLASH = 0x2f
const PLUS = 0x2b
const HASH = 0x23
const DOLLAR = 0x24
const SHARE_PREFIX = '$share/'
const RESERVED_PREFIX = '$SYS'
/** The length field of a UTF-8 string has two bytes (MQTT-4.7.3-3). */
const MAX_STRING_BYTES = 65_535

/** UTF-16 units never take more than three bytes each, so most strings need no second look. */
function fitsStringField(text: string): boolean {
  return text.length * 3 <= MAX_STRING_BYTES || Buffer.byteLength(text) <= MAX_STRING_BYTES
}

function isSurrogate(code: number): boolean {
  return (code & 0xf800) === 0xd800
}

/**
 * Whether a message can be published to `topic`: at least one character, no wildcard, no NUL, no
 * lone surrogate, at most `maxLevels` levels and 65,535 bytes of UTF-8.
 */
export function isTopicName(topic: string, maxLevels: number): boolean {
  if (topic.length === 0) return false // MQTT-4.7.3-1
  let levels = 1
  let surrogates = false
  for (let at = 0; at < topic.length; at += 1) {
    const code = topic.charCodeAt(at)
    // MQTT-4.7.0-1, MQTT-4.7.3-2
    if (code === PLUS || code === HASH || code === 0) return false
    if (code === SLASH) levels += 1
    else if (isSurrogate(code)) surrogates = true
  }
  if (surrogates && !topic.isWellFormed()) return false
  return levels <= maxLevels && fitsStringField(topic)
}

/** The wildcard rules over `filter` from `start` on: what follows `$share/group/`, or all of it. */
function isPlainFilter(filter: string, start: number, maxLevels: number): boolean {
  const end = filter.length
  if (start >= end) return false // MQTT-4.7.3-1, MQTT-4.8.2-2
  let levels = 1
  let surrogates = false
  for (let at = start; at < end; at += 1) {
    const code = filter.charCodeAt(at)
    if (code === 0) return false // MQTT-4.7.3-2
    if (code === SLASH) levels += 1
    else if (code === HASH || code === PLUS) {
      if (at > start && filter.charCodeAt(at - 1) !== SLASH) return false // MQTT-4.7.1-1, MQTT-4.7.1-2
      const last = at + 1 === end
      if (!last && (code === HASH || filter.charCodeAt(at + 1) !== SLASH)) return false
    } else if (isSurrogate(code)) surrogates = true
  }
  if (surrogates && !filter.isWellFormed()) return false
  return levels <= maxLevels
}

/**
 * Whether `filter` can be subscribed to. A filter that starts with `$share/` must name a group and
 * an inner filter; its levels are those of the inner filter.
 */
export function isTopicFilter(filter: string, maxLevels: number): boolean {
  if (!fitsStringField(filter)) return false
  if (!filter.startsWith(SHARE_PREFIX)) return isPlainFilter(filter, 0, maxLevels)
  const slash = filter.indexOf('/', SHARE_PREFIX.length)
  if (slash <= SHARE_PREFIX.length) return false // MQTT-4.8.2-1, MQTT-4.8.2-2
  for (let at = SHARE_PREFIX.length; at < slash; at += 1) {
    const code = filter.charCodeAt(at)
    if (code === PLUS || code === HASH || code === 0) return false // MQTT-4.8.2-2
  }
  return filter.isWellFormed() && isPlainFilter(filter, slash + 1, maxLevels)
}

/** The two parts of a shared filter; undefined for every other one. Expects a valid filter. */
export function parseShared(filter: string): { group: string; filter: string } | undefined {
  if (!filter.startsWith(SHARE_PREFIX)) return undefined
  const slash = filter.indexOf('/', SHARE_PREFIX.length)
  return { group: filter.slice(SHARE_PREFIX.length, slash), filter: filter.slice(slash + 1) }
}

/** Topics that only the broker itself publishes to (threat 79): `$SYS` and what begins with it. */
export function isReservedTopic(topic: string): boolean {
  return topic.charCodeAt(0) === DOLLAR && topic.startsWith(RESERVED_PREFIX)
}

/** Whether a valid filter can match more than one topic. */
export function hasWildcard(filter: string): boolean {
  return filter.includes('+') || filter.endsWith('#')
}

/** Whether an ordinary (not shared) valid filter matches a valid topic name, by the definition. */
export function topicMatches(filter: string, topic: string): boolean {
  const first = filter.charCodeAt(0)
  // MQTT-4.7.2-1
  if (topic.charCodeAt(0) === DOLLAR && (first === PLUS || first === HASH)) return false
  const wanted = filter.split('/')
  const levels = topic.split('/')
  for (const [at, level] of wanted.entries()) {
    // `a/#` also matches `a`: the levels before it have matched, and none needs to follow.
    if (level === '#') return true
    if (at >= levels.length || (level !== '+' && level !== levels[at])) return false
  }
  return wanted.length === levels.length
}
