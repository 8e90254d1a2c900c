import { randomUUID } from 'node:crypto'

import type { AuthenticationOutcome, WillSummary } from '../../machines/session.machine.ts'
import { authenticate, undecided, type Asking, type Decision as ChainDecision } from '../auth/chain.ts'
import {
  deny,
  isPromise,
  type Allow,
  type AuthenticationRequest,
  type ConnectRequest,
  type Deny,
  type Grant,
} from '../hooks.ts'
import type { AuthPacket, ConnectPacket, WillPacket } from '../messages.ts'
import { ReasonCode } from '../reason-codes.ts'
import { admitAtOnce } from './admission.ts'
import { hookFailed, withTimeout } from './decide.ts'
import { decided, withRedirect } from './decided.ts'
import { doorName } from './door.ts'
import { currentPolicy } from './entrances.ts'
import { fixedPropertiesOf } from './fixed-properties.ts'
import { keepCredential } from './grant-review.ts'
import { makeGrant, proposedProperties } from './grants.ts'
import { applyModifiers } from './modifiers.ts'
import type { Session } from './session.ts'

const ReAuthenticate = ReasonCode.ReAuthenticate

/** What the authenticators say, or whoever decides in their place: then none of them was asked. */
type Decision = ChainDecision & { readonly unasked?: { readonly by: 'limit' | 'operator'; readonly name: string } }

/**
 * One authentication under way, with its secrets. It is the only place where they are kept, it is
 * not reachable from the chart, and it is gone when the exchange ends.
 */
export class Exchange {
  readonly reauthentication: boolean
  password: Buffer | undefined
  data: Buffer | undefined
  /** What the authenticator wants the client to get, with AUTH or CONNACK. */
  reply: Uint8Array | undefined = undefined
  round = 0
  bytes: number
  /** What the authenticators say to the CONNECT: they are asked before the chart is. */
  decision: Decision | Promise<Decision> | undefined = undefined
  /** Made for those who ask for it: aborting costs a DOMException. */
  #abort: AbortController | undefined = undefined
  #ended = false
  #scratch: Map<string, unknown> | undefined = undefined

  constructor(password: Buffer | undefined, data: Buffer | undefined, reauthentication: boolean) {
    this.password = password
    this.data = data
    this.bytes = data?.length ?? 0
    this.reauthentication = reauthentication
  }

