import type { StateValue } from 'xstate'

import type { InflightDetail, QueuedDetail, SessionDetail, SubscriptionDetail, WillDetail } from '../inspection.ts'
import type { AttributeScope, Attributes } from '../properties.ts'
import { msOfTenths, type Publication } from '../publication.ts'
import { explainAccess } from './explain-access.ts'
import { fixedPropertiesOf, propertiesOf } from './fixed-properties.ts'
import { InflightState, type InflightEntry } from './inflight.ts'
import { firstOf } from './inspect-order.ts'
import { rowOf } from './inspect-sessions.ts'
import type { Outbound } from './outbound.ts'
import type { Session } from './session.ts'
import type { SubscriptionFacts } from './subscription-facts.ts'
import type { WillHost } from './will-host.ts'

/** Messages of a queue that are shown, and the bytes that are read for them at most. */
const FIRST_MESSAGES = 20
const FIRST_BYTES = 1_048_576

/** Everything about one session, as plain data. What waits for it in the store only is read from there. */
export async function detailOf(session: Session): Promise<SessionDetail> {
  const { context, will, outbound } = session
  const { maxInspectedRows } = session.core.limits
  const { grant, connect, standing, connection, sessionExpiryIntervalSeconds, epoch, resumed } = context
  const queue = await queueOf(session, outbound)
  return {
    ...rowOf(session),
    active: leavesOf(session.actor.getSnapshot().value),
    grant: grant ?? null,
    standing,
    connection,
    connect: connect
      ? {
          cleanStart: connect.cleanStart,
          keepAliveSeconds: session.keepAliveSeconds,
          authenticationMethod: connect.authenticationMethod ?? null,
          userProperties: connect.userProperties,
        }
      : null,
    maxInflightMessages: session.state === 'online' ? session.window : null,
    sessionExpiryIntervalSeconds,
    epoch,
    resumed,
    isPersistent: session.isPersistent,
    properties: propertiesWithSources(session),
    fixedProperties: fixedPropertiesOf(context, session.state),
    attributes: attributesOf(session),
    subscriptionList: firstOf(session.subscriptions?.facts() ?? [], maxInspectedRows).map((facts) =>
      subscriptionOf(session, facts),
    ),
    inflight: inflightOf(session, maxInspectedRows),
    queue,
    will: will ? willOf(will) : null,
    deadlines: deadlinesOf(session),
  }
}

/** Paths of the active leaves of a chart. */
function leavesOf(value: StateValue): string[] {
  if (typeof value === 'string') return [value]
  return Object.entries(value).flatMap(([name, inner]) => {
    const below = inner === undefined ? [] : leavesOf(inner)
    return below.length === 0 ? [name] : below.map((path) => `${name}.${path}`)
  })
}

function propertiesWithSources({ context, state }: Session): SessionDetail['properties'] {
  const sources = context.grant?.propertySources ?? {}
  const own = Object.entries(propertiesOf(context.grant)).map(([name, value]) => {
    const source = Object.hasOwn(sources, name) ? sources[name]! : ('authenticator' as const)
    return { name, value, source }
  })
  const given = new Set(own.map(({ name }) => name))
  const fixed = Object.entries(fixedPropertiesOf(context, state)).flatMap(([name, value]) =>
    given.has(name) ? [] : [{ name, value, source: 'fixed' as const }],
  )
  return [...own, ...fixed]
}

function attributesOf({ context }: Session): Readonly<Record<AttributeScope, Attributes>> {
  return { session: context.sessionAttributes, connection: context.connectionAttributes }
}

function subscriptionOf(session: Session, facts: SubscriptionFacts): SubscriptionDetail {
  const { name, filter, group, wanted, granted, options } = facts
  const inner = group === undefined ? filter : `$share/${group}/${filter}`
  return {
    filter: name,
    requestedQoS: wanted,
    grantedQoS: granted ?? null,
    noLocal: options.noLocal,
    retainAsPublished: options.retainAsPublished,
    retainHandling: options.retainHandling,
    subscriptionIdentifier: options.subscriptionIdentifier || null,
    share: group ?? null,
    replacedBy: inner === name ? null : inner,
    withheld: withheldFrom(session, inner, facts),
  }
}

