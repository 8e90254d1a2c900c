import { Argument, InvalidArgumentError, Option, type Command } from 'commander'

import { StatemqError } from '../errors.ts'
import type {
  JobPage,
  RetainedMessage,
  RetainedPage,
  SessionDetail,
  SessionPage,
  SessionSort,
  TransitionRecord,
} from '../inspection.ts'
import { AdminClient } from './admin-client.ts'
import {
  jobsText,
  outcomesText,
  retainedMessageText,
  retainedText,
  sessionsText,
  sessionText,
  type ToldOutcome,
} from './admin-output.ts'
import { targetOf, withTarget, type TargetFlags } from './admin-target.ts'
import { facts, visible } from './terminal-text.ts'

const help = `
The broker is --url, or STATEMQ_URL (default: http://127.0.0.1:7883); it has to be started with --inspect-port.
The token is STATEMQ_TOKEN, or what --token-file holds, or what was left in --data by a broker on this machine.

Exit status: 0 done; 1 the broker refused, or it failed for a session; 2 wrong command line; 3 the broker
does not answer, or does not know who asks; 4 there is nothing of that name.`

/** The sort keys of the admin API. */
const sorts = [
  'clientId',
  'principal',
  'state',
  'connectedAtMs',
  'queuedMessages',
  'inflightMessages',
  'subscriptions',
  'address',
] as const satisfies readonly SessionSort[]
const jobKinds = ['offline-queue', 'will', 'session-expiry', 'dead'] as const
const explained = ['publish', 'subscribe', 'receive', 'connect'] as const

const MAX_ROWS = 1_000
const MAX_SECONDS = 3_600

interface Flags extends TargetFlags {
  readonly json?: true
}

export function count(max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!/^\d+$/.test(text) || value > max) throw new InvalidArgumentError(`Expected a number up to ${max}.`)
    return value
  }
}

/** Commands that look into a broker that runs, or steer it, by its admin API. */
export function addAdminCommands(program: Command, write: (text: string) => void): void {
  const add = (name: string, description: string): Command =>
    withTarget(program.command(name).description(description))
      .option('--json', 'print what the API answers')
      .allowExcessArguments(false)
      .addHelpText('after', help)
  const connect = async (flags: TargetFlags): Promise<AdminClient> =>
    new AdminClient(await targetOf(flags, process.env))
  const say = (flags: Flags, answer: unknown, text: () => string): void =>
    write(flags.json ? `${JSON.stringify(answer, null, 2)}\n` : text())
  const context: Context = { add, connect, say, write }
  addLooking(context)
  addSteering(context)
  addTop(context)
}

interface Context {
  readonly add: (name: string, description: string) => Command
  readonly connect: (flags: TargetFlags) => Promise<AdminClient>
  readonly say: (flags: Flags, answer: unknown, text: () => string) => void
  readonly write: (text: string) => void
}

type ListFlags = Flags & {
  readonly sort: SessionSort
  readonly descending?: true
  readonly limit: number
  readonly offset: number
}

function addLooking({ add, connect, say }: Context): void {
  add('sessions', 'list the sessions of a running broker')
    .argument('[filter]', 'which ones, such as \'$State is "online"\'; see docs/sessions.md')
    .addOption(new Option('--sort <key>', 'in which order').choices(sorts).default('clientId'))
    .option('--descending', 'the other way round')
    .option('--limit <number>', 'how many at most', count(MAX_ROWS), 50)
    .option('--offset <number>', 'how many to pass over', count(Number.MAX_SAFE_INTEGER), 0)
    .action(async (filter: string | undefined, flags: ListFlags) => {
      const { sort, descending = false, limit, offset } = flags
      const client = await connect(flags)
      const page = await client.get<SessionPage>('/api/v1/sessions', { filter, sort, descending, limit, offset })
      say(flags, page, () => sessionsText(page))
    })
  add('session', 'show one session: state, grant, subscriptions, queue, will, and how it came to be so')
    .argument('<client-id>')
    .action(async (clientId: string, flags: Flags) => {
      const client = await connect(flags)
      const detail = await client.get<SessionDetail>('/api/v1/session', { clientId })
      const { records } = await client.get<{ readonly records: readonly TransitionRecord[] }>(
        '/api/v1/session/history',
        { clientId },
      )
      say(flags, { session: detail, history: records }, () => sessionText(detail, records, Date.now()))
    })
  add('explain', 'say what a client may do, and by which rule; or why it was refused')
    .argument('<client-id>')
    .addArgument(new Argument('<action>').choices(explained))
    .argument('[topic]', 'a topic, or for subscribe a filter')
    .option('--qos <number>', 'of the message or the subscription', count(2))
    .option('--retain', 'of the message')
    .action(
      async (
        clientId: string,
        action: string,
        topic: string | undefined,
        flags: Flags & { qos?: number; retain?: true },
      ) => {
        if (action !== 'connect' && topic === undefined) throw new StatemqError('SMQ_USAGE', `${action} needs a topic`)
        const { qos, retain } = flags
        const details = { topic, ...(qos === undefined ? {} : { qos }), ...(retain ? { retain } : {}) }
        // What a client receives is delivered to it, in the words of the API.
        const asked = action === 'receive' ? 'deliver' : action
        const question = { clientId, action: asked, ...(action === 'connect' ? {} : details) }
        const answer = await (await connect(flags)).post<Explained>('/api/v1/explain', question)
        say(flags, answer, () => explanationText(answer))
      },
    )
  add('health', 'say whether the broker takes clients').action(async (flags: Flags) => {
    const { status, body } = await (await connect(flags)).look('/readyz')
    const { status: said } = (body ?? {}) as { readonly status?: unknown }
    const word = typeof said === 'string' ? said : `status ${status}`
    say(flags, body, () => `${visible(word)}\n`)
    if (status !== 200) throw new StatemqError('SMQ_API_FAILED', `the broker is not ready: ${visible(word)}`)
  })
}

