/** Replays a way through the session's model on a broker, from outside, and holds the one to the other. */
import { getMicrosteps, transition } from 'xstate'
import { expect } from 'vitest'

import type { SessionEvent, WillSummary } from '../../machines/index.ts'
import type { BrokerEvent } from '../../src/index.ts'
import { challenge, deny, next as pass } from '../../src/index.ts'
import { auth, connect, disconnect, frameWithLength, hex, puback, subscribe, varint } from '../support/wire.ts'
import type { WillInput } from '../support/wire.ts'
import { causes, placeOf } from './replay-causes.ts'
import {
  atOnce,
  authTimeoutMs,
  connectTimeoutMs,
  grantStepMs,
  nothing,
  Rig,
  type Pending,
  type ReplayClient,
  type Tapped,
} from './replay-rig.ts'
import { initialSnapshot, vertexOf } from './session-graph.ts'
import { admitted, eventOf, events, leavesOf, modelMachine, will } from './session-model.ts'
import type { ModelEvent, SessionSnapshot, StepName } from './session-model.ts'

type ConnectEvent = Extract<SessionEvent, { type: 'packet.connect' }>
type HandoverEvent = Extract<SessionEvent, { type: 'session.resume' | 'session.takeover' }>

const shortDelaySeconds = 30
/** Beyond every expiry of the model, so that such a will waits for the end of its session. */
const longDelaySeconds = 100
const keepAliveSeconds = 2
/** One and a half times the keepalive, the sweep that finds it, and one to spare. */
const silenceMs = 4_000

const maxConnectionSeconds = 3
/** Steps that let time pass; those of a grant come within two seconds of each other. */
const grantSteps: readonly StepName[] = ['expiring deadline', 'grant deadline']
const timedSteps: readonly StepName[] = [
  ...grantSteps,
  'connection deadline',
  'keepalive lost',
  'connect deadline',
  'authentication deadline',
  'session deadline',
  'will settled',
]
const grantingSteps: readonly StepName[] = [
  'connect, at once',
  'identity: allowed',
  're-authentication: allowed',
  'resume',
  'takeover',
]
/** After these the grant is another one, or the model's way no longer depends on its time. */
const newGrants: readonly StepName[] = ['resume', 'takeover', 're-authentication: allowed']

/**
 * How long a grant lasts that is given in `at`: no longer than until the first of its deadlines that
 * the rest of a path wants, for ever where another deadline would have to come between.
 */
function grantLifeMs(at: SessionSnapshot, rest: readonly StepName[]): number | undefined {
  let snapshot = at
  let lifeMs: number | undefined
  for (const step of rest) {
    if (newGrants.includes(step)) return lifeMs
    const place = leavesOf(snapshot.value)
    if (grantSteps.includes(step) && place.startsWith('online(')) {
      if (step === 'expiring deadline' && place.startsWith('online(valid')) lifeMs ??= grantStepMs + 1_000
      else lifeMs ??= 1_000
    } else if (
      step === 'keepalive lost' ||
      (timedSteps.includes(step) && !/online\(lapsed|offline|expired/.test(place))
    ) {
      // The client would have been silent for too long by then; or another deadline of the grant would come first.
      return undefined
    }
    snapshot = transition(modelMachine, snapshot, eventOf(step))[0]
  }
  return lifeMs
}

function firstOf(rest: readonly StepName[], among: readonly StepName[]): StepName | undefined {
  return rest.find((step) => among.includes(step))
}

/** A connection has a keepalive only if its loss is what comes next of all that takes time. */
function keepAliveFor(rest: readonly StepName[]): number {
  const next = firstOf(rest, [
    'keepalive lost',
    'authentication deadline',
    'session deadline',
    'will settled',
    'resume',
    'takeover',
  ])
  return next === 'keepalive lost' ? keepAliveSeconds : 0
}

function willDelayFor(rest: readonly StepName[]): number {
  return firstOf(rest, ['will settled', 'session deadline', 'resume', 'takeover']) === 'will settled'
    ? shortDelaySeconds
    : longDelaySeconds
}

/** Times, texts for people and addresses, which the model makes up. */
const ownFields = [
  'atMs',
  'sessionId',
  'connection',
  'authenticatedAtMs',
  'expiresAtMs',
  'userProperties',
  'keepAliveSeconds',
  'actorId',
  'error',
]

/** The value without the fields of these names at any depth, and without undefined ones. */
function without(value: unknown, names: readonly string[]): unknown {
  if (Array.isArray(value)) return value.map((each) => without(each, names))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name, each]) => each !== undefined && !names.includes(name))
      .map(([name, each]) => [name, without(each, names)]),
  )
}

