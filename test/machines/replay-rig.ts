/**
 * A broker whose outside is in a test's hands: its clock, its clients as bytes, every decision that
 * it asks for, and a look at each session actor from its birth on.
 */
import type { Duplex } from 'node:stream'
import type { ActorRef, Snapshot } from 'xstate'

import { sessionMachine } from '../../machines/index.ts'
import type { SessionContext, SessionEvent, SessionMachine } from '../../machines/index.ts'
import type { TransitionRecord } from '../../src/inspection.ts'
import type { SessionActor } from '../../src/session/session.ts'
import {
  allow,
  createBroker,
  next,
  type Allow,
  type AuthenticationRequest,
  type Broker,
  type BrokerEvent,
  type DecisionHooks,
  type Challenge,
  type Deny,
  type Next,
} from '../../src/index.ts'
import { memoryPair } from '../../src/net/memory.ts'
import { quicken } from '../../src/session/quick-steps.ts'
import { RawClient } from '../support/raw-client.ts'
import { SimulatedClock } from '../support/simulated-clock.ts'
import { settle } from '../support/test-broker.ts'
import { policyGuards } from './session-model.ts'
import type { ServerPacket } from '../support/wire-decode.ts'

export const connectTimeoutMs = 5_000
export const authTimeoutMs = 10_000
/** Warning and grace of a grant: short enough for nothing else to happen meanwhile. */
export const grantStepMs = 2_000
/** Longer than any path waits: a hook that never answers is the connect deadline's to end. */
const decisionTimeoutMs = 600_000
/** Above what a stream buffers by itself, so that one message fills the socket of a client that does not read. */
const maxSocketBufferBytes = 66_000
const bulkBytes = 80_000
const bulk = 'x'.repeat(bulkBytes)

/** Turns until everything in memory has run dry; a handover goes through two actors and four promises. */
const turns = 10

/** A session actor as the tap sees it. */
export interface Tapped {
  readonly sessionId: string
  readonly actor: SessionActor
  /** What its machine was given, answers of its invoked actors included. */
  readonly events: SessionEvent[]
}

export interface TapOptions {
  /** An embedder's guard: also a session that ends with its connection is resumed. */
  readonly resumesAnything?: boolean
}

/**
 * The session machine, with a tap on every actor that is made of it: the registry shows a session
 * only once it is online. What the broker provides is left as it is.
 */
function tappedMachine(tapped: Map<string, Tapped>, options: TapOptions): SessionMachine {
  const guards = {
    resumesIncumbent: ({ context }: { context: SessionContext }) => context.connect?.cleanStart === false,
  }
  const machine = sessionMachine.provide({
    guards: { ...policyGuards, ...(options.resumesAnything === true ? guards : {}) },
  })
  const provide = machine.provide.bind(machine)
  machine.provide = (implementations) => {
    // As the broker does, which leaves a machine alone that is tapped.
    const provided = quicken(provide(implementations))
    const { getInitialSnapshot, transition } = provided
    provided.getInitialSnapshot = (scope, input) => {
      const actor = scope.self as ActorRef<Snapshot<unknown>, SessionEvent> as unknown as SessionActor
      const sessionId = input?.sessionId ?? ''
      tapped.set(sessionId, { sessionId, actor, events: [] })
      return getInitialSnapshot(scope, input)
    }
    provided.transition = (snapshot, event, scope) => {
      tapped.get(snapshot.context.sessionId)?.events.push(event)
      return transition(snapshot, event, scope)
    }
    return provided
  }
  return machine
}

/** A decision that the broker waits for. */
export interface Pending<Answer> {
  readonly clientId: string
  /** False once it was given an answer. */
  open: boolean
  answer(answer: Answer): void
  /** The hook throws. */
  fail(): void
}

function pending<Answer>(clientId: string, list: Pending<Answer>[]): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const decision: Pending<Answer> = {
      clientId,
      open: true,
      answer: (answer) => {
        decision.open = false
        resolve(answer)
      },
      fail: () => {
        decision.open = false
        reject(new Error('the hook broke'))
      },
    }
    list.push(decision)
  })
}