interface Explained {
  readonly verdict: string
  readonly reason: string
  readonly state: string | null
  readonly standing: string | null
  readonly roles: readonly string[]
  readonly qos: number | null
  readonly rule: object | null
  readonly refusal: object | null
}

function explanationText(answer: Explained): string {
  const { verdict, reason, state, standing, roles, qos, rule, refusal } = answer
  return facts([
    ['verdict', verdict],
    ['reason', reason],
    ['state', state],
    ['grant', standing],
    ['roles', roles.join(' ')],
    ['qos', qos],
    ['rule', rule === null ? null : JSON.stringify(rule)],
    ['last refusal', refusal === null ? null : JSON.stringify(refusal)],
  ])
}

interface Outcomes {
  readonly done: number
  readonly unchanged: number
  readonly failed: number
  readonly outcomes: readonly ToldOutcome[]
}

type Steer = (
  flags: Flags & { readonly filter?: string },
  clientIds: readonly string[],
  action: object,
) => Promise<void>

function addSteering({ add, connect, say }: Context): void {
  const steer: Steer = async (flags, clientIds, action) => {
    const { filter } = flags
    if ((filter === undefined) === (clientIds.length === 0))
      throw new StatemqError('SMQ_USAGE', 'say which: client identifiers, or --filter')
    const target = filter === undefined ? { clientIds } : { filter }
    const client = await connect(flags)
    const answer = await client.post<Outcomes>('/api/v1/sessions/actions', { target, action })
    say(flags, answer, () => outcomesText(answer.outcomes) + totalsText(answer))
    if (answer.failed === 0) return
    if (answer.outcomes.every(({ error }) => error === 'SMQ_SESSION_UNKNOWN'))
      throw new StatemqError('SMQ_SESSION_UNKNOWN')
    throw new StatemqError('SMQ_API_FAILED', `${answer.failed} sessions are as they were`)
  }
  const onSessions = (name: string, description: string): Command =>
    add(name, description)
      .argument('[client-ids...]')
      .option('--filter <filter>', 'every session that it selects, instead of client identifiers')
  onSessions('disconnect', 'end connections with a DISCONNECT')
    .option('--reason-code <number>', 'of the DISCONNECT (default: 152, administrative action)', count(255))
    .option('--reason <text>', 'for the client and the log')
    .action(async (ids: readonly string[], flags: Flags & { reasonCode?: number; reason?: string }) => {
      const { reasonCode, reason } = flags
      const details = {
        ...(reasonCode === undefined ? {} : { reasonCode }),
        ...(reason === undefined ? {} : { reason }),
      }
      await steer(flags, ids, { type: 'disconnect', ...details })
    })
  onSessions('revoke', 'take grants away: clients go, their wills are not sent')
    .option('--reason <text>', 'for events and the log')
    .action(async (ids: readonly string[], flags: Flags & { reason?: string }) => {
      await steer(flags, ids, { type: 'revoke', ...(flags.reason === undefined ? {} : { reason: flags.reason }) })
    })
  onSessions('expire', 'end sessions, with what waits for them').action((ids: readonly string[], flags: Flags) =>
    steer(flags, ids, { type: 'expire' }),
  )
  add('roles', 'give a session roles and take them: statemq roles [options] ID +member -guest')
    .argument('<client-id>')
    .argument('<changes...>', '+role gives, -role takes')
    // So that `-guest` is a change and no option.
    .passThroughOptions()
    .action(async (clientId: string, changes: readonly string[], flags: Flags) => {
      await steer(flags, [clientId], { type: 'roles', ...roleChanges(changes) })
    })
  addStored({ add, connect, say })
}

