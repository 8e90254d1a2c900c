/** What one run of the load generator printed: its fields are named in `loadgen.c`. */
export type LoadResult = Readonly<Record<string, unknown>>

/** One line of the table: a figure of a scenario, and what it must not exceed. */
export interface Measure {
  readonly label: string
  readonly unit: 'µs' | 'KB' | 'B' | 's' | 'messages/s'
  /** The figure in one run's result; undefined: the run has none. */
  of(result: LoadResult): number | undefined
  /** What is held against the targets: the ratio to the baseline (Aedes, or statemq in memory), or the figure itself. */
  readonly judged: 'ratio' | 'value'
  /** Without them the row passes when every message arrived once and in order. */
  readonly target?: Target
}

/** The bound that passes, and the better one that is aimed at; of rates more is better. */
export type Target = { readonly most: number; readonly aim: number } | { readonly least: number; readonly aim: number }

export interface Scenario {
  readonly name: string
  readonly about: string
  /** For the load generator. */
  readonly args: readonly string[]
  /** Instead of a load: what statemq's store has before it is started. */
  readonly seed?: Seed
  /** A broker of its own for every run: it measures memory, or leaves state behind. */
  readonly fresh: boolean
  /** Limits of statemq that the scenario goes beyond, as `--set` takes them; nothing else is changed. */
  readonly raised: readonly string[]
  /** File descriptors that a broker needs for it. */
  readonly minOpenFiles: number
  readonly measures: readonly Measure[]
}

/** Sessions that are away, and the messages that wait for all of them together. */
export interface Seed {
  readonly sessions: number
  readonly messages: number
  /** Each message waits for one session or, kept once, for all of them. */
  readonly goesTo: 'one' | 'all'
}

/** A field of a result where it is a number. */
export function figure(result: LoadResult, field: string): number | undefined {
  const value = result[field]
  return typeof value === 'number' ? value : undefined
}

/** The sum of several fields; undefined where one is missing. */
function total(result: LoadResult, fields: readonly string[]): number | undefined {
  const values = fields.map((field) => figure(result, field))
  return values.includes(undefined) ? undefined : values.reduce<number>((sum, value) => sum + (value ?? 0), 0)
}

/** CPU of the broker per delivered message, judged as a ratio to Aedes. */
function perMessage(label: string, most: number, aim: number): Measure {
  return {
    label,
    unit: 'µs',
    of: (result) => figure(result, 'broker_us_per_msg'),
    judged: 'ratio',
    target: { most, aim },
  }
}

/** Seconds of warm-up and of measurement. */
const timed = ['-W', '0.7', '-d', '1.3'] as const

function flow(
  name: string,
  about: string,
  args: string,
  most: number,
  aim: number,
  special: Partial<Pick<Scenario, 'fresh' | 'raised' | 'minOpenFiles'>> = {},
): Scenario {
  return {
    name,
    about,
    args: [...args.split(' '), ...timed],
    fresh: false,
    raised: [],
    minOpenFiles: 256,
    measures: [perMessage(name, most, aim)],
    ...special,
  }
}

/** Each subscription goes to one of ten clients; every message matches exactly one of them. */
function wildcards(count: number, most: number, aim: number): Scenario {
  return flow(
    `wild${count}`,
    `${count.toLocaleString('en')} filters with and without wildcards, one match per message, QoS 0`,
    `-m wildcard -q 0 -n 10 -P 4 -w 16 -S ${count} -B 1000`,
    most,
    aim,
    { fresh: true, raised: [`limits.maxSubscriptionsPerSession=${count / 10}`] },
  )
}

const connections = 10_000
const connectionsPerSecondOffered = 100_000
const fetches = ['fetch0', 'fetch1', 'fetch2'] as const

