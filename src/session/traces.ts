import { StatemqError } from '../errors.ts'
import type { TransitionRecord } from '../inspection.ts'
import type { InboundPacket, OutboundPacket, QoS } from '../messages.ts'
import type { Publication } from '../publication.ts'
import type { ChartStep } from './chart-steps.ts'
import type { AcknowledgementType, Connection, PacketTap } from './connection.ts'
import type { SessionCore } from './core.ts'
import type { Deadline } from './deadlines.ts'
import { factsOfPublish, factsOfReceived, factsOfSent, nameOfPacket } from './packet-facts.ts'
import type { Session } from './session.ts'

/** Whose doings are logged: one client identifier's, or every client's of one principal. */
export type TraceTarget =
  | { readonly clientId: string; readonly principal?: never }
  | { readonly principal: string; readonly clientId?: never }

/** How long one client is traced, and how loud. */
export interface TraceOptions {
  /** 1 to 86,400: nobody forgets one that fills the log for ever. */
  readonly forSeconds: number
}

/** A trace that runs. */
export interface Trace {
  /** In every one of its lines. */
  readonly id: string
  readonly target: TraceTarget
  /** Broker time at which it ends by itself. */
  readonly untilMs: number
  /** Ends it. */
  end(): void
}

type Core = Pick<SessionCore, 'charts' | 'registry' | 'deadlines' | 'clock' | 'logger' | 'limits'>

const MAX_SECONDS = 86_400

/**
 * Writes what chosen clients do into the log: every packet in and out, every step of the chart, who decided.
 * Connections of others, and all of them while there is no trace, have nobody who takes note.
 */
export class Traces {
  readonly #core: Core
  readonly #running = new Map<string, RunningTrace>()
  #count = 0
  #unobserve: (() => void) | undefined = undefined

  constructor(core: Core) {
    this.#core = core
  }