/** A client that is bytes, with what it was sent taken apart. */
export class ReplayClient {
  readonly raw: RawClient
  /** Identifiers of deliveries that it has not acknowledged. */
  readonly unacknowledged: number[] = []
  /** It does not read. */
  isHeld = false

  constructor(raw: RawClient) {
    this.raw = raw
  }

  /** Everything that came and was not taken yet but data packets, as one line each; `closed` at the end. */
  async take(): Promise<string[]> {
    const lines: string[] = []
    while (this.raw.waitingPackets > 0) {
      const packet = await this.raw.next()
      const line = packet === 'closed' ? packet : this.#lineOf(packet)
      if (line !== undefined) lines.push(line)
    }
    return lines
  }

  #lineOf(packet: ServerPacket): string | undefined {
    switch (packet.type) {
      case 'publish':
        if (packet.qos > 0) this.unacknowledged.push(packet.packetId)
        return undefined
      case 'connack':
        return `CONNACK ${packet.reasonCode} ${packet.sessionPresent ? 'resumed' : 'fresh'}`
      case 'auth':
        return `AUTH ${packet.reasonCode}`
      case 'disconnect':
        return `DISCONNECT ${packet.reasonCode}`
      default:
        return undefined
    }
  }

  hold(): void {
    this.isHeld = true
    this.raw.stream.pause()
  }

  release(): void {
    this.isHeld = false
    this.raw.stream.resume()
  }
}

/** With this user property a client is decided on at once; every other one waits for the test. */
export const atOnce = ['decided', 'at once'] as const

function isAtOnce({ userProperties }: { readonly userProperties: readonly (readonly string[])[] }): boolean {
  return userProperties.some(([name]) => name === atOnce[0])
}

export interface RigOptions extends TapOptions {
  readonly maxConnectionSeconds?: number
  /** Ask `onRegister`; without it a client may be let in within one step of the chart. Default true. */
  readonly asksOnRegister?: boolean
  readonly maxSessionExpirySeconds?: number
}

export class Rig {
  readonly clock = new SimulatedClock()
  readonly tapped = new Map<string, Tapped>()
  readonly broker: Broker
  readonly log: BrokerEvent[] = []
  /** Steps of all charts, as `broker.inspection` tells them. */
  readonly transitions: TransitionRecord[] = []
  readonly errors: unknown[] = []
  readonly clients: ReplayClient[] = []
  /** The broker's ends of their connections. */
  readonly streams: Duplex[] = []
  readonly authentications: Pending<Allow | Deny | Challenge>[] = []
  readonly registrations: Pending<Next | Deny>[] = []
  readonly takeovers: Pending<Next | Deny>[] = []
  /** Whether `onTakeover` waits for the test too. */
  asksOnTakeover = false
  #closing: Promise<void> | undefined = undefined

  constructor(options: RigOptions = {}) {
    this.broker = createBroker({
      clock: this.clock,
      history: true,
      machine: tappedMachine(this.tapped, options),
      limits: {
        connectTimeoutMs,
        authTimeoutMs,
        grantExpiringMs: grantStepMs,
        grantGraceMs: grantStepMs,
        maxConnectionSeconds: options.maxConnectionSeconds ?? Infinity,
        decisionTimeoutMs,
        maxSocketBufferBytes,
        maxTakeoversPerTenSeconds: Infinity,
        maxSessionExpirySeconds: options.maxSessionExpirySeconds ?? 4_294_967_295,
      },
      // User names say here which of two ways a client takes, not who it is.
      enhancedUsername: 'any',
      authenticators: [{ name: 'tests', methods: ['TICKET'], authenticate: (request) => this.#authenticate(request) }],
      hooks: this.#hooks(options.asksOnRegister ?? true),
      logger: {
        debug() {},
        info() {},
        warn() {},
        error: (details, message) => this.errors.push([message, details]),
      },
    })
    this.broker.events$.subscribe((event) => this.log.push(event))
    this.broker.inspection.transitions$.subscribe((record) => this.transitions.push(record))
  }

  #authenticate(request: AuthenticationRequest): Allow | Promise<Allow | Deny | Challenge> {
    if (isAtOnce(request) && !request.reauthentication) return this.allow()
    return pending(request.clientId, this.authentications)
  }

  #hooks(asksOnRegister: boolean): DecisionHooks {
    const onTakeover: DecisionHooks['onTakeover'] = ({ clientId }) =>
      this.asksOnTakeover ? pending(clientId, this.takeovers) : next()
    if (!asksOnRegister) return { onTakeover }
    return {
      onTakeover,
      onRegister: (request) => (isAtOnce(request) ? next() : pending(request.clientId, this.registrations)),
    }
  }