function roleChanges(changes: readonly string[]): { readonly add: string[]; readonly remove: string[] } {
  const wrong = changes.find((change) => !/^[+-]./.test(change))
  if (wrong !== undefined) throw new StatemqError('SMQ_USAGE', `${JSON.stringify(wrong)} is neither +role nor -role`)
  const of = (sign: string): string[] =>
    changes.filter((change) => change.startsWith(sign)).map((change) => change.slice(1))
  return { add: of('+'), remove: of('-') }
}

function totalsText({ done, unchanged, failed }: Outcomes): string {
  return `${done} done, ${unchanged} unchanged, ${failed} failed\n`
}

function addStored({ add, connect, say }: Pick<Context, 'add' | 'connect' | 'say'>): void {
  add('retained', 'list retained messages level by level, show one, or take one away')
    .argument('[topic]', 'list what is below; with --get and --delete the message itself')
    .option('--get', 'show the message')
    .option('--delete', 'take the message away')
    .option('--limit <number>', 'how many at most', count(MAX_ROWS), 100)
    .option('--offset <number>', 'how many to pass over', count(Number.MAX_SAFE_INTEGER), 0)
    .action(
      async (
        topic: string | undefined,
        flags: Flags & { get?: true; delete?: true; limit: number; offset: number },
      ) => {
        if ((flags.get || flags.delete) && topic === undefined) throw new StatemqError('SMQ_USAGE', 'which topic?')
        if (flags.get && flags.delete) throw new StatemqError('SMQ_USAGE', 'either --get or --delete')
        const client = await connect(flags)
        if (flags.get) {
          const message = await client.get<RetainedMessage>('/api/v1/retained/message', { topic })
          return say(flags, message, () => retainedMessageText(message))
        }
        if (flags.delete) {
          const answer = await client.delete<object>('/api/v1/retained/message', { topic })
          return say(flags, answer, () => 'deleted\n')
        }
        const { limit, offset } = flags
        const page = await client.get<RetainedPage>('/api/v1/retained', { under: topic, limit, offset })
        say(flags, page, () => retainedText(page))
      },
    )
  add('jobs', 'list what is still to be done: offline queues, wills, expiries, and what was given up')
    .addArgument(new Argument('[kind]').choices(jobKinds).default('offline-queue'))
    .option('--retry <id>', 'do it now, or try it again')
    .option('--drop <id>', 'do not do it')
    .option('--limit <number>', 'how many at most', count(MAX_ROWS), 100)
    .option('--offset <number>', 'how many to pass over', count(Number.MAX_SAFE_INTEGER), 0)
    .action(async (kind: string, flags: Flags & { retry?: string; drop?: string; limit: number; offset: number }) => {
      const client = await connect(flags)
      const { retry, drop, limit, offset } = flags
      if (retry !== undefined && drop !== undefined) throw new StatemqError('SMQ_USAGE', 'either --retry or --drop')
      const id = retry ?? drop
      if (id !== undefined) {
        const answer = await client.post<object>(`/api/v1/jobs/${retry === undefined ? 'drop' : 'retry'}`, { id })
        return say(flags, answer, () => 'done\n')
      }
      const page = await client.get<JobPage>('/api/v1/jobs', { kind, limit, offset })
      say(flags, page, () => jobsText(page))
    })
}

function addTop({ add, connect, write }: Context): void {
  add('top', 'watch a broker: rates, queues, memory, slow subscribers')
    .option('--interval <seconds>', 'between two looks', count(MAX_SECONDS), 1)
    .option('-n, --count <number>', 'looks, and then it ends', count(Number.MAX_SAFE_INTEGER))
    .action(async (flags: Flags & { interval: number; count?: number }) => {
      const [client, { top }] = await Promise.all([connect(flags), import('./top.ts')])
      const interrupted = new AbortController()
      const stop = (): void => interrupted.abort()
      process.once('SIGINT', stop).once('SIGTERM', stop)
      await top(client, {
        intervalSeconds: flags.interval,
        count: flags.count,
        json: flags.json ?? false,
        isTerminal: process.stdout.isTTY,
        write,
        signal: interrupted.signal,
      }).finally(() => process.off('SIGINT', stop).off('SIGTERM', stop))
    })
}
