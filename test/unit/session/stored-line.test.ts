/** A session's line with its messages in a store, against a plain list of them. */
import { setImmediate as turn } from 'node:timers/promises'

import fc from 'fast-check'
import { expect, test } from 'vitest'

import type { QoS } from '../../../src/messages.ts'
import type { OverflowPolicy } from '../../../src/options.ts'
import type { Publication } from '../../../src/publication.ts'
import type { DeliveryGroup } from '../../../src/router/subscriber.ts'
import type { Connection } from '../../../src/session/connection.ts'
import { Keeper } from '../../../src/session/keeper.ts'
import type { OutboundHost, OutboundLimits } from '../../../src/session/outbound-host.ts'
import { Outbound } from '../../../src/session/outbound.ts'
import { TurnClock } from '../../../src/router/turn-clock.ts'
import { MemoryStore } from '../../../src/store/memory.ts'
import type { QueuedMessage } from '../../../src/stored.ts'
import { publicationOf } from '../../support/publications.ts'

const KEY = 1

/** Its pages come when they are let go, and show the line as it was when they were asked for. */
class SlowStore extends MemoryStore {
  readonly #waiting: (() => void)[] = []
  isSlow = true
  fails = false

  override async page(key: number, from: number, messages: number, bytes: number): Promise<readonly QueuedMessage[]> {
    const page = super.page(key, from, messages, bytes)
    if (this.isSlow) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    if (this.fails) throw new Error('the disk is gone')
    return page
  }

  release(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

interface Message {
  readonly name: string
  readonly qos: QoS
  readonly expiresAtMs: number
}

interface Sent extends Message {
  readonly packetId: number
  state: 'published' | 'released'
}

/** What should happen, in a plain list, and complains when something else does. */
class Rig implements OutboundHost {
  readonly store = new SlowStore()
  readonly limits: OutboundLimits
  readonly policy: OverflowPolicy
  keeper = new Keeper(this.store, KEY, 1)
  outbound: Outbound
  connection: Connection | undefined = undefined
  isFlowing = false
  denies = false
  observesDrops: boolean
  nowAtMs = 0
  failures = 0
  largest = 0

  waiting: Message[] = []
  sent: Sent[] = []
  /** What the connection has to send again, in order. */
  again: Sent[] = []
  readonly shed: string[] = []
  readonly told: string[] = []
  #number = 0

  constructor(limits: OutboundLimits, policy: OverflowPolicy, observesDrops: boolean) {
    this.limits = limits
    this.policy = policy
    this.observesDrops = observesDrops
    this.store.putSession(KEY, 'c', Buffer.alloc(0))
    this.outbound = new Outbound(this, limits, policy)
  }

  // --- the host ---

  get messageKeeper(): Keeper {
    return this.keeper
  }

  get checksMessages(): boolean {
    return this.denies
  }

  mayReceive(topic: string, qos: QoS): QoS | undefined {
    return this.denies && topic.endsWith('!') ? undefined : qos
  }

  nowMs(): number {
    return this.nowAtMs
  }

  readonly turn = new TurnClock(this)

  groupOf(): DeliveryGroup {
    throw new Error('nothing is shared here')
  }

  pump(): void {
    this.#look()
    this.outbound.pump()
  }

  #look(): void {
    this.largest = Math.max(this.largest, this.outbound.buffered)
  }

  denied(publication: Publication): void {
    expect(this.denies && publication.topic.endsWith('!')).toBe(true)
    this.#remove(publication.topic)
  }

  dropped({ topic, expiresAtMs }: Publication, _qos: QoS, reason: string): void {
    if (reason === 'queue-full') return void this.told.push(topic)
    expect([reason, expiresAtMs <= this.nowAtMs]).toEqual(['expired', true])
    this.#remove(topic)
  }

  #remove(name: string): void {
    const before = this.waiting.length + this.sent.length
    this.waiting = this.waiting.filter((each) => each.name !== name)
    this.sent = this.sent.filter((each) => each.name !== name)
    this.again = this.again.filter((each) => each.name !== name)
    expect(this.waiting.length + this.sent.length).toBe(before - 1)
  }