/** The speed table of the engine: the same scenarios, with the names they have everywhere. */
export const scenarios: readonly Scenario[] = [
  flow('p2p-q0-w1', '100 pairs, QoS 0, 1 message in flight', '-m p2p -q 0 -n 100 -w 1', 0.65, 0.45),
  flow('p2p-q0-w64', '10 pairs, QoS 0, 64 in flight', '-m p2p -q 0 -n 10 -w 64', 0.12, 0.04),
  flow('p2p-q1-w1', '100 pairs, QoS 1, 1 in flight', '-m p2p -q 1 -n 100 -w 1', 0.6, 0.45),
  flow('p2p-q1-w64', '10 pairs, QoS 1, 64 in flight', '-m p2p -q 1 -n 10 -w 64', 0.15, 0.06),
  flow('p2p-q2-w64', '10 pairs, QoS 2, 64 in flight', '-m p2p -q 2 -n 10 -w 64', 0.15, 0.05),
  flow('fanin100', '100 publishers to one subscriber, QoS 0', '-m fanin -q 0 -n 100 -w 4', 0.2, 0.1),
  flow('fanout100', '1 publisher to 100 subscribers, QoS 0', '-m fanout -q 0 -n 100 -w 8', 0.2, 0.1),
  flow('fanout1000', '1 publisher to 1,000 subscribers, QoS 0', '-m fanout -q 0 -n 1000 -w 8', 0.2, 0.1, {
    minOpenFiles: 1_200,
  }),
  flow('fanout100-q1', '1 publisher to 100 subscribers, QoS 1', '-m fanout -q 1 -n 100 -w 8', 0.3, 0.15),
  flow('size65536', '10 pairs, payloads of 64 KiB, QoS 0, 8 in flight', '-m p2p -q 0 -n 10 -w 8 -s 65536', 0.6, 0.4),
  wildcards(100_000, 0.6, 0.45),
  wildcards(1_000_000, 1, 0.6),
  {
    name: 'conns10000',
    about: '10,000 clients connect as fast as they can, subscribe, and idle for 3 s with pings',
    args: ['-m', 'conns', '-n', `${connections}`, '-x', '4', '-u', '-H', '3', '-K', '60', '-r', `${connections / 30}`],
    fresh: true,
    raised: [`limits.maxConnectsPerSecond=${connectionsPerSecondOffered}`],
    minOpenFiles: connections + 256,
    measures: [
      {
        label: 'conns10000: memory per connection',
        unit: 'KB',
        of: (result) => {
          const bytes = figure(result, 'bytes_per_conn')
          return bytes === undefined ? undefined : bytes / 1024
        },
        judged: 'value',
        target: { most: 16, aim: 12 },
      },
      {
        label: 'conns10000: connect and subscribe',
        unit: 'µs',
        of: (result) => figure(result, 'connect_broker_us_per_msg'),
        judged: 'ratio',
        target: { most: 0.5, aim: 0.3 },
      },
    ],
  },
  {
    name: 'retained10k',
    about: '10,000 retained messages, fetched three times by a new subscriber at QoS 1',
    args: ['-m', 'retained', '-q', '1', '-M', '10000', '-w', '64', '-R', `${fetches.length}`],
    fresh: true,
    raised: [],
    minOpenFiles: 256,
    measures: [
      {
        label: 'retained10k: fetch',
        unit: 'µs',
        // Ten thousand messages take a few of the 10 ms steps that the system counts CPU in: three fetches steady it.
        of: (result) => {
          const sum = total(
            result,
            fetches.map((fetch) => `${fetch}_broker_us_per_msg`),
          )
          return sum === undefined ? undefined : sum / fetches.length
        },
        judged: 'ratio',
        target: { most: 0.25, aim: 0.15 },
      },
    ],
  },
  {
    name: 'offline10k',
    about: '10,000 messages at QoS 1 for a session that is away, then all of them when it comes back',
    args: ['-m', 'offline', '-q', '1', '-M', '10000', '-w', '64', '-n', '1'],
    fresh: true,
    raised: ['limits.maxQueuedMessages=10000'],
    minOpenFiles: 256,
    measures: [
      {
        label: 'offline10k: queued and delivered',
        unit: 'µs',
        of: (result) => total(result, ['enqueue_broker_us_per_msg', 'drain_broker_us_per_msg']),
        judged: 'ratio',
      },
    ],
  },
]