function withheldFrom(session: Session, topic: string, { wanted, granted }: SubscriptionFacts): string | null {
  // Nothing is kept back where there are no roles, and nobody has to be asked why.
  if (granted === wanted && session.access?.isPartial !== true) return null
  const { verdict, qos, reason } = explainAccess(session, { action: 'subscribe', topic, qos: wanted })
  if (granted === undefined) return reason
  if (verdict === 'filter') return `each message is checked: ${reason}`
  return qos === wanted && granted === wanted ? null : `QoS ${granted} at most: ${reason}`
}

function inflightOf({ outbound, inbound }: Session, max: number): InflightDetail[] {
  const sent = (outbound?.parts.inflight.inOrder() ?? []).slice(0, max).map(sentOf)
  const received = firstOf(inbound?.unreleased ?? [], max).map((packetId): InflightDetail => {
    return { direction: 'from-client', packetId, topic: null, qos: 2, step: 'awaiting-pubrel', sinceMs: null }
  })
  return [...sent, ...received]
}

function sentOf({ packetId, publication, qos, state, sent }: InflightEntry): InflightDetail {
  const isReleased = state === InflightState.Released
  const step = isReleased ? 'awaiting-pubcomp' : qos === 2 ? 'awaiting-pubrec' : 'awaiting-puback'
  const sinceMs = msOfTenths(sent) ?? null
  return { direction: 'to-client', packetId, topic: publication?.topic ?? null, qos, step, sinceMs }
}

/** What waits in memory, then what waits in the store. */
async function queueOf(session: Session, outbound: Outbound | undefined): Promise<SessionDetail['queue']> {
  if (outbound === undefined) return { messages: 0, bytes: 0, oldestAtMs: null, first: [] }
  const { outbox } = outbound.parts
  const first = firstOf(outbox.waiting(), FIRST_MESSAGES).map(({ publication, qos }) => queuedOf(publication, qos))
  const { tail } = outbox
  const { queued: messages, queuedBytes: bytes } = outbound
  const wanted = FIRST_MESSAGES - first.length
  if (tail !== undefined && tail.messages > 0 && wanted > 0 && session.keeper !== undefined) {
    const page = await session.keeper.page(tail.from, wanted, FIRST_BYTES).catch(() => [])
    for (const { publication, qos } of page) first.push(queuedOf(publication, qos))
  }
  const times = first.flatMap(({ sinceMs }) => sinceMs ?? [])
  return { messages, bytes, oldestAtMs: times.length === 0 ? null : Math.min(...times), first }
}

function queuedOf(publication: Publication, qos: QueuedDetail['qos']): QueuedDetail {
  const { topic, payloadLength, expiresAtMs, arrived } = publication
  return {
    topic,
    qos,
    payloadBytes: payloadLength,
    sinceMs: msOfTenths(arrived) ?? null,
    expiresAtMs: expiresAtMs === Infinity ? null : expiresAtMs,
  }
}

function willOf(host: WillHost): WillDetail {
  const { summary, dueAtMs } = host
  const { verdict, reason, rule } = host.foresee()
  return {
    ...summary,
    state: dueAtMs === undefined ? 'armed' : 'delayed',
    dueAtMs: dueAtMs ?? null,
    ifFiredNow: { verdict, reason, rule: rule ?? null },
  }
}

function deadlinesOf(session: Session): SessionDetail['deadlines'] {
  const { deadline, authenticationDeadline, grantDeadline, connectionDeadline, will, context } = session
  const named = [
    ['CONNECT has to come', deadline?.callback && deadline.atMs],
    ['session ends', context.expiresAtMs],
    ['authentication has to end', authenticationDeadline?.callback && authenticationDeadline.atMs],
    ['grant is looked at', grantDeadline?.callback && grantDeadline.atMs],
    ['grant ends', context.grant?.expiresAtMs],
    ['connection ends', connectionDeadline?.callback && connectionDeadline.atMs],
    ['will is published', will?.dueAtMs],
  ] as const
  return named.flatMap(([name, atMs]) => (atMs === undefined ? [] : [{ name, atMs }])).sort((a, b) => a.atMs - b.atMs)
}
