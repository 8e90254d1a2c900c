import { figure, type Measure, type Scenario, type Target } from './scenarios.ts'

/** Seconds of warm-up and of measurement. */
const timed = ['-W', '0.7', '-d', '1.3'] as const

function rate(label: string, field: string, target: Target): Measure {
  return { label, unit: 'messages/s', of: (result) => figure(result, field), judged: 'value', target }
}

function cost(label: string, field: string, target?: Target): Measure {
  const measure = { label, unit: 'µs', of: figureOf(field), judged: 'ratio' } as const
  return target ? { ...measure, target } : measure
}

function figureOf(field: string): Measure['of'] {
  return (result) => figure(result, field)
}

/** Nothing of these clients is kept: a store beside them must not cost them anything. */
function clean(name: string, about: string, args: string): Scenario {
  return {
    name,
    about: `${about}, clean sessions: nothing to keep`,
    args: [...args.split(' '), ...timed],
    fresh: false,
    raised: [],
    minOpenFiles: 256,
    measures: [cost(name, 'broker_us_per_msg', { most: 1.1, aim: 1 })],
  }
}

function offline(name: string, messages: number, measures: readonly Measure[]): Scenario {
  return {
    name,
    about: `${messages.toLocaleString('en')} messages at QoS 1 for a session that is away, then all of them when it comes back`,
    args: ['-m', 'offline', '-q', '1', '-M', `${messages}`, '-w', '64', '-n', '1'],
    fresh: true,
    raised: [`limits.maxQueuedMessages=${messages}`, 'limits.maxQueuedBytes=.inf'],
    minOpenFiles: 256,
    measures,
  }
}

/** A store as it is found at the start. */
function seeded(name: string, about: string, seed: Scenario['seed'] & object, measures: readonly Measure[]): Scenario {
  const raised = ['limits.maxQueuedMessages=.inf', 'limits.maxQueuedBytes=.inf']
  return { name, about, args: [], seed, fresh: true, raised, minOpenFiles: 256, measures }
}

function diskBytes(label: string, deliveries: number, target: Target): Measure {
  return {
    label,
    unit: 'B',
    of: (result) => {
      const bytes = figure(result, 'disk_bytes')
      return bytes === undefined ? undefined : bytes / deliveries
    },
    judged: 'value',
    target,
  }
}

/** What is acknowledged is flushed first: the speed table of the stores. */
export const durableScenarios: readonly Scenario[] = [
  clean('p2p-q1-w1', '100 pairs, QoS 1, 1 in flight', '-m p2p -q 1 -n 100 -w 1'),
  clean('p2p-q1-w64', '10 pairs, QoS 1, 64 in flight', '-m p2p -q 1 -n 10 -w 64'),
  {
    name: 'p2p-q1-w64-kept',
    about: '10 pairs, QoS 1, 64 in flight, subscribers with sessions that stay, online',
    args: ['-m', 'p2p', '-q', '1', '-n', '10', '-w', '64', '-c', ...timed],
    fresh: true,
    raised: [],
    minOpenFiles: 256,
    measures: [
      rate('p2p-q1-w64-kept: delivered', 'per_s', { least: 30_000, aim: 100_000 }),
      cost('p2p-q1-w64-kept', 'broker_us_per_msg'),
    ],
  },
  offline('offline10k', 10_000, [cost('offline10k: drained', 'drain_broker_us_per_msg')]),
  offline('offline100k', 100_000, [
    rate('offline100k: queued', 'enqueue_per_s', { least: 60_000, aim: 150_000 }),
    rate('offline100k: drained', 'drain_per_s', { least: 150_000, aim: 300_000 }),
    cost('offline100k: queued', 'enqueue_broker_us_per_msg'),
    cost('offline100k: drained', 'drain_broker_us_per_msg'),
  ]),
  offline('offline1m', 1_000_000, [cost('offline1m: drained', 'drain_broker_us_per_msg')]),
  seeded(
    'start100k',
    'from the start of the process to the first connection, with 100,000 sessions and 10 messages of 64 B for each, which came one at a time',
    { sessions: 100_000, messages: 1_000_000, goesTo: 'one' },
    [
      {
        label: 'start100k',
        unit: 's',
        of: figureOf('start_s'),
        judged: 'value',
        target: { most: 5, aim: 2 },
      },
    ],
  ),
  seeded('disk1', '100,000 messages of 64 B for one session', { sessions: 1, messages: 100_000, goesTo: 'one' }, [
    diskBytes('disk1: of a message', 100_000, { most: 200, aim: 150 }),
  ]),
  seeded(
    'disk1000',
    '1,000 messages of 64 B, each for 1,000 sessions',
    { sessions: 1_000, messages: 1_000, goesTo: 'all' },
    [diskBytes('disk1000: of a message for one session', 1_000_000, { most: 60, aim: 40 })],
  ),
]
