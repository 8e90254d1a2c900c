/** Histories as lines of text, with everything in them that a record has. */
import type { Broker } from '../../src/index.ts'
import type { TransitionRecord } from '../../src/inspection.ts'

const ONLINE = 'online.authority.valid online.reauthentication.idle online.delivery.'

/**
 * `sequence +seconds sessionId clientId: event | from -> to | who: why`. The three leaves of an untroubled
 * `online` are written as `online(flowing)`.
 */
export function lineOf(record: TransitionRecord, startMs: number): string {
  const { sequence, atMs, sessionId, clientId, event, from, to, decision, ...rest } = record
  if (Object.keys(rest).length > 0) throw new Error(`a record has more than a line says: ${Object.keys(rest).join()}`)
  const seconds = (atMs - startMs) / 1000
  return `${sequence} +${seconds} ${sessionId} ${clientId}: ${event} | ${placeOf(from)} -> ${placeOf(to)} | ${whoOf(decision)}`
}

export function story(broker: Broker, clientId: string, startMs: number): string[] {
  return broker.inspection.history(clientId).map((record) => lineOf(record, startMs))
}

function placeOf(leaves: readonly string[]): string {
  return leaves
    .join(' ')
    .replace(ONLINE, '')
    .replace(/^(waking|flowing|throttled)$/, 'online($1)')
}

function whoOf(decision: TransitionRecord['decision']): string {
  if (decision === null) return 'nobody'
  const { by, name, reason, reasonCode, rule } = decision
  const code = reasonCode === null ? '' : ` 0x${reasonCode.toString(16)}`
  const permission = rule === null ? '' : ` (${rule.effect} ${rule.topic} of ${rule.role}[${rule.index}])`
  return `${by}${name === '' ? '' : ` ${name}`}: ${reason}${code}${permission}`
}