  acknowledged(): void {}
  queuedOffline(): void {}
  holdAnswers(): void {}
  hasRoom(): void {}

  overflowed(): void {
    this.disconnect()
  }

  handlerFailed(): void {
    this.failures++
    this.disconnect()
  }

  // --- what happens ---

  connect(): void {
    if (this.connection !== undefined) return
    const onPublish = (name: string, packetId: number, duplicate: boolean): void => {
      if (duplicate) {
        expect([name, packetId, 'published']).toEqual([
          this.again[0]?.name,
          this.again[0]?.packetId,
          this.again[0]?.state,
        ])
        this.again.shift()
        return
      }
      expect([name, this.again.length]).toEqual([this.waiting[0]?.name, 0])
      expect(this.sent.some((each) => each.packetId === packetId)).toBe(false)
      this.sent.push({ ...this.waiting.shift()!, packetId, state: 'published' })
    }
    const onRelease = (packetId: number): void => {
      const [next] = this.again
      if (next?.packetId !== packetId) return
      expect(next.state).toBe('released')
      this.again.shift()
    }
    this.again = [...this.sent]
    this.connection = {
      writable: true,
      publish: (publication: Publication, _qos: QoS, packetId: number, duplicate: boolean) => {
        onPublish(publication.topic, packetId, duplicate)
        return true
      },
      acknowledge: (_type: number, packetId: number) => onRelease(packetId),
    } as unknown as Connection
    this.isFlowing = true
    this.outbound.wake(3)
    this.pump()
  }

  disconnect(): void {
    if (this.connection === undefined) return
    this.connection = undefined
    this.isFlowing = false
    this.outbound.sleep()
    expect(this.outbound.buffered).toBe(0)
  }

  publish(qos: QoS, isForbidden: boolean, expiresInMs: number): void {
    const name = `${this.#number++}${isForbidden ? '!' : ''}`
    if (isForbidden && this.denies) return
    const publication = publicationOf(name, '', qos)
    publication.expiresAtMs = this.nowAtMs + expiresInMs
    this.waiting.push({ name, qos, expiresAtMs: publication.expiresAtMs })
    this.outbound.deliver(publication, qos, false, undefined, undefined)
    this.#look()
    if (this.waiting.length <= this.limits.maxQueuedMessages) return
    const [gone] = this.policy === 'drop-oldest' ? this.waiting.splice(0, 1) : this.waiting.splice(-1)
    this.shed.push(gone!.name)
  }

  /** The client answers the message that it got `at` messages ago. */
  answer(at: number): void {
    const theirs = this.sent.filter((each) => !this.again.includes(each))
    const entry = theirs[at % theirs.length]
    if (entry === undefined || this.connection === undefined) return
    if (entry.qos === 2 && entry.state === 'published') {
      entry.state = 'released'
      return this.outbound.onPubrec(this.connection, entry.packetId, 0)
    }
    this.sent = this.sent.filter((each) => each !== entry)
    if (entry.qos === 1) this.outbound.onPuback(entry.packetId)
    else this.outbound.onPubcomp(entry.packetId)
  }

  /** Another process begins with what the store has. */
  async restart(): Promise<void> {
    this.disconnect()
    // What that process still reads comes to an end first.
    await this.turns(5)
    for await (const [stored] of this.store.sessions()) {
      this.keeper = new Keeper(this.store, KEY, stored!.nextSequence)
      this.outbound = new Outbound(this, this.limits, this.policy)
      this.outbound.restore(stored!)
    }
    expect([this.outbound.queued, this.outbound.inflight]).toEqual([this.waiting.length, this.sent.length])
  }

  async turns(count: number): Promise<void> {
    for (let left = count; left > 0; left--) {
      this.store.release()
      await turn()
    }
  }

  /** Everything goes out and is answered. */
  async drain(): Promise<void> {
    this.connect()
    Object.assign(this.connection!, { writable: true })
    this.pump()
    this.store.isSlow = false
    for (let idle = 0; idle < 60;) {
      await this.turns(1)
      if (this.sent.length > 0) {
        idle = 0
        this.answer(0)
      } else idle++
    }
  }
}

