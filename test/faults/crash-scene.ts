/**
 * A broker that is killed, at moments that a seed chooses or at named points, while clients of all kinds go
 * on; what they were promised is held against what they got.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

import { expect } from 'vitest'

import { startCommand, type RunningCommand } from '../support/command.ts'
import { elapsed, until } from '../support/moments.ts'
import { RawClient } from '../support/raw-client.ts'
import { repository } from '../support/source-files.ts'
import { CrashChurn, CrashPublisher, CrashRetainer, CrashSubscriber, CrashWill } from './crash-clients.ts'
import { CrashGrants } from './crash-grants.ts'
import { History } from './crash-history.ts'

const killPoints = join(repository, 'test', 'support', 'kill-points.ts')

/** Numbers below `limit` that a seed decides. */
function randomFrom(seed: number): (limit: number) => number {
  let state = seed
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
}

/** Where the broker keeps things, and what else may end. */
export interface CrashStore {
  /** For the command line. */
  readonly words: readonly string[]
  /** While no broker runs. */
  betweenBrokers?(random: (limit: number) => number): Promise<void>
  /** While one does. */
  underBroker?(random: (limit: number) => number): Promise<void>
  /** What is wrong with what is there at the end. */
  problems(): Promise<string[]>
}

/** Clients of every kind, and a broker that is killed again and again. */
export class Scene {
  readonly history = new History()
  readonly #store: CrashStore
  readonly #words: string[]
  readonly #random: (limit: number) => number
  readonly #publishers: CrashPublisher[]
  readonly #retainer: CrashRetainer
  readonly #will: CrashWill
  readonly #subscribers: CrashSubscriber[]
  readonly #churn: CrashChurn
  readonly #grants = new CrashGrants()
  /** Each is online in one process, and its will comes a second after that. */
  #delayed: CrashWill | undefined
  #count = 0