  /** What an authenticator remembers from one round to the next. */
  get scratch(): Map<string, unknown> {
    return (this.#scratch ??= new Map())
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController()
    if (this.#ended) this.#abort.abort()
    return this.#abort.signal
  }

  next(data: Buffer | undefined): void {
    this.round++
    this.data = data
    this.bytes += data?.length ?? 0
  }

  abort(): void {
    this.password = undefined
    this.data = undefined
    this.#ended = true
    this.#abort?.abort()
  }
}

/** See {@link decidedAtOnce}. */
export interface AdmittedAtOnce {
  readonly verdict: Allow
  readonly authenticator: string
  readonly sessionExpiryIntervalSeconds: number
}

/** CONNECT has arrived: the client identifier is settled, everything else is the chart's to decide. */
export function beginConnect(session: Session, packet: ConnectPacket): void {
  const version = packet.protocolVersion
  session.isMqtt5 = version === 5
  // The connection may have waited while the options were taken anew.
  session.policy = currentPolicy(session.policy)
  session.connection?.limitOutbound(packet.maximumPacketSizeBytes ?? Infinity, packet.requestProblemInformation)
  if (session.overload !== undefined) return refuseOverload(session, session.overload)
  const { maxClientIdBytes } = session.policy.limits
  let { clientId } = packet
  if (clientId === '') {
    // MQTT-3.1.3-8 of 3.1.1: without an identifier there is no session to keep; 3.1 knows no empty one.
    const getsOne = session.policy.clientIds?.fromPrincipal === true
    if (!getsOne && (version === 3 || (version === 4 && !packet.cleanStart))) {
      return session.refusePacket(ReasonCode.ClientIdentifierNotValid, 'a client identifier is needed')
    }
    // MQTT-3.1.3-6, MQTT-3.2.2-16: ours cannot be guessed and is not in use.
    clientId = `auto-${randomUUID()}`
    session.hasAssignedId = true
  } else if (Buffer.byteLength(clientId) > maxClientIdBytes) {
    const code = ReasonCode.ClientIdentifierNotValid
    const reason = `the client identifier is over ${maxClientIdBytes} bytes`
    return session.refusePacket(code, reason, false, decided('limit', 'maxClientIdBytes', reason, code))
  }
  session.clientId = clientId
  session.exchange = new Exchange(packet.password, packet.authenticationData, false)
  session.pendingWill = packet.will
  session.connectPacket = { ...packet, clientId, password: undefined, authenticationData: undefined, will: undefined }
  session.request = connectRequest(session, packet)
  if (session.core.decidesAtOnce) {
    session.exchange.decision = decide(session, session.exchange, session.request)
    session.immediate = decidedAtOnce(session)
  }
  session.send({ type: 'packet.connect', connect: session.request, will: packet.will && willSummaryOf(packet.will) })
  // With a method the client may answer with AUTH; otherwise whatever follows waits for CONNACK.
  if (session.state === 'authenticating' && packet.authenticationMethod === undefined)
    session.connection?.pause('decision')
}

function refuseOverload(session: Session, reasonCode: ReasonCode): void {
  const limit = reasonCode === ReasonCode.ServerBusy ? 'maxConnections' : 'maxConnectsPerSecond'
  const reason = 'the broker is busy'
  session.refusePacket(reasonCode, reason, false, decided('limit', limit, reason, reasonCode))
}

function connectRequest(session: Session, packet: ConnectPacket): ConnectRequest {
  const kept =
    packet.protocolVersion === 5 ? (packet.sessionExpiryIntervalSeconds ?? 0) : packet.cleanStart ? 0 : 0xffffffff
  return {
    clientId: session.clientId,
    protocolVersion: packet.protocolVersion,
    username: packet.username,
    cleanStart: packet.cleanStart,
    keepAliveSeconds: packet.keepAliveSeconds,
    sessionExpiryIntervalSeconds: kept,
    authenticationMethod: packet.authenticationMethod,
    userProperties: packet.userProperties,
    connection: session.connection!.info,
  }
}

/** What the chart may know of a will. */
export function willSummaryOf({ topic, qos, retain, delaySeconds, payload }: WillPacket): WillSummary {
  return { topic, qos, retain, delaySeconds, payloadBytes: payload.length }
}

/** AUTH: its data goes to the exchange, the rest to the chart, which knows whether it is due. */
export function onAuthPacket(session: Session, packet: AuthPacket): void {
  if (session.state === 'online' && packet.reasonCode === ReAuthenticate && session.exchange === undefined) {
    session.exchange = new Exchange(undefined, packet.authenticationData, true)
  } else if (packet.reasonCode === ReasonCode.ContinueAuthentication) {
    session.exchange?.next(packet.authenticationData)
  }
  session.send({
    type: 'packet.auth',
    reasonCode: packet.reasonCode,
    authenticationMethod: packet.authenticationMethod,
  })
}

/** Asks the authenticators about the round at hand. */
function decide(session: Session, exchange: Exchange, connect: ConnectRequest): Decision | Promise<Decision> {
  const { policy, core } = session
  session.decidedAfter = core.registry.revocations
  const turnedAway = core.door.refusal(session, undefined)
  if (turnedAway) {
    const unasked = { by: 'operator', name: doorName(turnedAway.reasonCode) } as const
    return { verdict: turnedAway, authenticator: 'none', unasked }
  }
  const { maxAuthRounds, maxAuthBytes, decisionTimeoutMs } = policy.limits
  if (exchange.round > maxAuthRounds || exchange.bytes > maxAuthBytes) {
    const refusal = deny(ReasonCode.NotAuthorized, 'the authentication exchange is too long')
    const name = exchange.round > maxAuthRounds ? 'maxAuthRounds' : 'maxAuthBytes'
    return { verdict: refusal, authenticator: 'none', unasked: { by: 'limit', name } }
  }
  // Nobody is asked: what an authenticator would get to see costs more than the answer.
  if (policy.authenticators.length === 0) return undecided(connect.authenticationMethod, false, policy)
  const request: AuthenticationRequest = {
    ...connect,
    sessionId: session.id,
    get fixedProperties() {
      return fixedPropertiesOf(session.context, session.state, connect)
    },
    get proposedProperties() {
      return proposedProperties(connect.userProperties, policy.proposedPropertyPrefix)
    },
    channelBinding: (type) => session.connection?.channelBinding?.(type),
    password: exchange.password,
    authenticationData: exchange.data,
    round: exchange.round,
    reauthentication: exchange.reauthentication,
    grant: exchange.reauthentication ? session.grant : undefined,
    exchange: exchange.scratch,
    get signal() {
      return exchange.signal
    },
  }
  const asking: Asking = { authenticator: undefined }
  try {
    // Those of now, also for who is online since before a reload: what was taken out renews no grant.
    const decision = authenticate(request, currentPolicy(policy), core.clock, asking)
    if (!isPromise(decision)) return decision
    return withTimeout(core.clock, decisionTimeoutMs, 'authenticate', decision).catch((error: unknown) =>
      failedDecision(session, error, asking),
    )
  } catch (error) {
    return failedDecision(session, error, asking)
  }
}

/** Semantics 7.11: a decision that fails is a refusal. */
function failedDecision({ core, clientId }: Session, error: unknown, { authenticator = 'none' }: Asking): Decision {
  hookFailed(core.events, 'authenticate', clientId, error)
  return { verdict: deny(ReasonCode.NotAuthorized, 'authentication failed'), authenticator }
}

/**
 * What lets a client in that nothing has to be waited for: the authenticators have answered already,
 * and no hook or incumbent has a say. The chart may then pass through `authenticating` in one step;
 * where it does not, the exchange is still there to be asked about.
 */
function decidedAtOnce(session: Session): AdmittedAtOnce | undefined {
  const decision = session.exchange?.decision
  if (decision === undefined || isPromise(decision) || decision.verdict.type !== 'allow') return undefined
  // Limits of its own may refuse it yet.
  if (decision.verdict.limits !== undefined || decision.verdict.connack !== undefined) return undefined
  if (session.core.door.refusal(session, decision.verdict.principal) !== undefined) return undefined
  const sessionExpiryIntervalSeconds = admitAtOnce(session)
  if (sessionExpiryIntervalSeconds === undefined) return undefined
  return { verdict: decision.verdict, authenticator: decision.authenticator, sessionExpiryIntervalSeconds }
}

/** The chart lets that client in: what its context keeps. */
export function admitted(session: Session) {
  const { verdict, authenticator, sessionExpiryIntervalSeconds } = session.immediate!
  keepCredential(session.connection, verdict.credential)
  return { grant: conclude(session, verdict, authenticator), sessionExpiryIntervalSeconds, epoch: 1 }
}

/** The chart's `authenticate` actor. */
export async function runAuthentication(session: Session): Promise<AuthenticationOutcome> {
  const { exchange, request } = session
  if (!exchange || !request) throw new Error('no exchange is under way')
  const pending = exchange.decision ?? decide(session, exchange, request)
  exchange.decision = undefined
  const given = await pending
  const { verdict, authenticator } = given
  // The answer came too late for its connection, and the next one may have an exchange of its own.
  if (session.exchange !== exchange) throw new Error('the exchange has ended')
  if (verdict.type === 'challenge') {
    exchange.reply = verdict.authenticationData
    return { type: 'challenged', decision: decided('authenticator', authenticator, 'asks for another round') }
  }
  if (verdict.type === 'allow') return allowed(session, exchange, verdict, authenticator)
  endExchange(session)
  const { reasonCode, reason, serverReference } = verdict
  const decision = refusedBy(given, verdict)
  return { type: 'denied', reasonCode, reason, decision, ...(serverReference === undefined ? {} : { serverReference }) }
}

function refusedBy({ authenticator, unasked }: Decision, { reasonCode, reason, serverReference }: Deny) {
  const text = withRedirect(reason, serverReference)
  if (unasked !== undefined) return decided(unasked.by, unasked.name, text, reasonCode)
  // Nobody had an opinion.
  return authenticator === 'none'
    ? decided('broker', '', text, reasonCode)
    : decided('authenticator', authenticator, text, reasonCode)
}

function allowed(
  session: Session,
  { reauthentication }: Exchange,
  verdict: Allow,
  authenticator: string,
): AuthenticationOutcome {
  const { grant: present, policy } = session
  const grant = conclude(session, verdict, authenticator)
  // A session belongs to its principal (semantics 7.4), whatever else its client can prove to be.
  if (reauthentication && grant.principal !== present?.principal) {
    session.authenticatedReply = undefined
    const reason = 'another principal'
    const decision = decided('authenticator', authenticator, reason, ReasonCode.NotAuthorized)
    return { type: 'denied', reasonCode: ReasonCode.NotAuthorized, reason, decision }
  }
  keepCredential(session.connection, verdict.credential)
  if (!reauthentication) {
    applyModifiers(session, verdict)
    return { type: 'allowed', grant }
  }
  const keepsProperties = verdict.properties === undefined && policy.reauthenticationProperties === 'keep'
  return { type: 'allowed', grant, keepsProperties }
}

/** The exchange has succeeded: its secrets go, its grant stays. */
function conclude(session: Session, verdict: Allow, authenticator: string): Grant {
  endExchange(session)
  session.authenticatedReply = verdict.authenticationData
  return makeGrant(session, verdict, authenticator, session.request?.authenticationMethod)
}

export function endExchange(session: Session): void {
  session.exchange?.abort()
  session.exchange = undefined
}
