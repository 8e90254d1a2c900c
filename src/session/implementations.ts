import { assign, fromPromise } from 'xstate'

import { sessionMachine, type SessionContext, type SessionMachine } from '../../machines/session.machine.ts'
import { StatemqError } from '../errors.ts'
import type { Decision } from '../inspection.ts'
import { ReasonCode } from '../reason-codes.ts'
import { runAdmission } from './admission.ts'
import { adopt } from './adoption.ts'
import { admitted, endExchange, runAuthentication } from './authentication.ts'
import { authorityActions } from './authority.ts'
import { connack } from './connack.ts'
import { armGrantDeadline, cancelConnectionDeadlines, scheduleConnectionDeadline } from './grant-deadlines.ts'
import type { SessionCore } from './core.ts'
import { decided } from './decided.ts'
import { dropSession } from './ending.ts'
import { sessionGuards, type Acting } from './guards.ts'
import { refuseConnect, sayGoodbye, type Farewell } from './farewell.ts'
import { Inbound } from './inbound.ts'
import { silenceTicks } from './keepalive.ts'
import { holdConnack, keepSession } from './keeping.ts'
import { quicken } from './quick-steps.ts'
import type { Session } from './session.ts'
import type { Wills } from './wills.ts'

const NEVER_EXPIRES = 0xffffffff
const STATES = ['connecting', 'authenticating', 'enhanced-auth', 'online', 'offline', 'expired']

/**
 * Puts the broker's implementations under a session machine. Those that an embedder provided with
 * `sessionMachine.provide(…)` stay; the rest of the names, which throw in the bare chart, do what
 * the broker does.
 */
export function implement(machine: SessionMachine, core: SessionCore, wills: Wills): SessionMachine {
  for (const state of STATES) {
    if (!(state in machine.states)) throw new StatemqError('SMQ_MACHINE_INVALID', `there is no state "${state}"`)
  }
  const foreign = Object.keys(machine.states).find((state) => !STATES.includes(state))
  // Everybody who looks at a session knows six; `extendSession` says where others go.
  if (foreign !== undefined) throw new StatemqError('SMQ_MACHINE_INVALID', `"${foreign}" would be a top-level state`)
  const ours = implementations(core, wills)
  const own = machine.implementations
  const bare = sessionMachine.implementations
  const kept = {
    actors: keepForeign(ours.actors, own.actors, bare.actors),
    actions: keepForeign(ours.actions, own.actions, bare.actions),
    guards: keepForeign(ours.guards, own.guards, bare.guards),
  }
  // Whoever decides in our place is asked about every client, also where we would know at once.
  core.decidesAtOnce =
    machine.config.states?.authenticating === sessionMachine.config.states?.authenticating &&
    (['actors', 'actions', 'guards'] as const).every((kind) =>
      SKIPPED[kind].every((name) => (own[kind] as Table)[name] === (bare[kind] as Table)[name]),
    )
  return quicken(machine.provide(kept as Parameters<SessionMachine['provide']>[0]))
}

type Table = Readonly<Record<string, unknown>>

/** What a client that is decided on at once passes by: all that the chart asks and does about one that meets nobody. */
const SKIPPED = {
  actors: ['authenticate', 'admit'],
  actions: ['keepGrant', 'keepAdmission', 'discardIncumbent'],
  guards: [
    'isChallenged',
    'isDenied',
    'incumbentChanged',
    'isUnclaimed',
    'takesOverTooOften',
    'exceedsQuota',
    'resumesIncumbent',
  ],
} as const

/** Leaves out of `ours` whatever is no longer what the bare chart has under that name. */
function keepForeign<T extends object>(ours: T, own: object, bare: object): T {
  const kept = Object.entries(ours).filter(([name]) => {
    return (own as Record<string, unknown>)[name] === (bare as Record<string, unknown>)[name]
  })
  return Object.fromEntries(kept) as T
}

