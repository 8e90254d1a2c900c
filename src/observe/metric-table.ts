import type { BrokerStats } from '../inspection.ts'

/** One value, with its labels. */
type Reading = readonly [labels: Readonly<Record<string, string>>, value: number]

/** A metric of Prometheus'; `docs/metrics.md` lists the same. Labels have few values, and none of a client's choosing. */
export interface Metric {
  readonly name: string
  readonly type: 'counter' | 'gauge'
  readonly labels: readonly string[]
  readonly help: string
  readonly read: (stats: BrokerStats) => readonly Reading[]
}

type Tally = (counters: BrokerStats['counters']) => number

function counter(name: string, help: string, read: Tally): Metric {
  return { name, help, type: 'counter', labels: [], read: ({ counters }) => [[{}, read(counters)]] }
}

function gauge(name: string, help: string, read: (stats: BrokerStats) => number): Metric {
  return { name, help, type: 'gauge', labels: [], read: (stats) => [[{}, read(stats)]] }
}

/** From clients and to them. */
function bothWays(name: string, help: string, received: Tally, sent: Tally): Metric {
  return {
    name,
    help,
    type: 'counter',
    labels: ['direction'],
    read: ({ counters }) => [
      [{ direction: 'received' }, received(counters)],
      [{ direction: 'sent' }, sent(counters)],
    ],
  }
}

/** A value for each name of a record. */
function byName(
  { name, type, label, help }: Pick<Metric, 'name' | 'type' | 'help'> & { readonly label: string },
  read: (stats: BrokerStats) => Readonly<Record<string, number>>,
): Metric {
  return {
    name,
    help,
    type,
    labels: [label],
    read: (stats) => Object.entries(read(stats)).map(([value, count]) => [{ [label]: value }, count]),
  }
}

const traffic: readonly Metric[] = [
  bothWays(
    'statemq_bytes_total',
    'Bytes of MQTT from and to clients, without TLS and WebSocket.',
    ({ bytesReceived }) => bytesReceived,
    ({ bytesSent }) => bytesSent,
  ),
  bothWays(
    'statemq_packets_total',
    'Packets of any type from and to clients.',
    ({ packetsReceived }) => packetsReceived,
    ({ packetsSent }) => packetsSent,
  ),
  bothWays(
    'statemq_messages_total',
    'PUBLISH packets from clients and the embedder, and to clients, repeated ones included.',
    ({ messagesReceived }) => messagesReceived,
    ({ messagesSent }) => messagesSent,
  ),
  bothWays(
    'statemq_payload_bytes_total',
    'Bytes of the payloads of those messages.',
    ({ payloadBytesReceived }) => payloadBytesReceived,
    ({ payloadBytesSent }) => payloadBytesSent,
  ),
  byName(
    {
      name: 'statemq_messages_dropped_total',
      type: 'counter',
      label: 'reason',
      help: 'Messages that did not reach somebody who was to have them.',
    },
    ({ counters }) => counters.dropped,
  ),
  gauge(
    'statemq_queued_messages',
    'Messages that wait for sessions, in memory and in the store.',
    ({ queuedMessages }) => queuedMessages,
  ),
  gauge('statemq_queued_bytes', 'Bytes of the messages that wait for sessions.', ({ queuedBytes }) => queuedBytes),
  gauge(
    'statemq_inflight_messages',
    'QoS 1 and 2 messages to clients that are not acknowledged.',
    ({ inflightMessages }) => inflightMessages,
  ),
  gauge('statemq_retained_messages', 'Retained messages, without those of $SYS.', (stats) => stats.retainedMessages),
  gauge('statemq_retained_bytes', 'Bytes of the retained messages.', ({ retainedBytes }) => retainedBytes),
]