  constructor(seed: number, store: CrashStore) {
    this.#random = randomFrom(seed)
    this.#store = store
    const limits = ['maxConnectsPerSecond', 'maxWillsPerSecond'].flatMap((name) => ['--set', `limits.${name}=100000`])
    // What is shed where a queue is full is promised no more: these clients fall behind by more than the default.
    limits.push('--set', 'limits.maxQueuedMessages=1000000')
    // With every other seed a message goes out in several turns, and a kill comes between them.
    if (seed % 2 === 1) limits.push('--set', 'limits.maxDeliveriesPerTurn=2')
    this.#words = ['--config', this.#grants.config, '--port', '0', ...store.words, ...limits]
    const { history } = this
    this.#publishers = [new CrashPublisher(history, 'a', 1), new CrashPublisher(history, 'b', 8, 4)]
    this.#retainer = new CrashRetainer(history, 'keeper')
    this.#will = new CrashWill(history, 'mortal')
    this.#churn = new CrashChurn(history, 'churn')
    this.#subscribers = [
      new CrashSubscriber(history, 's0', 1),
      new CrashSubscriber(history, 's1', 2),
      new CrashSubscriber(history, 's2', 2, 4),
      // One of both gets each message, whoever is there.
      new CrashSubscriber(history, 'g1', 2, 5, 'group'),
      new CrashSubscriber(history, 'g2', 2, 5, 'group'),
    ]
  }

  /** How often the subscriptions of a client were compared with what it had been told. */
  get comparisons(): number {
    return this.#churn.checks
  }

  async run(kills: number): Promise<string[]> {
    let broker = await startCommand(this.#words)
    for (const subscriber of this.#subscribers) subscriber.open(broker.port)
    await this.#grants.begin(broker)
    expect(await until(() => this.#subscribers.every(({ isSubscribed }) => isSubscribed), 10_000)).toBe(true)
    for (this.history.kills = 0; this.history.kills < kills; this.history.kills++) {
      this.#openAll(broker, false)
      if (this.#random(3) === 0) await this.#store.underBroker?.(this.#random)
      await this.#moment(broker)
      broker = await this.#killAndStart(broker)
    }
    return this.#finish(broker)
  }

  /** The broker kills itself, at named points and not at random ones, one after the other. */
  async runPoints(points: readonly string[]): Promise<string[]> {
    let broker = await startCommand(this.#words)
    for (const subscriber of this.#subscribers) subscriber.open(broker.port)
    await this.#grants.begin(broker)
    expect(await until(() => this.#subscribers.every(({ isSubscribed }) => isSubscribed), 10_000)).toBe(true)
    for (const point of points) {
      broker.child.kill('SIGKILL')
      await broker.ended
      this.#dropAll()
      const env = { NODE_OPTIONS: `--import=${killPoints}`, KILL_POINT: `${point}:${1 + this.#random(12)}` }
      // It may come to its end while it takes stock.
      const dying = await startCommand(this.#words, { env }).catch((error: unknown) => String(error))
      if (typeof dying === 'string')
        expect([point, dying]).toEqual([point, 'Error: ended before it logged "statemq listens on": '])
      else {
        this.#openAll(dying, true)
        expect([point, await Promise.race([dying.ended, elapsed(20_000)])]).toEqual([point, [null, 'SIGKILL']])
      }
      this.history.kills++
      this.#dropAll()
      broker = await this.#startAgain()
      this.#openAll(broker, true)
      await this.history.packets(50)
    }
    return this.#finish(broker)
  }

  /**
   * A moment to kill the broker at: after so many packets, whatever the speed of the machine, or a little
   * later. What is on its way to the clients then is lost with their connections.
   */
  async #moment({ child }: RunningCommand): Promise<void> {
    const packets = 1 + this.#random(this.#random(3) === 0 ? 20 : 1_200)
    const laterMs = this.#random(2) === 0 ? 0 : this.#random(4)
    const rang = new Promise<void>((resolve) => {
      this.history.after(packets, () => {
        if (laterMs === 0) {
          child.kill('SIGKILL')
          this.#dropAll()
        }
        resolve()
      })
    })
    await Promise.race([rang, elapsed(5_000)])
    if (laterMs > 0) await elapsed(laterMs)
  }

  #openAll({ port }: RunningCommand, isLast: boolean): void {
    this.#delayed?.drop()
    this.#delayed = new CrashWill(this.history, `d${this.#count++}`, 1)
    for (const client of this.#steady) client.open(port)
    // One is away now and then: its messages wait over several processes.
    for (const subscriber of this.#subscribers) if (isLast || this.#random(4) > 0) subscriber.open(port)
  }

  async #killAndStart({ child, ended }: RunningCommand): Promise<RunningCommand> {
    child.kill('SIGKILL')
    await ended
    this.#dropAll()
    await this.#store.betweenBrokers?.(this.#random)
    // Threat 8: killed once more while it takes stock.
    if (this.#random(6) === 0) {
      const early = spawn(process.execPath, [join(repository, 'src', 'cli', 'main.ts'), ...this.#words])
      const isOver = once(early, 'exit')
      await elapsed(150 + this.#random(300))
      early.kill('SIGKILL')
      await isOver
      this.history.kills++
    }
    return this.#startAgain()
  }

  /** And looks who has which rights, before anybody is there again. */
  async #startAgain(): Promise<RunningCommand> {
    const broker = await startCommand(this.#words)
    for (const problem of await this.#grants.problems(broker)) this.history.violation(problem)
    return broker
  }

  #dropAll(): void {
    for (const client of [...this.#steady, ...this.#subscribers]) client.drop()
  }

  get #steady() {
    return [...this.#publishers, this.#retainer, this.#will, this.#churn, ...(this.#delayed ? [this.#delayed] : [])]
  }

  async #finish(broker: RunningCommand): Promise<string[]> {
    const { history } = this
    for (const client of [...this.#publishers, this.#retainer, this.#churn]) client.isFinishing = true
    this.#openAll(broker, true)
    await until(() => [...this.#publishers, this.#retainer].every(({ isDone }) => isDone), 20_000)
    this.#will.drop()
    this.#delayed?.drop()
    await until(() => history.missing === 0, 60_000)
    const retained = await this.#retained(broker)
    this.#dropAll()
    broker.child.kill('SIGTERM')
    expect(await broker.ended).toEqual([0, null])
    return [...history.problems(retained), ...(await this.#store.problems())]
  }

  async #retained({ port }: RunningCommand): Promise<ReadonlyMap<string, string>> {
    const client = await RawClient.tcp(port)
    await client.connect({ clientId: 'late' })
    await client.subscribe(['r/#'])
    const found = new Map<string, string>()
    for (const topics = this.history.retainedTopics; found.size < topics;) {
      const { topic, payload } = await client.expectPacket('publish', { retain: true })
      found.set(topic, payload)
    }
    client.drop()
    return found
  }
}
