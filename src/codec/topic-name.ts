import { ReasonCode } from '../reason-codes.ts'
import { refused } from './faults.ts'
import { checkMultibyte } from './utf8.ts'

const slash = 0x2f
const plus = 0x2b
const hash = 0x23

/**
 * Checks the bytes of a topic name in one pass. UTF-8 comes first, since a string that is none has
 * no characters to judge; then wildcards (MQTT-3.3.2-2) and the number of levels.
 * Returns whether the name is ASCII, which decides how its string is made.
 */
export function checkTopicName(bytes: Buffer, start: number, end: number, maxLevels: number): boolean {
  let levels = 1
  let wildcard = false
  let ascii = true
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!
    if (byte === slash) levels++
    else if (byte === plus || byte === hash) wildcard = true
    else if (byte === 0 || byte > 0x7f) ascii = false
  }
  if (!ascii) checkMultibyte(bytes, start, end)
  if (wildcard) refused(ReasonCode.TopicNameInvalid, 'a topic name contains a wildcard')
  if (levels > maxLevels) refused(ReasonCode.TopicNameInvalid, 'a topic name has too many levels')
  return ascii
}