const sessions: readonly Metric[] = [
  byName(
    { name: 'statemq_sessions', type: 'gauge', label: 'state', help: 'Sessions by the state that they are in.' },
    (stats) => stats.sessions,
  ),
  gauge('statemq_connections', 'Connections, those without a CONNECT included.', ({ connections }) => connections),
  {
    name: 'statemq_listener_connections',
    type: 'gauge',
    labels: ['listener', 'transport'],
    help: 'Connections of each listener, those in a handshake included.',
    read: ({ listeners }) =>
      listeners.map(({ name, transport, connections }) => [{ listener: name, transport }, connections]),
  },
  counter(
    'statemq_connections_opened_total',
    'Connections that were taken in, those of clients in the process included.',
    ({ connectionsOpened }) => connectionsOpened,
  ),
  counter(
    'statemq_connections_refused_total',
    'Connections that ended before MQTT began: a failed handshake, a hook, a ban.',
    ({ connectionsRefused }) => connectionsRefused,
  ),
  counter(
    'statemq_sessions_admitted_total',
    'CONNECT packets that were answered with success.',
    ({ sessionsAdmitted }) => sessionsAdmitted,
  ),
  byName(
    {
      name: 'statemq_sessions_refused_total',
      type: 'counter',
      label: 'reason_code',
      help: "CONNECT packets that were refused, by MQTT 5's reason code in decimal.",
    },
    ({ counters }) => counters.sessionsRefused,
  ),
  counter(
    'statemq_session_takeovers_total',
    'Sessions whose client came again on another connection while it was online.',
    ({ takeovers }) => takeovers,
  ),
  counter(
    'statemq_sessions_expired_total',
    'Sessions whose time without a connection had passed.',
    ({ sessionsExpired }) => sessionsExpired,
  ),
]

const others: readonly Metric[] = [
  gauge('statemq_subscriptions', 'Subscriptions of all sessions.', ({ subscriptions }) => subscriptions),
  gauge(
    'statemq_shared_subscriptions',
    'Those of the subscriptions that are shared.',
    ({ sharedSubscriptions }) => sharedSubscriptions,
  ),
  counter(
    'statemq_subscriptions_added_total',
    'Subscriptions that were made; those that a start brought back are among them.',
    ({ subscriptionsAdded }) => subscriptionsAdded,
  ),
  counter(
    'statemq_subscriptions_removed_total',
    'Subscriptions that ended.',
    ({ subscriptionsRemoved }) => subscriptionsRemoved,
  ),
  byName(
    { name: 'statemq_wills_total', type: 'counter', label: 'outcome', help: 'Wills by what became of them.' },
    ({ counters }) => ({
      published: counters.willsPublished,
      withheld: counters.willsWithheld,
      cancelled: counters.willsCancelled,
    }),
  ),
  gauge(
    'statemq_pending_wills',
    'Wills whose connection is gone and whose time has not come.',
    ({ pendingWills }) => pendingWills,
  ),
  counter('statemq_hooks_denied_total', 'Decisions of hooks that were no.', ({ hooksDenied }) => hooksDenied),
  counter(
    'statemq_hooks_failed_total',
    'Hooks that threw, were late or gave no verdict, which counts as no; observers that threw, one a second at most.',
    ({ hooksFailed }) => hooksFailed,
  ),
]

const broker: readonly Metric[] = [
  {
    name: 'statemq_info',
    type: 'gauge',
    labels: ['version', 'store'],
    help: 'Always 1; what runs is in the labels.',
    read: ({ version, store }) => [[{ version, store: store.name }, 1]],
  },
  gauge(
    'statemq_start_time_seconds',
    'When the broker was made, in seconds since 1970.',
    ({ startedAtMs }) => startedAtMs / 1000,
  ),
  gauge('statemq_running', '1 while the broker takes connections, 0 before and after.', ({ state }) =>
    state === 'running' ? 1 : 0,
  ),
  gauge('statemq_store_up', '1 while what has to be durable becomes so, 0 while the store is full or away.', (stats) =>
    stats.store.fault === null ? 1 : 0,
  ),
]

/** All of them, in the order in which they are shown. */
export const metrics: readonly Metric[] = [...broker, ...traffic, ...sessions, ...others]
