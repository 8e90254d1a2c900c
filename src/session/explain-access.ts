import type { QoS } from '../messages.ts'
import type { DecidingPermission } from '../roles.ts'
import { isReservedTopic, isTopicFilter, isTopicName, parseShared } from '../router/topics.ts'
import { accessOf } from './access.ts'
import type { Session } from './session.ts'

/** What is asked about a session. */
export interface AccessQuestion {
  readonly action: 'publish' | 'subscribe' | 'deliver'
  /** A topic name; for `subscribe` a filter, with `$share/group/` where it is shared. */
  readonly topic: string
  /** Default 0. */
  readonly qos?: QoS
  /** Publish only. Default false. */
  readonly retain?: boolean
  /** Deliver only: through a shared subscription of this group. Default: an ordinary subscription. */
  readonly group?: string
}

/** What roles say to it at this moment. Hooks have their own say, and are not asked. */
export interface AccessExplanation {
  /** `filter`: the subscription is granted, and each delivery is checked. */
  readonly verdict: 'allow' | 'deny' | 'filter'
  /** The QoS granted, where it is about receiving. */
  readonly qos: QoS | undefined
  /** The permission that decided; undefined: none did. */
  readonly rule: DecidingPermission | undefined
  /** The same for people. */
  readonly reason: string
  /** Those of the grant that are defined, with those that they include. */
  readonly roles: readonly string[]
  /** Version of the role definitions; see the event `policy.changed`. */
  readonly policyVersion: number
}

/** What a session may do now, and what decides it. */
export function explainAccess(session: Session, question: AccessQuestion): AccessExplanation {
  const access = accessOf(session)
  const { policyVersion } = session.core
  const frame = { roles: access?.roles ?? [], policyVersion }
  const plain = (verdict: 'allow' | 'deny', reason: string): AccessExplanation => ({
    ...frame,
    verdict,
    qos: undefined,
    rule: undefined,
    reason,
  })
  const { action, topic, qos = 0, retain = false } = question
  const { maxTopicLevels } = session.policy.limits
  if (action === 'subscribe' ? !isTopicFilter(topic, maxTopicLevels) : !isTopicName(topic, maxTopicLevels))
    return plain('deny', `${JSON.stringify(topic.slice(0, 100))} is not valid`)
  if (action === 'publish' && isReservedTopic(topic)) return plain('deny', 'only the broker publishes to this topic')
  if (!session.hasRights) return plain('deny', 'the grant gives no right any more')
  if (access === undefined) return plain('allow', 'no roles are configured')
  if (action === 'publish') {
    const { allowed, rule } = access.explainPublish(topic, qos, retain)
    return { ...frame, verdict: allowed ? 'allow' : 'deny', qos: undefined, rule, reason: inWords(rule) }
  }
  if (action === 'deliver') {
    const decision = access.explainReceive(topic, qos, question.group)
    const { allowed, rule } = decision
    return { ...frame, verdict: allowed ? 'allow' : 'deny', qos: decision.qos, rule, reason: inWords(rule) }
  }
  const shared = parseShared(topic)
  const { verdict, qos: granted, rule } = access.subscribe(shared?.filter ?? topic, qos, shared?.group)
  if (verdict === 'granted') return { ...frame, verdict: 'allow', qos: granted, rule, reason: inWords(rule) }
  if (verdict === 'refused') return { ...frame, verdict: 'deny', qos: undefined, rule, reason: inWords(rule) }
  const reason = `${inWords(rule)}, which is about a part of what the filter matches`
  if (session.core.roles.partialSubscriptions === 'refuse')
    return { ...frame, verdict: 'deny', qos: undefined, rule, reason }
  return { ...frame, verdict: 'filter', qos: granted, rule, reason }
}

/** Why a permission decided as it did. */
export function inWords(rule: DecidingPermission | undefined): string {
  if (rule === undefined) return 'no permission allows it'
  const { role, index, effect, topic } = rule
  return `role ${JSON.stringify(role)}, permissions[${index}] ${effect === 'allow' ? 'allows' : 'denies'} ${JSON.stringify(topic)}`
}