function implementations(core: SessionCore, wills: Wills) {
  const { registry, deadlines, clock } = core
  const host = ({ context }: Acting): Session => registry.host(context.sessionId)
  return {
    actors: {
      authenticate: fromPromise(({ input }: { input: { sessionId: string } }) =>
        runAuthentication(registry.host(input.sessionId)),
      ),
      admit: fromPromise(({ input }: { input: { sessionId: string; grant: NonNullable<SessionContext['grant']> } }) =>
        runAdmission(registry.host(input.sessionId), input.grant),
      ),
    },
    actions: {
      armConnectDeadline: (acting: Acting) => {
        const session = host(acting)
        const atMs = clock.nowMs() + session.policy.limits.connectTimeoutMs
        session.deadline = deadlines.schedule(atMs, () => session.send({ type: 'deadline.connect' }))
      },
      startExpiry: assign(({ context }: Acting) => ({
        expiresAtMs:
          context.sessionExpiryIntervalSeconds === NEVER_EXPIRES
            ? undefined
            : clock.nowMs() + context.sessionExpiryIntervalSeconds * 1000,
      })),
      keepImmediate: assign((acting: Acting) => admitted(host(acting))),
      armSessionDeadline: (acting: Acting) => {
        const session = host(acting)
        const { expiresAtMs } = acting.context
        if (expiresAtMs !== undefined) core.jobs.scheduleExpiry(session, acting.context.epoch, expiresAtMs)
        registry.offline++
        session.isOffline = true
        // A connection that ended by itself is still here; from now on messages wait or go to others.
        session.releaseConnection()?.end()
        session.outbound?.sleep()
      },
      cancelDeadlines: (acting: Acting) => {
        const session = host(acting)
        deadlines.cancel(session.deadline)
        core.jobs.cancelExpiry(session)
        if (session.isOffline) registry.offline--
        session.isOffline = false
      },
      ...connectionActions(core, host),
      ...takeoverActions(core, host),
      ...sessionActions(host),
      ...willActions(core, wills, host),
      ...authorityActions(host),
    },
    guards: sessionGuards(core, host),
  }
}

function connectionActions(core: SessionCore, host: (acting: Acting) => Session) {
  return {
    sendChallenge: (acting: Acting) => {
      const session = host(acting)
      sendAuth(session, acting, 0x18, session.exchange?.reply)
    },
    sendAuthenticated: (acting: Acting) => {
      const session = host(acting)
      sendAuth(session, acting, 0x00, session.authenticatedReply)
      session.authenticatedReply = undefined
    },
    refuse: (acting: Acting, farewell: Farewell) => refuseConnect(host(acting), farewell),
    disconnect: (acting: Acting, farewell: Farewell) => sayGoodbye(host(acting), farewell),
    closeConnection: (acting: Acting) => host(acting).releaseConnection()?.end(),
    sendConnack: (acting: Acting) => {
      const session = host(acting)
      const connection = session.connection!
      const packet = connack(session, acting.context)
      const connect = session.connectPacket!
      const { limits } = session.policy
      connection.accept({
        outboundTopicAliases: Math.min(connect.topicAliasMaximum, limits.maxOutboundTopicAliases),
        inboundTopicAliases: session.isMqtt5 ? limits.topicAliasMaximum : 0,
        hasKeepAlive: session.keepAliveSeconds > 0,
        maxPacketBytes: limits.maxPacketBytes,
        maxTopicLevels: limits.maxTopicLevels,
      })
      // MQTT-3.2.2-3: that there is a session, and that it will be there, is a promise.
      keepSession(session, acting.context, true)
      if (session.keeper !== undefined) holdConnack(session)
      if (connection.send(packet)) return
      // MQTT-3.1.2-24: what CONNACK says cannot be left unsaid; a client with no room for it can't be served.
      queueMicrotask(() => session.refusePacket(ReasonCode.PacketTooLarge, 'no room for CONNACK', true))
    },
    openPackets: (acting: Acting) => {
      const session = host(acting)
      const connection = session.connection!
      const { maxInflightMessages } = session.policy.limits
      session.window = Math.min(session.connectPacket!.receiveMaximum, maxInflightMessages)
      session.inbound ??= new Inbound(session)
      session.isOpen = true
      session.connectPacket = undefined
      session.immediate = undefined
      if (session.keepAliveSeconds > 0) {
        session.maxSilentTicks = silenceTicks(session.keepAliveSeconds)
        // While it waited for CONNACK the client had no reason to speak.
        connection.lastTick = core.keepalive.tick
        core.keepalive.watch(session)
      }
      armGrantDeadline(session, acting.context.grant, 'warning')
      scheduleConnectionDeadline(session)
      // What the client sent behind its CONNECT is read once the chart has settled.
      if (!connection.isReading) queueMicrotask(() => connection.resume('decision'))
    },
    closePackets: (acting: Acting) => {
      const session = host(acting)
      session.isOpen = false
      session.isAwake = false
      session.isThrottled = false
      session.inbound?.close()
      endExchange(session)
      core.keepalive.unwatch(session)
      cancelConnectionDeadlines(session)
    },
  }
}

function sendAuth(session: Session, acting: Acting, reasonCode: 0x00 | 0x18, data: Uint8Array | undefined): void {
  const authenticationMethod = acting.context.connect?.authenticationMethod ?? ''
  const packet = { type: 15, reasonCode, authenticationMethod, ...(data ? { authenticationData: data } : {}) } as const
  if (session.connection?.send(packet) !== false) return
  // MQTT-3.1.2-24: it would wait for what it has no room for.
  queueMicrotask(() => session.refusePacket(ReasonCode.PacketTooLarge, 'no room for AUTH', true))
}