/** The active leaves as the history writes them. */
function pathsOf({ _nodes }: SessionSnapshot): string {
  const leaves = _nodes.filter(({ type }) => type === 'atomic' || type === 'final')
  return leaves
    .toSorted((a, b) => a.order - b.order)
    .map(({ path }) => path.join('.'))
    .join(' ')
}

/** An event as far as the model determines it. */
function factsOfEvent(event: { readonly type: string }): unknown {
  // What `admit` adds to its answer is not the model's to know.
  const added = event.type.startsWith('xstate.done') ? ['connect', 'takeover'] : []
  return without(event, [...ownFields, 'reason', 'incumbent', 'serverReference', 'decision', ...added])
}

function factsOfContext({ context }: SessionSnapshot): unknown {
  const { epoch, resumed, sessionExpiryIntervalSeconds, end, grant, connect: request, expiresAtMs } = context
  const { standing, sessionAttributes, connectionAttributes } = context
  const facts = {
    epoch,
    resumed,
    sessionExpiryIntervalSeconds,
    end,
    grant,
    standing,
    sessionAttributes,
    connectionAttributes,
    request,
    will: context.will,
  }
  return without({ ...facts, isToExpire: expiresAtMs !== undefined }, ownFields)
}

interface Expected {
  readonly lines: string[]
  isClosed: boolean
}

/** What a step comes down to in a broker: the event that reaches the chart, and how it is brought about. */
interface Happening {
  readonly event: ModelEvent
  readonly isDirect: boolean
  readonly act: () => Promise<void> | void
}

const settled = events['will settled']

const failure = (reasonCode: 0x81 | 0x82 | 0x95, silent: boolean): SessionEvent => ({
  type: 'connection.failed',
  reasonCode,
  reason: '',
  silent,
})

export class Replay {
  readonly path: readonly StepName[]
  readonly rig: Rig
  /** Types of events that reached the chart, and those of them that something outside brought about. */
  readonly seen = new Set<string>()
  readonly caused = new Set<string>()
  /** Steps that were sent to the actor because nothing outside can bring them about. */
  direct = 0
  #model: SessionSnapshot = initialSnapshot
  #planned: SessionSnapshot = initialSnapshot
  #subject!: Tapped
  #client!: ReplayClient
  readonly #expected = new Map<ReplayClient, Expected>()
  readonly #hooksThrow: boolean
  #cause = ''
  #expiresAtMs: number | undefined = undefined
  #willDelay: number | undefined = undefined