  /** Those that run, the oldest first. */
  list(): readonly Trace[] {
    return [...this.#running.values()]
  }

  /** Throws SMQ_OPTION_INVALID. */
  start(target: TraceTarget, { forSeconds }: TraceOptions): Trace {
    assertTarget(target)
    if (!Number.isInteger(forSeconds) || forSeconds < 1 || forSeconds > MAX_SECONDS)
      throw invalid(`forSeconds: expected a whole number from 1 to ${MAX_SECONDS}`)
    const { clock, deadlines, limits, logger } = this.#core
    const untilMs = clock.nowMs() + forSeconds * 1000
    const trace = new RunningTrace(`t${++this.#count}`, target, untilMs, this.#core, () => this.#ended(trace))
    this.#running.set(trace.id, trace)
    trace.deadline = deadlines.schedule(untilMs, () => trace.end())
    this.#unobserve ??= this.#core.charts.observe((step) => this.#onStep(step))
    logger.info({ trace: trace.id, ...target, forSeconds }, 'a trace begins')
    for (const session of this.#present(target)) trace.follow(session)
    const [oldest] = this.#running.values()
    if (this.#running.size > limits.maxTraces) oldest!.end()
    return trace
  }

  #present({ clientId, principal }: TraceTarget): Iterable<Session> {
    const { sessions, index } = this.#core.registry
    if (principal !== undefined) return [...index.sessionsOf('principal', principal)]
    const session = sessions.get(clientId)
    return session === undefined ? [] : [session]
  }

  #ended(trace: RunningTrace): void {
    if (!this.#running.delete(trace.id)) return
    this.#core.deadlines.cancel(trace.deadline)
    this.#core.logger.info({ trace: trace.id, ...trace.target }, 'a trace ends')
    if (this.#running.size > 0) return
    this.#unobserve?.()
    this.#unobserve = undefined
  }

  #onStep({ session, record, context }: ChartStep): void {
    for (const trace of this.#running.values()) {
      const { clientId, principal } = trace.target
      const isMeant = principal === undefined ? session.clientId === clientId : context.grant?.principal === principal
      if (isMeant) trace.stepped(session, record)
    }
  }
}

class RunningTrace implements Trace {
  readonly id: string
  readonly target: TraceTarget
  readonly untilMs: number
  deadline: Deadline | undefined = undefined
  readonly #core: Core
  readonly #onEnd: () => void
  /** Connections that it takes note of, with the session that each belongs to. */
  readonly #followed = new Map<Connection, TraceTap>()
  #second = 0
  #lines = 0
  #left = 0

  constructor(id: string, target: TraceTarget, untilMs: number, core: Core, onEnd: () => void) {
    this.id = id
    this.target = target
    this.untilMs = untilMs
    this.#core = core
    this.#onEnd = onEnd
  }

  end(): void {
    for (const [connection, tap] of this.#followed) untap(connection, tap)
    this.#followed.clear()
    this.#onEnd()
  }

  stepped(session: Session, record: TransitionRecord): void {
    const { connection, connectPacket } = session
    // It came before there was anybody to take note.
    if (connection !== undefined && connectPacket !== undefined && !this.#followed.has(connection))
      this.log({ ...namesOf(session), direction: 'in', ...factsOfReceived(connectPacket) }, 'packet')
    this.follow(session)
    const { event, from, to, decision } = record
    const who = decision && { by: decision.by, name: decision.name, reason: decision.reason }
    const code = decision?.reasonCode ?? undefined
    this.log(
      { ...namesOf(session), event, from, to, ...who, reasonCode: code, rule: decision?.rule ?? undefined },
      'transition',
    )
  }

  /** Takes note of the connection that the session has now; one that it took over has been somebody else's. */
  follow(session: Session): void {
    const { connection } = session
    if (connection === undefined) return
    const known = this.#followed.get(connection)
    if (known?.session === session) return
    if (known !== undefined) untap(connection, known)
    const tap = new TraceTap(this, session)
    this.#followed.set(connection, tap)
    connection.tap = connection.tap === undefined ? tap : new BothTaps(connection.tap, tap)
    this.#forget(connection)
  }

  /** Connections that have ended are nobody's any more. */
  #forget(newest: Connection): void {
    for (const [connection, { session }] of this.#followed) {
      if (connection !== newest && session.connection !== connection) this.#followed.delete(connection)
    }
  }

  log(details: object, what: 'packet' | 'transition'): void {
    const nowMs = this.#core.clock.nowMs()
    const second = Math.floor(nowMs / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#lines = 0
    }
    if (++this.#lines > this.#core.limits.maxTraceLinesPerSecond) {
      this.#left++
      return
    }
    const left = this.#left === 0 ? undefined : this.#left
    this.#left = 0
    this.#core.logger.info({ trace: this.id, ...details, linesLeftOut: left }, `trace: ${what}`)
  }
}

function namesOf({ clientId, id }: Session): { readonly clientId: string; readonly sessionId: string } {
  return { clientId, sessionId: id }
}

class TraceTap implements PacketTap {
  readonly #trace: RunningTrace
  readonly session: Session

  constructor(trace: RunningTrace, session: Session) {
    this.#trace = trace
    this.session = session
  }

  received(packet: InboundPacket): void {
    this.#log('in', factsOfReceived(packet))
  }

  published(publication: Publication, qos: QoS, packetId: number, duplicate: boolean, retain: boolean): void {
    this.#log('out', factsOfPublish(publication, qos, packetId, duplicate, retain))
  }

  acknowledged(type: AcknowledgementType, packetId: number, reasonCode: number): void {
    this.#log('out', { packet: nameOfPacket(type), packetId, reasonCode })
  }

  ponged(): void {
    this.#log('out', { packet: 'PINGRESP' })
  }

  sent(packet: OutboundPacket): void {
    this.#log('out', factsOfSent(packet))
  }

  #log(direction: 'in' | 'out', facts: object): void {
    this.#trace.log({ ...namesOf(this.session), direction, ...facts }, 'packet')
  }
}

/** Two traces of one client. */
class BothTaps implements PacketTap {
  readonly first: PacketTap
  readonly second: PacketTap

  constructor(first: PacketTap, second: PacketTap) {
    this.first = first
    this.second = second
  }

  received(...about: Parameters<PacketTap['received']>): void {
    this.first.received(...about)
    this.second.received(...about)
  }

  published(...about: Parameters<PacketTap['published']>): void {
    this.first.published(...about)
    this.second.published(...about)
  }

  acknowledged(...about: Parameters<PacketTap['acknowledged']>): void {
    this.first.acknowledged(...about)
    this.second.acknowledged(...about)
  }

  ponged(): void {
    this.first.ponged()
    this.second.ponged()
  }

  sent(...about: Parameters<PacketTap['sent']>): void {
    this.first.sent(...about)
    this.second.sent(...about)
  }
}

/** Takes one tap off, and leaves the other where there are two. */
function untap(connection: Connection, tap: PacketTap): void {
  connection.tap = without(connection.tap, tap)
}

function without(present: PacketTap | undefined, tap: PacketTap): PacketTap | undefined {
  if (present === tap) return undefined
  if (!(present instanceof BothTaps)) return present
  const first = without(present.first, tap)
  const second = without(present.second, tap)
  if (first === undefined || second === undefined) return first ?? second
  return first === present.first && second === present.second ? present : new BothTaps(first, second)
}

function assertTarget({ clientId, principal }: TraceTarget): void {
  const given = [clientId, principal].filter((name) => name !== undefined)
  if (given.length !== 1 || typeof given[0] !== 'string' || given[0] === '')
    throw invalid('expected either clientId or principal')
}

function invalid(detail: string): StatemqError {
  return new StatemqError('SMQ_OPTION_INVALID', `trace: ${detail}`)
}
