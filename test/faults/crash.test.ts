/**
 * The broker is killed again and again, at moments that a seed chooses, while clients publish and
 * receive; each time it starts on what is left, and they go on. Then the history is looked at.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { runCommand, startCommand, type RunningCommand } from '../support/command.ts'
import { elapsed, until } from '../support/moments.ts'
import { RawClient } from '../support/raw-client.ts'
import { repository } from '../support/source-files.ts'
import { tempFolder } from '../support/temp-files.ts'
import { CrashPublisher, CrashRetainer, CrashSubscriber, CrashWill } from './crash-clients.ts'
import { History } from './crash-history.ts'

/** Numbers below `limit` that a seed decides. */
function randomFrom(seed: number): (limit: number) => number {
  let state = seed
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
}

class Scene {
  readonly history = new History()
  readonly #words: string[]
  readonly #directory: string
  readonly #random: (limit: number) => number
  readonly #publishers: CrashPublisher[]
  readonly #retainer: CrashRetainer
  readonly #will: CrashWill
  readonly #subscribers: CrashSubscriber[]

  constructor(seed: number, durability: 'disk' | 'os') {
    this.#random = randomFrom(seed)
    this.#directory = tempFolder()
    const limits = ['maxConnectsPerSecond', 'maxWillsPerSecond'].flatMap((name) => ['--set', `limits.${name}=100000`])
    this.#words = ['--port', '0', '--data', this.#directory, '--durability', durability, ...limits]
    const { history } = this
    this.#publishers = [new CrashPublisher(history, 'a', 1), new CrashPublisher(history, 'b', 8)]
    this.#retainer = new CrashRetainer(history, 'keeper')
    this.#will = new CrashWill(history, 'mortal')
    this.#subscribers = [1, 2, 2].map((qos, at) => new CrashSubscriber(history, `s${at}`, qos as 1 | 2))
  }

  async run(kills: number): Promise<string[]> {
    let broker = await startCommand(this.#words)
    for (const subscriber of this.#subscribers) subscriber.open(broker.port)
    expect(await until(() => this.#subscribers.every(({ isSubscribed }) => isSubscribed), 10_000)).toBe(true)
    for (this.history.kills = 0; this.history.kills < kills; this.history.kills++) {
      this.#openAll(broker, false)
      await this.#moment(broker)
      broker = await this.#killAndStart(broker)
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
    for (const client of [...this.#publishers, this.#retainer, this.#will]) client.open(port)
    // One is away now and then: its messages wait over several processes.
    for (const subscriber of this.#subscribers) if (isLast || this.#random(4) > 0) subscriber.open(port)
  }

  async #killAndStart({ child, ended }: RunningCommand): Promise<RunningCommand> {
    child.kill('SIGKILL')
    await ended
    this.#dropAll()
    // Threat 8: killed once more while it takes stock.
    if (this.#random(6) === 0) {
      const early = spawn(process.execPath, [join(repository, 'src', 'cli', 'main.ts'), ...this.#words])
      await elapsed(150 + this.#random(300))
      early.kill('SIGKILL')
      await once(early, 'exit')
      this.history.kills++
    }
    return startCommand(this.#words)
  }

  #dropAll(): void {
    for (const client of [...this.#publishers, this.#retainer, this.#will, ...this.#subscribers]) client.drop()
  }

  async #finish(broker: RunningCommand): Promise<string[]> {
    const { history } = this
    for (const publisher of [...this.#publishers, this.#retainer]) publisher.isFinishing = true
    this.#openAll(broker, true)
    await until(() => [...this.#publishers, this.#retainer].every(({ isDone }) => isDone), 10_000)
    this.#will.drop()
    await until(() => history.missing === 0, 10_000)
    const retained = await this.#retained(broker)
    this.#dropAll()
    broker.child.kill('SIGTERM')
    expect(await broker.ended).toEqual([0, null])
    const verified = runCommand(['store', 'verify', '--data', this.#directory])
    const damage = verified.status === 0 ? [] : [`store verify: ${verified.out}${verified.err}`]
    return [...history.problems(retained), ...damage]
  }

  async #retained({ port }: RunningCommand): Promise<ReadonlyMap<string, string>> {
    const client = await RawClient.tcp(port)
    await client.connect({ clientId: 'late' })
    await client.subscribe(['r/#'])
    const found = new Map<string, string>()
    while (found.size < 3) {
      const { topic, payload } = await client.expectPacket('publish', { retain: true })
      found.set(topic, payload)
    }
    client.drop()
    return found
  }
}

describe('killed at random moments', () => {
  const base = Number(process.env['CRASH_SEED'] ?? 1)
  const kills = Number(process.env['CRASH_KILLS'] ?? 25)

  test.for([0, 1, 2, 3, 4, 5, 6, 7].map((at) => [base + at, at === 7 ? 'os' : 'disk'] as const))(
    'threats 1, 3, 4, 5, 6, 7, 8: nothing acknowledged is lost, QoS 2 comes once, order and wills hold (seed %i, %s)',
    { timeout: 300_000 },
    async ([seed, durability]) => {
      const scene = new Scene(seed, durability)
      const problems = await scene.run(kills)
      expect(problems.slice(0, 20)).toEqual([])
      expect(scene.history.accepts).toBeGreaterThan(kills)
    },
  )
})
