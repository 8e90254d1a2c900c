import type {
  Decision,
  JobPage,
  RetainedMessage,
  RetainedPage,
  SessionDetail,
  SessionPage,
  SessionRow,
  TransitionRecord,
} from '../inspection.ts'
import { bytes, duration, facts, table, time, visible, type Cell } from './terminal-text.ts'

/** What one operation did to one session, as the admin API tells it. */
export interface ToldOutcome {
  readonly clientId: string
  readonly outcome: 'done' | 'unchanged' | 'failed'
  readonly error: string | null
  readonly reason: string | null
}

export function sessionsText({ total, offset, rows }: SessionPage): string {
  const shown = table<SessionRow>(
    [
      { title: 'CLIENT', of: ({ clientId }) => clientId },
      { title: 'STATE', of: ({ state }) => state },
      { title: 'PRINCIPAL', of: ({ principal }) => principal, maxColumns: 24 },
      { title: 'ROLES', of: ({ roles }) => roles.join(' '), maxColumns: 24 },
      { title: 'ADDRESS', of: ({ address }) => address },
      { title: 'MQTT', of: ({ protocolVersion }) => (protocolVersion === null ? null : versionName(protocolVersion)) },
      { title: 'SUBS', of: ({ subscriptions }) => subscriptions },
      { title: 'QUEUED', of: ({ queuedMessages }) => queuedMessages },
      { title: 'INFLIGHT', of: ({ inflightMessages }) => inflightMessages },
      { title: 'CONNECTED', of: ({ connectedAtMs }) => time(connectedAtMs) },
    ],
    rows,
  )
  const places = rows.length > 0 ? `${offset + 1}-${offset + rows.length} of ${total}` : `0 of ${total}`
  return `${rows.length > 0 ? shown : ''}${places} sessions\n`
}

function versionName(version: number): string {
  return version === 3 ? '3.1' : version === 4 ? '3.1.1' : '5'
}

/** A heading with what stands below it; nothing where there is nothing. */
function section(title: string, text: string): string {
  return text === '' ? '' : `\n${title}\n${text.replace(/^(?=.)/gm, '  ')}`
}

export function sessionText(detail: SessionDetail, history: readonly TransitionRecord[], nowMs: number): string {
  const { grant, connection, queue, will, attributes } = detail
  const age = (atMs: number | null): Cell => (atMs === null ? null : duration(nowMs - atMs))
  return (
    facts([
      ['client', detail.clientId],
      ['session', detail.sessionId],
      ['state', detail.active.join(', ') || detail.state],
      ['principal', grant?.principal ?? null],
      ['roles', grant?.roles.join(' ')],
      ['authenticator', grant?.authenticator],
      ['grant', grantText(detail)],
      ['connection', `${connection.transport} ${detail.address} by ${connection.listener}`],
      ['connected', `${time(detail.connectedAtMs) ?? '-'} (${duration(nowMs - detail.connectedAtMs)})`],
      ['expires', time(detail.expiresAtMs) ?? expiryText(detail.sessionExpiryIntervalSeconds)],
      ['queue', `${queue.messages} messages, ${bytes(queue.bytes)}`],
      ['oldest', age(queue.oldestAtMs)],
    ]) +
    section('Properties', pairsText(detail.properties.map(({ name, value, source }) => [name, value, source]))) +
    section('Attributes', attributesText(attributes)) +
    section('Subscriptions', subscriptionsText(detail)) +
    section('Inflight', inflightText(detail, age)) +
    section('Will', will === null ? '' : willText(will)) +
    section('History', historyText(history))
  )
}

function grantText({ grant, standing }: SessionDetail): string {
  if (!grant) return '-'
  const end =
    grant.expiresAtMs === undefined || grant.expiresAtMs === null ? 'no end' : `until ${time(grant.expiresAtMs)}`
  return `${standing}, ${end}`
}

function expiryText(seconds: number): string {
  if (seconds === 0) return 'with its connection'
  return seconds === 0xffffffff ? 'never' : `${duration(seconds * 1000)} after its connection`
}

function pairsText(rows: readonly (readonly [name: string, value: string, source: string])[]): string {
  if (rows.length === 0) return ''
  return table(
    [
      { title: 'NAME', of: (row) => row[0] },
      { title: 'VALUE', of: (row) => row[1], maxColumns: 80 },
      { title: 'SOURCE', of: (row) => row[2] },
    ],
    rows,
  )
}

function attributesText(attributes: SessionDetail['attributes']): string {
  return pairsText(
    Object.entries(attributes).flatMap(([scope, values]) =>
      Object.entries(values).map(([name, value]): readonly [string, string, string] => [
        name,
        JSON.stringify(value),
        scope,
      ]),
    ),
  )
}