  /** When the next grant ends; undefined: never. */
  grantEndsAtMs: number | undefined = undefined

  allow(): Allow {
    const expiresAtMs = this.grantEndsAtMs
    return allow({ principal: 'alice', roles: ['reader'], ...(expiresAtMs === undefined ? {} : { expiresAtMs }) })
  }

  /** A connection on which nothing was sent yet, and the actor that came with it. */
  async attach(): Promise<{ client: ReplayClient; tapped: Tapped }> {
    const [client, server] = memoryPair()
    this.broker.attach(server)
    this.streams.push(server)
    const replayClient = new ReplayClient(new RawClient(client))
    this.clients.push(replayClient)
    const tapped = [...this.tapped.values()].at(-1)
    if (!tapped) throw new Error('attaching made no actor')
    return { client: replayClient, tapped }
  }

  settle(): Promise<void> {
    return settle(turns)
  }

  /** Lets the time pass. */
  async advance(ms: number): Promise<void> {
    await this.settle()
    this.clock.advance(ms)
    await this.settle()
  }

  /** Fills the socket of whoever subscribes to `bulk`. */
  async publishBulk(): Promise<void> {
    await this.broker.publish({ topic: 'bulk', payload: bulk })
  }

  /** Begins to close the broker; `finish` waits for the end of it. */
  close(): void {
    this.#closing ??= this.broker.close({ drainTimeoutMs: 2_000 })
  }

  get isClosing(): boolean {
    return this.#closing !== undefined
  }

  /** Whether the broker still keeps anything for this session: the host of one that ended cannot be found. */
  hasHost(sessionId: string): boolean {
    const look = this.broker.machine.implementations.guards['nothingToWake'] as (acting: object) => boolean
    try {
      look({ context: { sessionId } })
      return true
    } catch {
      return false
    }
  }

  /** The end of every client, late answers to everything that still waits, and time for all deadlines to pass. */
  async finish(): Promise<void> {
    for (const client of this.clients) client.raw.drop()
    await this.settle()
    // Twice: an admission that is let on asks about the takeover next, though its client is gone.
    for (let round = 0; round < 2; round += 1) {
      for (const decision of this.authentications) if (decision.open) decision.answer(allow())
      for (const decision of [...this.registrations, ...this.takeovers]) if (decision.open) decision.answer(next())
      await this.settle()
    }
    for (let count = 0; count < 4; count += 1) await this.advance(100_000)
  }

  /** What is left when everything has ended: nothing. Call after `finish`. */
  async leftovers(): Promise<object> {
    const sessions = [...this.tapped.values()]
    const left = {
      sessions: this.broker.sessions.size,
      runningActors: sessions
        .filter(({ actor }) => actor.getSnapshot().status === 'active')
        .map(({ sessionId }) => sessionId),
      hosts: sessions.filter(({ sessionId }) => this.hasHost(sessionId)).map(({ sessionId }) => sessionId),
      streams: this.streams.filter(({ destroyed }) => !destroyed).length,
      timers: this.clock.pending,
      errors: this.errors,
      failures: this.log.filter(({ type }) => type === 'session.failed'),
    }
    this.close()
    for (let count = 0; count < 3; count += 1) await this.advance(2_000)
    await this.#closing
    return { ...left, timersAfterClose: this.clock.pending, state: this.broker.state }
  }
}

/** What `leftovers` is when nothing was left. */
export const nothing = {
  sessions: 0,
  runningActors: [],
  hosts: [],
  streams: 0,
  timers: 0,
  errors: [],
  failures: [],
  timersAfterClose: 0,
  state: 'stopped',
}