/** Only somebody who is there is thrown out. */
function countTakeover({ registry, clock }: SessionCore, { clientId, policy }: Session, incumbent: Session): void {
  if (incumbent.state !== 'online') return
  registry.countTakeover(clientId, clock.nowMs(), policy.limits.maxTakeoversPerTenSeconds)
}

/** Which connection it was that a session went to, where somebody keeps a history. */
function newerThan({ core, id }: Session): { readonly decision?: Decision } {
  if (!core.charts.isObserved) return {}
  return { decision: decided('client', '', `a newer connection under its client identifier: ${id}`) }
}

function takeoverActions(core: SessionCore, host: (acting: Acting) => Session) {
  const { registry } = core
  return {
    register: (acting: Acting) => {
      const session = host(acting)
      registry.sessions.set(session.clientId, session)
    },
    discardIncumbent: (acting: Acting) => {
      const incumbent = registry.sessions.get(host(acting).clientId)
      if (incumbent === undefined) return
      countTakeover(core, host(acting), incumbent)
      incumbent.send({ type: 'session.discard', ...newerThan(host(acting)) })
      // That it is gone is a promise as well.
      if (incumbent.keeper !== undefined) holdConnack(host(acting))
    },
    handOver: (acting: Acting) => {
      const newcomer = host(acting)
      const incumbent = registry.sessions.get(newcomer.clientId)
      if (!incumbent) return
      countTakeover(core, newcomer, incumbent)
      // Out of the newcomer's hands, since its end would end the connection.
      const moved = newcomer.releaseConnection()
      registry.handovers.set(incumbent.id, { newcomer, connection: moved })
      const { connection, connect, grant, will, sessionExpiryIntervalSeconds } = acting.context
      const given = { connection, connect: connect!, grant: grant!, will, sessionExpiryIntervalSeconds }
      const handover = { ...given, ...newerThan(newcomer) }
      incumbent.send({ type: incumbent.state === 'offline' ? 'session.resume' : 'session.takeover', ...handover })
      // Nobody took it: the incumbent failed at this very moment.
      if (registry.handovers.delete(incumbent.id)) moved?.end()
    },
    adoptConnection: (acting: Acting) => {
      const session = host(acting)
      const handover = registry.handovers.get(session.id)
      registry.handovers.delete(session.id)
      if (handover) adopt(session, handover.newcomer, handover.connection)
    },
  }
}

function sessionActions(host: (acting: Acting) => Session) {
  return {
    wakeDelivery: (acting: Acting) => {
      const session = host(acting)
      session.isAwake = true
      session.outbound?.wake(session.window)
      session.isWaking = session.outbound !== undefined && !session.outbound.isIdle
      // After the entry actions, so that CONNACK is first and the chart says where it is.
      if (session.isWaking || session.replay?.isActive) queueMicrotask(() => session.pump())
    },
    holdDelivery: (acting: Acting) => {
      const session = host(acting)
      session.isThrottled = true
      // A client that does not read its answers gets no more requests answered (threat 45).
      session.connection?.pause('throttle')
    },
    releaseDelivery: (acting: Acting) => {
      const session = host(acting)
      const { connection } = session
      session.isThrottled = false
      queueMicrotask(() => {
        session.pump()
        connection?.resume('throttle')
      })
    },
    suspendDelivery: (acting: Acting) => {
      host(acting).isSuspended = true
    },
    resumeDelivery: (acting: Acting) => {
      const session = host(acting)
      session.isSuspended = false
      queueMicrotask(() => session.pump())
    },
    dropSession: (acting: Acting) => {
      const session = host(acting)
      session.releaseConnection()?.end()
      dropSession(session)
    },
  }
}

function willActions(core: SessionCore, wills: Wills, host: (acting: Acting) => Session) {
  return {
    armWill: (acting: Acting) => {
      const session = host(acting)
      const { pendingWill } = session
      // One of an earlier connection may still be on its way: it is no longer this session's to release or cancel.
      session.will = pendingWill && wills.arm(session, pendingWill, acting.context)
      // CONNACK is on its way in this turn: it says that the will is in our hands.
      if (pendingWill !== undefined) holdConnack(session)
      session.pendingWill = undefined
    },
    releaseWill: (acting: Acting) => {
      const { sessionExpiryIntervalSeconds } = acting.context
      const endsAtMs =
        sessionExpiryIntervalSeconds === NEVER_EXPIRES
          ? Infinity
          : core.clock.nowMs() + sessionExpiryIntervalSeconds * 1000
      host(acting).will?.release(endsAtMs)
    },
    fireWill: (acting: Acting) => host(acting).will?.due(),
    cancelWill: (acting: Acting) => host(acting).will?.cancel(),
    supersedeWill: (acting: Acting) => {
      const { will } = host(acting)
      if (!will) return
      // Section 3.1.3.2.2: within its delay a will is not sent when the session goes on.
      if (will.delaySeconds > 0) will.cancel()
      else will.due()
    },
  }
}