type Step =
  | {
      readonly kind: 'publish'
      readonly qos: 1 | 2
      readonly forbidden: boolean
      readonly expires: boolean
      readonly count: number
    }
  | { readonly kind: 'answer'; readonly at: number }
  | { readonly kind: 'connect' | 'disconnect' | 'release' | 'block' | 'roles' | 'restart' | 'time' }
  | { readonly kind: 'turns'; readonly count: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('publish' as const),
      qos: fc.constantFrom<1 | 2>(1, 2),
      forbidden: fc.boolean(),
      expires: fc.boolean(),
      count: fc.integer({ min: 1, max: 6 }),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('answer' as const), at: fc.nat(3) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('turns' as const), count: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('connect' as const, 'disconnect' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('release' as const, 'block' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('roles' as const, 'restart' as const, 'time' as const) }) },
)

async function perform(rig: Rig, step: Step): Promise<void> {
  switch (step.kind) {
    case 'publish':
      for (let left = step.count; left > 0; left--)
        rig.publish(step.qos, step.forbidden, step.expires ? 1000 : Infinity)
      return
    case 'answer':
      return rig.answer(step.at)
    case 'turns':
      return rig.turns(step.count)
    case 'connect':
      return rig.connect()
    case 'disconnect':
      return rig.disconnect()
    case 'release':
      rig.store.release()
      return
    case 'block':
      if (rig.connection !== undefined) Object.assign(rig.connection, { writable: !rig.connection.writable })
      return rig.pump()
    case 'roles':
      rig.denies = !rig.denies
      return rig.outbound.reauthorise()
    case 'time':
      rig.nowAtMs += 700
      return
    case 'restart':
      return rig.restart()
  }
}

test('the line in the store goes out as a plain list would, in its order, with few of it in memory', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60, size: 'max' }),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 12 }),
      fc.constantFrom<OverflowPolicy>('drop-oldest', 'drop-newest', 'disconnect'),
      fc.boolean(),
      async (steps, maxBufferedMessages, maxQueuedMessages, policy, observesDrops) => {
        const limits = { maxQueuedMessages, maxQueuedBytes: Infinity, maxBufferedMessages, maxBufferedBytes: Infinity }
        const rig = new Rig(limits, policy, observesDrops)
        for (const each of steps) await perform(rig, each)
        await rig.drain()
        const { queued, queuedBytes, inflight } = rig.outbound
        expect({ waiting: rig.waiting, sent: rig.sent, queued, queuedBytes, inflight }).toEqual({
          waiting: [],
          sent: [],
          queued: 0,
          queuedBytes: 0,
          inflight: 0,
        })
        expect(await MemoryStore.prototype.page.call(rig.store, KEY, 1, 10, Infinity)).toEqual([])
        expect(rig.largest).toBeLessThanOrEqual(maxBufferedMessages)
        if (observesDrops) expect(rig.told.toSorted()).toEqual(rig.shed.toSorted())
        expect(rig.failures).toBe(0)
      },
    ),
    { numRuns: 1000 },
  )
})

test('a page that can not be read ends the connection and loses nothing', async () => {
  const limits = {
    maxQueuedMessages: 100,
    maxQueuedBytes: Infinity,
    maxBufferedMessages: 4,
    maxBufferedBytes: Infinity,
  }
  const rig = new Rig(limits, 'drop-oldest', false)
  for (let left = 20; left > 0; left--) rig.publish(1, false, Infinity)
  rig.connect()
  await rig.turns(3)
  expect(rig.sent).toHaveLength(3)
  rig.store.fails = true
  for (let left = 3; left > 0; left--) {
    rig.answer(0)
    await rig.turns(2)
  }
  expect([rig.failures, rig.connection]).toEqual([1, undefined])
  rig.store.fails = false
  await rig.drain()
  expect([rig.waiting, rig.sent, rig.outbound.queued]).toEqual([[], [], 0])
})