function subscriptionsText({ subscriptionList }: SessionDetail): string {
  if (subscriptionList.length === 0) return ''
  return table<SessionDetail['subscriptionList'][number]>(
    [
      { title: 'FILTER', of: ({ filter }) => filter, maxColumns: 60 },
      { title: 'QOS', of: ({ grantedQoS, requestedQoS }) => `${grantedQoS ?? '-'} of ${requestedQoS}` },
      { title: 'WHY', of: ({ withheld }) => withheld, maxColumns: 60 },
    ],
    subscriptionList,
  )
}

function inflightText({ inflight }: SessionDetail, age: (atMs: number | null) => Cell): string {
  if (inflight.length === 0) return ''
  return table<SessionDetail['inflight'][number]>(
    [
      { title: 'DIRECTION', of: ({ direction }) => direction },
      { title: 'ID', of: ({ packetId }) => packetId },
      { title: 'TOPIC', of: ({ topic }) => topic, maxColumns: 60 },
      { title: 'QOS', of: ({ qos }) => qos },
      { title: 'STEP', of: ({ step }) => step },
      { title: 'AGE', of: ({ sinceMs }) => age(sinceMs) },
    ],
    inflight,
  )
}

function willText(will: NonNullable<SessionDetail['will']>): string {
  const { verdict, reason } = will.ifFiredNow
  return facts([
    ['topic', will.topic],
    ['state', will.dueAtMs === null ? will.state : `${will.state}, due ${time(will.dueAtMs) ?? ''}`],
    ['message', `QoS ${will.qos}${will.retain ? ', retained' : ''}, ${bytes(will.payloadBytes)}`],
    ['if fired now', `${verdict}: ${reason}`],
  ])
}

function decisionText(decision: Decision | null): string {
  if (!decision) return ''
  const { by, name, reason } = decision
  return `${by}${name === '' ? '' : ` ${name}`}${reason === '' ? '' : `: ${reason}`}`
}

function historyText(records: readonly TransitionRecord[]): string {
  if (records.length === 0) return ''
  return table<TransitionRecord>(
    [
      { title: 'TIME', of: ({ atMs }) => time(atMs) },
      { title: 'EVENT', of: ({ event }) => event },
      {
        title: 'TO',
        of: ({ from, to }) => to.filter((path) => !from.includes(path)).join(' ') || 'no change',
        maxColumns: 60,
      },
      { title: 'WHO DECIDED, AND WHY', of: ({ decision }) => decisionText(decision), maxColumns: 80 },
    ],
    records,
  )
}

export function outcomesText(outcomes: readonly ToldOutcome[]): string {
  if (outcomes.length === 0) return 'no session\n'
  return table<ToldOutcome>(
    [
      { title: 'CLIENT', of: ({ clientId }) => clientId },
      { title: 'OUTCOME', of: ({ outcome }) => outcome },
      { title: 'WHY', of: ({ error, reason }) => [error, reason].filter(Boolean).join(' '), maxColumns: 80 },
    ],
    outcomes,
  )
}

export function retainedText({ total, levels }: RetainedPage): string {
  const shown = table<RetainedPage['levels'][number]>(
    [
      { title: 'TOPIC', of: ({ topic }) => topic, maxColumns: 80 },
      { title: 'BELOW', of: ({ hasChildren }) => (hasChildren ? 'yes' : null) },
      { title: 'QOS', of: ({ qos }) => qos },
      { title: 'BYTES', of: ({ payloadBytes }) => payloadBytes },
    ],
    levels,
  )
  return `${levels.length > 0 ? shown : ''}${levels.length} of ${total} topics and levels\n`
}

export function retainedMessageText(message: RetainedMessage): string {
  const payload = Buffer.from(message.payloadBase64, 'base64')
  return (
    facts([
      ['topic', message.topic],
      ['publisher', message.publisher],
      ['since', time(message.atMs)],
      ['expires', time(message.expiresAtMs)],
      ['qos', message.qos],
      ['content type', message.contentType],
      ['payload', `${message.payloadBytes} bytes`],
    ]) + `\n${visible(payload.toString())}${payload.length < message.payloadBytes ? '…' : ''}\n`
  )
}

export function jobsText({ total, rows }: JobPage): string {
  const shown = table<JobPage['rows'][number]>(
    [
      { title: 'ID', of: ({ id }) => id, maxColumns: 80 },
      { title: 'KIND', of: ({ kind }) => kind },
      { title: 'CLIENT', of: ({ clientId }) => clientId },
      { title: 'DUE', of: ({ dueAtMs }) => time(dueAtMs) },
      { title: 'MESSAGES', of: ({ messages }) => messages },
      { title: 'TOPIC', of: ({ topic }) => topic },
      { title: 'ATTEMPTS', of: ({ attempts }) => attempts },
      { title: 'FAILURE', of: ({ failure }) => failure, maxColumns: 60 },
    ],
    rows,
  )
  return `${rows.length > 0 ? shown : ''}${rows.length} of ${total} jobs\n`
}
