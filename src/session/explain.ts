import type { Standing } from '../../machines/session.machine.ts'
import { StatemqError } from '../errors.ts'
import type { SessionState } from '../events.ts'
import type { Grant } from '../hooks.ts'
import type { SessionCore } from './core.ts'
import { explainAccess, type AccessExplanation, type AccessQuestion } from './explain-access.ts'
import type { Refusal } from './refusals.ts'

/** What is asked about a client. */
export type ExplainRequest =
  | ({ readonly clientId: string } & AccessQuestion)
  | { readonly clientId: string; readonly action: 'connect' }

/** Who the client is at this moment, and what that lets it do. */
export interface Explanation {
  readonly clientId: string
  readonly action: ExplainRequest['action']
  /** `connect`: whether a session lives under this client identifier, online or offline. */
  readonly verdict: AccessExplanation['verdict']
  /** In words. */
  readonly reason: string
  /** Undefined where no session lives. */
  readonly state: SessionState | undefined
  readonly grant: Grant | undefined
  /** What has become of the grant. */
  readonly standing: Standing | undefined
  /** The permission that decided, with role and index; undefined where none did. */
  readonly rule: AccessExplanation['rule']
  /** The QoS granted, where it is about receiving. */
  readonly qos: AccessExplanation['qos']
  /** Those of the grant that are defined, with those that they include. */
  readonly roles: readonly string[]
  readonly policyVersion: number
  /** The last CONNECT under this client identifier that was refused, and the transition that refused it. */
  readonly refusal: Refusal | undefined
}

/** Throws SMQ_SESSION_UNKNOWN where no session lives and none was refused, and SMQ_OPTION_INVALID for what is no question. */
export function explain(core: SessionCore, question: ExplainRequest): Explanation {
  assertQuestion(question)
  const { clientId, action } = question
  const session = core.registry.sessions.get(clientId)
  const refusal = core.refusals.get(clientId)
  if (session === undefined && refusal === undefined) throw new StatemqError('SMQ_SESSION_UNKNOWN', clientId)
  const { policyVersion } = core
  const none = { rule: undefined, qos: undefined, roles: [], policyVersion }
  const who = {
    clientId,
    action,
    state: session?.state,
    grant: session?.grant,
    standing: session?.context.standing,
    refusal,
  }
  if (session === undefined) {
    return {
      ...who,
      ...none,
      verdict: 'deny',
      reason: `no session lives; the last CONNECT was refused: ${refusal!.reason}`,
    }
  }
  if (question.action !== 'connect') return { ...who, ...explainAccess(session, question) }
  const reason = `a session lives, ${session.state}${refusal ? `; the last CONNECT that was refused: ${refusal.reason}` : ''}`
  return { ...who, ...none, verdict: 'allow', reason }
}

const actions: ReadonlySet<string> = new Set(['connect', 'publish', 'subscribe', 'deliver'])

/** Questions come from JavaScript and over HTTP as well. */
function assertQuestion(question: ExplainRequest): void {
  const { clientId, action, ...asked } = question
  if (typeof clientId !== 'string') throw invalid('clientId: expected a text')
  if (!actions.has(action)) throw invalid('action: expected "connect", "publish", "subscribe" or "deliver"')
  if (action === 'connect') return
  const { topic, qos = 0, retain = false, group = '' } = asked as Partial<AccessQuestion>
  if (typeof topic !== 'string') throw invalid('topic: expected a text')
  if (qos !== 0 && qos !== 1 && qos !== 2) throw invalid('qos: expected 0, 1 or 2')
  if (typeof retain !== 'boolean') throw invalid('retain: expected true or false')
  if (typeof group !== 'string') throw invalid('group: expected a text')
}

function invalid(detail: string): StatemqError {
  return new StatemqError('SMQ_OPTION_INVALID', detail)
}