  /** Where a path has an actor fail, `hooksThrow` has a hook throw instead of sending the failure to the actor. */
  constructor(path: readonly StepName[], { hooksThrow = false }: { readonly hooksThrow?: boolean } = {}) {
    this.path = path
    this.#hooksThrow = hooksThrow
    let at = initialSnapshot
    let resumesAnything = false
    let cutsExpiry = false
    path.forEach((step, index) => {
      const lasts = at.context.sessionExpiryIntervalSeconds > 0
      if ((step === 'resume' || step === 'takeover') && placeOf(at) === 'online' && !lasts) resumesAnything = true
      const asked = at.context.connect?.sessionExpiryIntervalSeconds ?? 0
      if (step === 'admission: admitted' && asked > 0 && !causes[step].never?.(at, path.slice(index + 1)))
        cutsExpiry = true
      at = transition(modelMachine, at, eventOf(step))[0]
    })
    this.rig = new Rig({
      resumesAnything,
      asksOnRegister: path[0] !== 'connect, at once',
      ...(cutsExpiry ? { maxSessionExpirySeconds: 0 } : {}),
      ...(this.#cutsConnections ? { maxConnectionSeconds } : {}),
    })
  }

  async run(): Promise<void> {
    const { client, tapped } = await this.rig.attach()
    this.#client = client
    this.#subject = tapped
    this.#expect(client)
    await this.rig.settle()
    this.rig.log.length = 0
    for (const [at, step] of this.path.entries()) {
      try {
        await this.#step(step, this.path.slice(at + 1))
      } catch (error) {
        throw new Error(`step ${at + 1} of ${this.path.join(' > ')}`, { cause: error })
      }
    }
    await this.rig.finish()
    expect(await this.rig.leftovers(), `after ${this.path.join(' > ')}`).toEqual(nothing)
  }

  async #step(step: StepName, rest: readonly StepName[]): Promise<void> {
    const before = this.#model
    const throws = this.#hooksThrow && step.endsWith(': fails')
    const why = throws ? undefined : (causes[step].never?.(before, rest) ?? this.#untimely(step))
    const happening = why === undefined ? this.#happening(step, rest) : this.#sent(step)
    const { event } = happening
    const [reached, actions] = transition(modelMachine, before, event)
    if (grantingSteps.includes(step)) this.#planGrant(grantLifeMs(reached, rest))
    this.#planned = transition(modelMachine, this.#planned, eventOf(step))[0]
    // A will that the session itself takes back has settled at once, where a path has it wait.
    const forgets =
      this.#willDelay !== undefined &&
      topOf(reached) === 'offline' &&
      actions.some(({ type }) => type === 'cancelWill' || type === 'withholdWill')
    const next = forgets ? this.#settleWill(reached) : reached
    expect(vertexOf(next), 'the step leads where the path goes').toBe(vertexOf(this.#planned))
    // What the actor itself is sent passes the host, which keeps the causes.
    const passesHost = happening.isDirect || causes[step].isOfServer === true || event.type.startsWith('xstate.')
    if (!passesHost) this.#cause = event.type
    if (happening.isDirect) this.direct += 1
    this.#subject.events.length = 0
    this.rig.log.length = 0
    this.rig.transitions.length = 0
    const fromMs = this.rig.clock.nowMs()
    await happening.act()
    await this.rig.settle()
    this.rig.grantEndsAtMs = undefined
    this.seen.add(event.type)
    if (!happening.isDirect) this.caused.add(event.type)
    this.#model = next
    const willEvents = this.#expectEffects(actions, next)
    const given = forgets ? [event, settled] : [event]
    expect(this.#subject.events.map(factsOfEvent), 'what the chart was given').toEqual(given.map(factsOfEvent))
    this.#compareState(next, fromMs)
    this.#compareTransitions(before, event)
    this.#compareEvents(before, next, actions, willEvents)
    if (forgets) this.#cause = settled.type
    await this.#compareClients()
    if (actions.some(({ type }) => type === 'sendConnack') && !next.context.resumed && rest.length > 0)
      await this.#subscribe()
  }

  /** What was recorded of the step is the way that the machine takes, state by state. */
  #compareTransitions(before: SessionSnapshot, event: ModelEvent): void {
    const steps = getMicrosteps(modelMachine, before, event)
    const passed = [before, ...steps.map(([snapshot]) => snapshot)].map(pathsOf)
    const { sessionId } = this.#subject
    const records = this.rig.transitions.filter((record) => record.sessionId === sessionId)
    const recorded = [passed[0]!, ...records.map(({ to }) => to.join(' '))]
    const distinct = (way: readonly string[]): string[] => way.filter((leaves, at) => leaves !== way[at - 1])
    expect(distinct(recorded), 'the history shows the states that were passed').toEqual(distinct(passed))
    const froms = records.map(({ from }) => from.join(' '))
    expect(froms, 'each step begins where the one before ended').toEqual(recorded.slice(0, records.length))
  }

  #settleWill(reached: SessionSnapshot): SessionSnapshot {
    this.#planned = transition(modelMachine, this.#planned, settled)[0]
    return transition(modelMachine, reached, settled)[0]
  }

  // --- the time of grants -------------------------------------------------------------------

  #grantEndsAtMs: number | undefined = undefined

  #planGrant(lifeMs: number | undefined): void {
    this.#grantEndsAtMs = lifeMs === undefined ? undefined : this.rig.clock.nowMs() + lifeMs
    this.rig.grantEndsAtMs = this.#grantEndsAtMs
  }

  /** Every connection of such a path ends after so many seconds, which no other time may pass before. */
  get #cutsConnections(): boolean {
    const timed = this.path.filter((step) => timedSteps.includes(step))
    return timed.length === 1 && timed[0] === 'connection deadline'
  }

