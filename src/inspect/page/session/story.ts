import type { SessionDetail } from '../../../inspected-session.ts'
import type { Decision, TransitionRecord } from '../../../inspection.ts'
import { duration, moment } from '../parts/format.ts'
import { codeInWords, deciderOf, ruleInWords } from './wording.ts'

/** A sentence about a session. What comes from elsewhere (reasons, names) stands in `said`, and is shown as text of strangers. */
export interface Sentence {
  readonly kind: 'state' | 'refusal' | 'standing'
  readonly text: string
  readonly said?: string
  /** Who decided, and by which rule. */
  readonly by?: string
}

const top = (path: string): string => path.split('.', 1)[0] ?? ''
const isIn = (states: readonly string[], name: string): boolean => states.some((path) => top(path) === name)

function lastOf(
  records: readonly TransitionRecord[],
  test: (record: TransitionRecord) => boolean,
): TransitionRecord | undefined {
  return records.findLast(test)
}

/** A connection that never became a session: it was told why. One that was handed to the living session was not refused. */
export function isRefusal({ from, to, decision }: TransitionRecord): boolean {
  if (!isIn(to, 'expired') || from.length === 0 || isIn(from, 'online') || isIn(from, 'offline')) return false
  return decision !== null && decision.name !== 'resumesIncumbent' && (decision.reasonCode ?? 0) >= 0x80
}

function because(decision: Decision | null): Pick<Sentence, 'said' | 'by'> {
  if (decision === null) return {}
  const { reason, reasonCode, rule } = decision
  const parts = [
    deciderOf(decision),
    ...(rule === null ? [] : [ruleInWords(rule)]),
    ...(reasonCode === null || reasonCode === 0 ? [] : [codeInWords(reasonCode)]),
  ]
  return { ...(reason === '' ? {} : { said: reason }), by: parts.join(' · ') }
}

function whyOnline(detail: SessionDetail, nowMs: number): Sentence {
  const who = detail.principal === null ? 'anonymously' : `as ${detail.principal}`
  const by = detail.grant === null ? {} : { by: `authenticator ${detail.grant.authenticator}` }
  const resumed = detail.resumed ? ' It took up the session that it had.' : ''
  return {
    kind: 'state',
    text: `Online for ${duration(nowMs - detail.connectedAtMs)}, since ${moment(detail.connectedAtMs, nowMs)}; it was let in ${who}.${resumed}`,
    ...by,
  }
}

function whyOffline(detail: SessionDetail, records: readonly TransitionRecord[], nowMs: number): Sentence {
  const left = lastOf(
    records,
    ({ sessionId, from, to }) => sessionId === detail.sessionId && isIn(from, 'online') && isIn(to, 'offline'),
  )
  const since = left === undefined ? '' : ` for ${duration(nowMs - left.atMs)}, since ${moment(left.atMs, nowMs)}`
  const kept =
    detail.expiresAtMs === null
      ? 'Its session is kept without end.'
      : `Its session is kept for another ${duration(detail.expiresAtMs - nowMs)}.`
  return { kind: 'state', text: `Offline${since}. ${kept}`, ...because(left?.decision ?? null) }
}

function whyGone(records: readonly TransitionRecord[], nowMs: number): Sentence {
  const ended = lastOf(
    records,
    (record) => isIn(record.to, 'expired') && !isRefusal(record) && record.decision?.name !== 'resumesIncumbent',
  )
  if (ended === undefined) return { kind: 'state', text: 'No session lives under this client identifier.' }
  return {
    kind: 'state',
    text: `No session lives under this client identifier. The last one ended ${duration(nowMs - ended.atMs)} ago, at ${moment(ended.atMs, nowMs)}.`,
    ...because(ended.decision),
  }
}

function refusalOf(records: readonly TransitionRecord[], nowMs: number): Sentence[] {
  const refused = lastOf(records, isRefusal)
  if (refused === undefined) return []
  const many = records.filter(isRefusal).length
  const others = many > 1 ? ` (${many} in this history)` : ''
  return [
    {
      kind: 'refusal',
      text: `A connection under this client identifier was refused ${duration(nowMs - refused.atMs)} ago, at ${moment(refused.atMs, nowMs)}${others}.`,
      ...because(refused.decision),
    },
  ]
}

function standingOf(detail: SessionDetail | undefined, records: readonly TransitionRecord[]): Sentence[] {
  if (detail === undefined || detail.standing === 'valid') return []
  const revoked = lastOf(
    records,
    ({ sessionId, event }) => sessionId === detail.sessionId && event === 'session.revoke',
  )
  const text =
    detail.standing === 'revoked'
      ? 'Its grant was revoked: it has no right, and its will is never sent.'
      : 'Its grant has ended: it has no right until it authenticates again.'
  return [{ kind: 'standing', text, ...because(detail.standing === 'revoked' ? (revoked?.decision ?? null) : null) }]
}

/** Why a session is as it is, in a sentence or three. `detail` undefined: none lives. */
export function storyOf(
  detail: SessionDetail | undefined,
  records: readonly TransitionRecord[],
  nowMs: number,
): Sentence[] {
  const state =
    detail === undefined
      ? whyGone(records, nowMs)
      : detail.state === 'offline'
        ? whyOffline(detail, records, nowMs)
        : detail.state === 'online'
          ? whyOnline(detail, nowMs)
          : { kind: 'state' as const, text: `It is ${detail.state}: nobody has decided yet whether it is let in.` }
  return [state, ...standingOf(detail, records), ...refusalOf(records, nowMs)]
}

/** What a step changed, without what stayed: whole states where it went from one to another, their insides otherwise. */
export function stepInWords({ from, to }: Pick<TransitionRecord, 'from' | 'to'>): {
  readonly left: string
  readonly entered: string
} {
  const shortened = (states: readonly string[]): string => {
    const tops = [...new Set(states.map(top))]
    return states.length === 1 ? states[0]! : tops.join(', ')
  }
  if (shortened(from) !== shortened(to) && top(from[0] ?? '') !== top(to[0] ?? ''))
    return { left: shortened(from), entered: shortened(to) }
  const left = from.filter((path) => !to.includes(path))
  const entered = to.filter((path) => !from.includes(path))
  return { left: (left.length > 0 ? left : from).join(', '), entered: (entered.length > 0 ? entered : to).join(', ') }
}