  #untimely(step: StepName): string | undefined {
    const isUntimely =
      (grantSteps.includes(step) && this.#grantEndsAtMs === undefined) ||
      (step === 'connection deadline' && !this.#cutsConnections)
    return isUntimely ? 'another deadline of the path would come first' : undefined
  }

  /** Until the next deadline of the grant. */
  #passGrant(step: StepName): Promise<void> {
    const place = leavesOf(this.#model.value)
    const offsetMs = step === 'expiring deadline' ? -grantStepMs : place.startsWith('online(grace') ? grantStepMs : 0
    return this.rig.advance((this.#grantEndsAtMs ?? 0) + offsetMs - this.rig.clock.nowMs())
  }

  /** What `broker.sessions` does to one session. */
  #operate(step: StepName): void {
    this.#view().actorRef.send(eventOf(step) as SessionEvent)
  }

  // --- what happens -------------------------------------------------------------------------

  /** Straight to the actor: there is no other way, see the table of causes. */
  #sent(step: StepName): Happening {
    let event = eventOf(step)
    let prepare = async (): Promise<void> => {}
    if (step.startsWith('admission: admitted')) {
      let incumbent: string | undefined
      prepare = async () => {
        incumbent = await this.#incumbentOf('returning')
      }
      const { output, ...rest } = event as ModelEvent & { output: object }
      event = {
        ...rest,
        output: {
          ...output,
          get incumbent() {
            return incumbent
          },
        },
      } as unknown as ModelEvent
    }
    const act = async (): Promise<void> => {
      await prepare()
      this.#subject.events.length = 0
      this.rig.log.length = 0
      this.#subject.actor.send(event as SessionEvent)
    }
    // The model's own doubles look at the incumbent too, which is none of its business here.
    return { event: step.startsWith('admission: admitted') ? eventOf(step) : event, isDirect: true, act }
  }

  #happening(step: StepName, rest: readonly StepName[]): Happening {
    const done = (act: Happening['act'], event: ModelEvent = eventOf(step)): Happening => ({
      event,
      isDirect: false,
      act,
    })
    const place = placeOf(this.#model)
    const { rig } = this
    const { raw } = this.#client
    if (step in events) {
      const packet = this.#packetOf(step, rest)
      if (packet) return done(() => void raw.send(packet.bytes), packet.event)
    }
    switch (step) {
      case 'connection closed':
        return done(() => {
          // Whatever it has not read it never will.
          this.#expect(this.#client).lines.length = 0
          raw.drop()
        })
      case 'keepalive lost':
        return done(() => rig.advance(silenceMs))
      case 'connect deadline':
        return done(() => rig.advance(connectTimeoutMs))
      case 'authentication deadline':
        return done(() => rig.advance(authTimeoutMs))
      case 'session deadline':
        return done(() => rig.advance((this.#expiresAtMs ?? Infinity) - rig.clock.nowMs()))
      case 'will settled':
        return done(() => rig.advance(shortDelaySeconds * 1000))
      case 'resume':
      case 'takeover':
        return this.#handover(place === 'online' ? events.takeover : events.resume, rest)
      case 'discard':
        return done(() => this.#discard())
      case 'server disconnect': {
        const { reasonCode, reason } = events['server disconnect']
        return done(() => void this.#view().disconnect(reasonCode, reason), {
          type: 'session.disconnect',
          reasonCode,
          reason,
        })
      }
      case 'expire':
        return done(() => void this.#view().expire())
      case 'ready':
        return done(() => this.#acknowledge())
      case 'blocked':
        return done(async () => {
          this.#client.hold()
          await rig.publishBulk()
        })
      case 'drained':
        return done(() => this.#client.release())
      case 'identity: fails':
      case 're-authentication: fails':
        return this.#throw(step, this.rig.authentications, 'authentication failed')
      case 'admission: fails':
        return this.#throw(step, this.rig.registrations, 'not authorized')
      case 'admission: incumbent changed': {
        const { connect: request } = this.#model.context
        const output = { ...admitted(request?.sessionExpiryIntervalSeconds ?? 0, 'stale') }
        return done(() => this.#changeIncumbent(), { ...eventOf(step), output } as unknown as ModelEvent)
      }
      case 'expiring deadline':
      case 'grant deadline':
        return done(() => this.#passGrant(step))
      case 'connection deadline':
        return done(() => rig.advance(maxConnectionSeconds * 1000))
      case 'revoke':
      case 'change roles':
      case 'change roles, same':
      case 'change properties':
      case 'change properties, same':
      case 'change attributes':
      case 'change attributes of the connection':
      case 'change attributes, same':
        return done(() => this.#operate(step))
      case 'drain':
        return done(() => rig.close())
      default:
        return done(() => this.#answer(step))
    }
  }

  /** Steps that are bytes of the client. What its codec finds first comes as a failure of the connection. */
  #packetOf(step: StepName, rest: readonly StepName[]): { bytes: Buffer; event: ModelEvent } | undefined {
    const event = eventOf(step)
    const isFirst = placeOf(this.#model) === 'connecting'
    const firstIsOther = failure(0x82, true)
    switch (event.type) {
      case 'packet.connect': {
        const made = this.#connectOf(event, rest)
        return isFirst ? made : { bytes: made.bytes, event: failure(0x82, false) }
      }
      case 'packet.auth': {
        const { reasonCode, authenticationMethod } = event
        const bytes = auth(reasonCode, { authenticationMethod: authenticationMethod ?? '' })
        return { bytes, event: isFirst ? firstIsOther : event }
      }
      case 'packet.disconnect': {
        const { reasonCode, sessionExpiryIntervalSeconds: expiry } = event
        const bytes = disconnect(reasonCode, expiry === undefined ? {} : { sessionExpiryInterval: expiry })
        return { bytes, event: isFirst ? firstIsOther : event }
      }
      case 'connection.failed':
        if (!event.silent)
          return { bytes: isFirst ? connect({ flags: 0x03 }) : hex('36 00'), event: failure(0x81, false) }
        if (isFirst) return { bytes: Buffer.from('GET / HTTP/1.1\r\n'), event: firstIsOther }
        return { bytes: frameWithLength(0x30, varint(70_000)), event: failure(0x95, true) }
      default:
        return undefined
    }
  }

  #connectOf(event: ConnectEvent, rest: readonly StepName[]): { bytes: Buffer; event: ConnectEvent } {
    const willDelay = willDelayFor(rest)
    const summary = event.will && { ...event.will, delaySeconds: willDelay }
    const { clientId, username, cleanStart, sessionExpiryIntervalSeconds } = event.connect
    const bytes = connect({
      clientId,
      username: username ?? '',
      cleanStart,
      keepAlive: keepAliveFor(rest),
      properties: {
        sessionExpiryInterval: sessionExpiryIntervalSeconds,
        authenticationMethod: 'TICKET',
        ...(username === 'known' ? { userProperties: [atOnce] } : {}),
      },
      ...(summary ? { will: willOf(summary) } : {}),
    })
    return { bytes, event: { ...event, will: summary } }
  }

  /** A second client comes for the session; two messages that it has not acknowledged keep it waking. */
  #handover(event: HandoverEvent, rest: readonly StepName[]): Happening {
    const { connect: request } = event
    const summary = { ...(event.will ?? will), delaySeconds: willDelayFor(rest) }
    const act = async (): Promise<void> => {
      for (const payload of ['1', '2']) await this.rig.broker.publish({ topic: 'work', payload, qos: 1 })
      await this.rig.settle()
      const client = await this.#connectHelper(request.clientId, {
        cleanStart: false,
        username: request.username ?? '',
        keepAlive: keepAliveFor(rest),
        expiry: request.sessionExpiryIntervalSeconds,
        will: willOf(summary),
      })
      this.#newcomer = client
    }
    return { event: { ...event, will: summary }, isDirect: false, act }
  }

  #newcomer: ReplayClient | undefined = undefined

  /** A client that is decided on at once; what it is answered is for the caller to expect. */
  async #connectHelper(
    clientId: string,
    input: { cleanStart: boolean; expiry: number; username?: string; keepAlive?: number; will?: WillInput },
  ): Promise<ReplayClient> {
    const { client } = await this.rig.attach()
    this.#expect(client)
    client.raw.send(
      connect({
        clientId,
        cleanStart: input.cleanStart,
        username: input.username ?? 'alice',
        keepAlive: input.keepAlive ?? 0,
        properties: {
          sessionExpiryInterval: input.expiry,
          authenticationMethod: 'TICKET',
          receiveMaximum: 1,
          userProperties: [atOnce],
        },
        ...(input.will ? { will: input.will } : {}),
      }),
    )
    await this.rig.settle()
    return client
  }

  async #discard(): Promise<void> {
    const clientId = this.#model.context.connect?.clientId ?? ''
    const client = await this.#connectHelper(clientId, { cleanStart: true, expiry: 0 })
    this.#expect(client).lines.push('CONNACK 0 fresh')
  }

  /** A session that already lives under this identifier; nothing where the subject is another client. */
  async #incumbentOf(clientId: string): Promise<string | undefined> {
    if (this.#model.context.connect?.clientId !== clientId) return undefined
    const client = await this.#connectHelper(clientId, { cleanStart: true, expiry: 60 })
    this.#expect(client).lines.push('CONNACK 0 fresh')
    this.#incumbent = client
    return this.rig.broker.sessions.get(clientId)?.sessionId
  }

  #incumbent: ReplayClient | undefined = undefined

  /** The host answers for a hook that throws. */
  #throw(step: StepName, list: readonly Pending<never>[], reason: string): Happening {
    const { actorId } = eventOf(step) as ModelEvent & { actorId: string }
    const output = { type: 'denied', reasonCode: 0x87, reason }
    const event = { type: `xstate.done.actor.${actorId}`, actorId, output } as unknown as ModelEvent
    return { event, isDirect: false, act: () => list.findLast(({ open }) => open)?.fail() }
  }

  async #answer(step: StepName): Promise<void> {
    const { rig } = this
    const authentication = rig.authentications.findLast(({ open }) => open)
    const registration = rig.registrations.findLast(({ open }) => open)
    switch (step) {
      case 'identity: allowed':
      case 're-authentication: allowed':
        return authentication?.answer(rig.allow())
      case 'identity: challenged':
      case 're-authentication: challenged':
        return authentication?.answer(challenge(Buffer.from('which?')))
      case 'identity: denied':
      case 're-authentication: denied':
        return authentication?.answer(deny(0x87, 'not you'))
      case 'admission: admitted':
      case 'admission: admitted, lasting':
        await this.#incumbentOf('returning')
        return registration?.answer(pass())
      case 'admission: denied':
        return registration?.answer(deny(0x9c, 'over there', 'other.example'))
      default:
        throw new Error(`nothing brings about "${step}"`)
    }
  }

  /** The session that onTakeover was asked about ends before it has answered. */
  async #changeIncumbent(): Promise<void> {
    const { rig } = this
    const clientId = this.#model.context.connect?.clientId ?? ''
    const client = await this.#connectHelper(clientId, { cleanStart: true, expiry: 60 })
    rig.asksOnTakeover = true
    rig.registrations.findLast(({ open }) => open)?.answer(pass())
    await rig.settle()
    rig.asksOnTakeover = false
    rig.broker.sessions.get(clientId)?.expire()
    await rig.settle()
    rig.takeovers.findLast(({ open }) => open)?.answer(pass())
    const expected = this.#expect(client)
    expected.lines.push('CONNACK 0 fresh', `DISCONNECT ${0x98}`)
    expected.isClosed = true
  }

  /** Until what an earlier connection left was sent again, one message at a time. */
  async #acknowledge(): Promise<void> {
    const client = this.#client
    for (let count = 0; count < 20; count += 1) {
      expect(await client.take(), 'nothing but deliveries').toEqual([])
      const packetId = client.unacknowledged.shift()
      if (packetId === undefined || this.#subject.events.length > 0) return
      client.raw.send(puback(packetId))
      await this.rig.settle()
    }
  }

  async #subscribe(): Promise<void> {
    this.#client.raw.send(subscribe({ filters: [['work', { qos: 1 }], 'bulk'] }))
    await this.rig.settle()
    expect(this.#view().subscriptions).toEqual(['work', 'bulk'])
  }

  // --- what is observed ---------------------------------------------------------------------

  #view() {
    const view = this.rig.broker.sessions.get(this.#model.context.connect?.clientId ?? '')
    if (!view) throw new Error('the session is not there')
    return view
  }

  #expect(client: ReplayClient): Expected {
    const expected = this.#expected.get(client) ?? { lines: [], isClosed: false }
    this.#expected.set(client, expected)
    return expected
  }

  /** What the actions of the step are to be seen as: packets, ends of connections, fates of wills. */
  #expectEffects(actions: readonly { type: string; params?: unknown }[], next: SessionSnapshot): string[] {
    const fates: string[] = []
    const settle = (fate: string): void => {
      if (this.#willDelay !== undefined) fates.push(fate)
      this.#willDelay = undefined
    }
    for (const { type, params } of actions) {
      const told = params as { reasonCode?: number; silent?: boolean } | undefined
      const expected = this.#expect(this.#client)
      switch (type) {
        case 'refuse':
          if (told?.silent !== true) expected.lines.push(`CONNACK ${told?.reasonCode} fresh`)
          expected.isClosed = true
          break
        case 'disconnect':
          if (told?.silent !== true) expected.lines.push(`DISCONNECT ${told?.reasonCode}`)
          expected.isClosed = true
          break
        case 'closeConnection':
        case 'dropSession':
        case 'armSessionDeadline':
          if (this.#client !== this.#handedOver) expected.isClosed = true
          break
        case 'handOver':
          this.#expectHandedOver()
          break
        case 'adoptConnection':
          if (this.#newcomer) this.#client = this.#newcomer
          break
        case 'sendConnack':
          expected.lines.push(`CONNACK 0 ${next.context.resumed ? 'resumed' : 'fresh'}`)
          break
        case 'sendChallenge':
          expected.lines.push(`AUTH ${0x18}`)
          break
        case 'sendAuthenticated':
          expected.lines.push('AUTH 0')
          break
        case 'armWill':
          this.#willDelay = next.context.will?.delaySeconds
          if (this.#willDelay !== undefined) fates.push('will.armed')
          break
        case 'releaseWill':
          if ((this.#willDelay ?? 0) > 0) fates.push('will.delayed')
          break
        case 'fireWill':
          settle('will.published')
          break
        case 'withholdWill':
          settle('will.withheld')
          break
        case 'cancelWill':
        case 'supersedeWill':
          settle('will.cancelled')
          break
        default:
      }
    }
    if (this.#model.value === 'offline' && this.#model.context.will === undefined) settle('will.published')
    return fates
  }

  #handedOver: ReplayClient | undefined = undefined

  /** The subject was the newcomer: its client is served by the incumbent now, whose own was sent away. */
  #expectHandedOver(): void {
    this.#handedOver = this.#client
    this.#expect(this.#client).lines.push('CONNACK 0 resumed')
    if (!this.#incumbent) throw new Error('there is no incumbent')
    const expected = this.#expect(this.#incumbent)
    expected.lines.push(`DISCONNECT ${0x8e}`)
    expected.isClosed = true
  }

  #compareState(next: SessionSnapshot, fromMs: number): void {
    const { actor, sessionId } = this.#subject
    const { sessions } = this.rig.broker
    const snapshot = actor.getSnapshot()
    expect(leavesOf(snapshot.value), 'the state of the actor').toBe(leavesOf(next.value))
    expect([snapshot.status, snapshot.output]).toEqual([next.status, next.output])
    expect(factsOfContext(snapshot), 'the context').toEqual(factsOfContext(next))
    const view = sessions.get(next.context.connect?.clientId ?? '')
    const place = placeOf(next)
    if (next.status === 'active' && (place === 'online' || place === 'offline')) {
      // Embedders get the actor behind a guard: what it answers is the actor's own.
      const isSame = view?.actorRef.getSnapshot() === snapshot
      expect([view?.sessionId, view?.state, isSame]).toEqual([sessionId, place, true])
    } else expect(view?.sessionId, 'no such session').not.toBe(sessionId)
    this.#compareExpiry(snapshot.context.expiresAtMs, next, fromMs)
  }

  /** A session that went offline in this step expires so and so long after it did; then the time stands. */
  #compareExpiry(expiresAtMs: number | undefined, next: SessionSnapshot, fromMs: number): void {
    if (expiresAtMs !== undefined && this.#expiresAtMs === undefined) {
      const lastsMs = next.context.sessionExpiryIntervalSeconds * 1000
      expect(expiresAtMs).toBeGreaterThanOrEqual(fromMs + lastsMs)
      expect(expiresAtMs).toBeLessThanOrEqual(this.rig.clock.nowMs() + lastsMs)
      this.#expiresAtMs = expiresAtMs
    }
    expect(expiresAtMs, 'the time of the expiry').toBe(
      next.context.expiresAtMs === undefined ? undefined : this.#expiresAtMs,
    )
    if (expiresAtMs === undefined) this.#expiresAtMs = undefined
  }

  #compareEvents(
    before: SessionSnapshot,
    next: SessionSnapshot,
    actions: readonly { type: string; params?: unknown }[],
    fates: readonly string[],
  ): void {
    const of = (kinds: RegExp) =>
      this.rig.log.filter(
        (event) => 'sessionId' in event && event.sessionId === this.#subject.sessionId && kinds.test(event.type),
      )
    const [from, to] = [topOf(before), topOf(next)]
    const expected: object[] = []
    const via = from === 'connecting' && to === 'online' ? [from, 'authenticating', to] : [from, to]
    for (let at = 1; from !== to && at < via.length; at += 1) {
      expected.push({ type: 'session.transition', from: via[at - 1], to: via[at], cause: this.#cause })
    }
    if (to === 'expired') expected.push({ type: 'session.expired', ...next.context.end })
    for (const { type, params } of actions) {
      if (type !== 'xstate.emit') continue
      const { event } = params as { event: { type: string } }
      if (event.type === 'session.online') expected.push({ type: 'session.woken' })
      expected.push(event.type === 'session.ignored' ? { ...event, state: from } : event)
    }
    if (from === 'online' && to === 'expired') expected.push({ type: 'session.gone', ...next.context.end })
    const names = [...ownFields, 'clientId', 'queuedMessages', 'inflightMessages']
    expect(
      of(/^(session|authority|roles|properties|attributes)\./).map((event: BrokerEvent) => without(event, names)),
      'events of the session',
    ).toEqual(without(expected, names))
    expect(
      of(/^will\./)
        .map(({ type }) => type)
        .toSorted(),
      'events of its wills',
    ).toEqual([...fates].toSorted())
  }

  /** Every client that reads got exactly this and no more; one that was sent away reads again. */
  async #compareClients(): Promise<void> {
    for (const [client, { isClosed }] of this.#expected) if (isClosed && client.isHeld) client.release()
    await this.rig.settle()
    for (const [client, expected] of this.#expected) {
      if (client.isHeld) continue
      expect({ lines: await client.take(), isClosed: client.raw.closed }, 'what a client sees').toEqual(expected)
      expected.lines.length = 0
    }
  }
}

function topOf({ value }: SessionSnapshot): string {
  return typeof value === 'string' ? value : (Object.keys(value)[0] ?? '')
}

function willOf(summary: WillSummary): WillInput {
  const { topic, qos, retain, delaySeconds, payloadBytes } = summary
  return { topic, qos, retain, payload: 'w'.repeat(payloadBytes), properties: { willDelayInterval: delaySeconds } }
}
