import { assign, emit, fromPromise, raise, setup } from 'xstate'

import type { Grant } from '../src/hooks.ts'
import type { ReasonCode as ReasonCodeTable } from '../src/reason-codes.ts'
import type {
  AdmissionOutcome,
  AuthenticationOutcome,
  Farewell,
  SessionContext,
  SessionEmitted,
  SessionEvent,
  SessionInput,
  SessionOutput,
} from './session.types.ts'

/** What the chart itself says and reads; a chart imports types only, which hold these to the table in `src`. */
export const Code = {
  Success: 0x00,
  ContinueAuthentication: 0x18,
  ReAuthenticate: 0x19,
  ProtocolError: 0x82,
  NotAuthorized: 0x87,
  ServerUnavailable: 0x88,
  ServerShuttingDown: 0x8b,
  BadAuthenticationMethod: 0x8c,
  KeepAliveTimeout: 0x8d,
  SessionTakenOver: 0x8e,
  AdministrativeAction: 0x98,
} as const satisfies Partial<typeof ReasonCodeTable>

/** An implementation that only the session's host can give; running the bare chart says which is missing. */
function provided(name: string): () => never {
  return () => {
    throw new Error(`sessionMachine: "${name}" must be provided`)
  }
}

/** The same for one that takes parameters. */
function providedWith<P>(name: string): (_: unknown, params: P) => never {
  return provided(name)
}

/** The expiry that counts once this event is dealt with: a DISCONNECT may bring another one. */
function expiryAfter(event: SessionEvent, context: SessionContext): number {
  const changed = event.type === 'packet.disconnect' ? event.sessionExpiryIntervalSeconds : undefined
  return changed ?? context.sessionExpiryIntervalSeconds
}

/** The vocabulary of the session's chart: its types, and every action, guard and actor that it names. */
export const sessionSetup = setup({
  types: {
    input: {} as SessionInput,
    context: {} as SessionContext,
    events: {} as SessionEvent,
    emitted: {} as SessionEmitted,
    output: {} as SessionOutput,
  },
  actors: {
    /** Asks the authenticators; the credentials are with the host, not in the input. */
    authenticate: fromPromise<AuthenticationOutcome, { sessionId: string }>(provided('authenticate')),
    /** Everything else that may still refuse, before anything has changed: hooks, ownership, will, quotas. */
    admit: fromPromise<AdmissionOutcome, { sessionId: string; grant: Grant }>(provided('admit')),
  },
  actions: {
    /** Fires `deadline.connect` after `limits.connectTimeoutMs`. */
    armConnectDeadline: provided('armConnectDeadline'),
    armAuthenticationDeadline: provided('armAuthenticationDeadline'),
    cancelAuthenticationDeadline: provided('cancelAuthenticationDeadline'),
    /** Fires `deadline.session` at `context.expiresAtMs`. */
    armSessionDeadline: provided('armSessionDeadline'),
    cancelDeadlines: provided('cancelDeadlines'),
    /** AUTH 0x18 with the data that the authenticator left with the host. */
    sendChallenge: provided('sendChallenge'),
    /** AUTH 0x00: the end of a re-authentication. */
    sendAuthenticated: provided('sendAuthenticated'),
    /** CONNACK with a failure, in the client's own version; `silent` closes without. */
    refuse: providedWith<Farewell & { silent: boolean }>('refuse'),
    /** Makes this actor the session of its client identifier. */
    register: provided('register'),
    /** Ends the incumbent, which sends its will if it has one. */
    discardIncumbent: provided('discardIncumbent'),
    /** Moves the newcomer's connection into this session's host. */
    adoptConnection: provided('adoptConnection'),
    /** Gives connection, grant and will to the incumbent. */
    handOver: provided('handOver'),
    sendConnack: provided('sendConnack'),
    /** Opens the stream of PUBLISH, SUBSCRIBE, acknowledgements and pings, and starts the keepalive. */
    openPackets: provided('openPackets'),
    closePackets: provided('closePackets'),
    /** DISCONNECT with the code (MQTT 5), then the end of the connection; `silent` closes without. */
    disconnect: providedWith<Farewell & { silent?: boolean }>('disconnect'),
    /** Ends the connection without a word. */
    closeConnection: provided('closeConnection'),
    /** Sends again what is unacknowledged, then lets the queue flow; ends in `delivery.ready`. */
    wakeDelivery: provided('wakeDelivery'),
    holdDelivery: provided('holdDelivery'),
    releaseDelivery: provided('releaseDelivery'),
    armWill: provided('armWill'),
    /** Starts the delay; publishes at once when there is none. */
    releaseWill: provided('releaseWill'),
    /** Publishes whatever the delay: the session ends. Nothing to do where no will was armed. */
    fireWill: provided('fireWill'),
    cancelWill: provided('cancelWill'),
    /** Cancels a delayed will and publishes any other: a newer connection continues the session. */
    supersedeWill: provided('supersedeWill'),
    /**
     * Removes the session from the registry, with its subscriptions and queues. Nothing to do where this actor is not
     * the one registered: a refused newcomer leaves the incumbent alone.
     */
    dropSession: provided('dropSession'),

    keepConnect: assign(({ event }) => {
      if (event.type !== 'packet.connect') return {}
      return { connect: event.connect, will: event.will }
    }),
    /** Grant and admission of a client that was decided on at once; the host has them. */
    keepImmediate: assign(provided('keepImmediate')),
    keepGrant: assign((_, params: { grant: Grant }) => ({ grant: params.grant })),
    keepAdmission: assign((_, params: { sessionExpiryIntervalSeconds: number }) => ({
      sessionExpiryIntervalSeconds: params.sessionExpiryIntervalSeconds,
      epoch: 1,
    })),
    keepHandover: assign(({ context, event }) => {
      if (event.type !== 'session.resume' && event.type !== 'session.takeover') return {}
      return {
        connection: event.connection,
        connect: event.connect,
        grant: event.grant,
        will: event.will,
        sessionExpiryIntervalSeconds: event.sessionExpiryIntervalSeconds,
        expiresAtMs: undefined,
        epoch: context.epoch + 1,
        resumed: true,
      }
    }),
    /** MQTT 5 section 3.14.2.2.2: DISCONNECT may change the expiry. */
    keepExpiryChange: assign(({ context, event }) => ({ sessionExpiryIntervalSeconds: expiryAfter(event, context) })),
    /** Sets `context.expiresAtMs` by the broker's clock. */
    startExpiry: assign(provided('startExpiry')),
    forgetWill: assign({ will: undefined }),
    end: assign((_, params: SessionOutput) => ({ end: params })),

    /** The client's fault, dealt with as any other breach of the protocol. */
    failConnection: raise((_, params: Farewell) => ({ type: 'connection.failed', ...params, silent: false })),
    /** MQTT-4.12.1-2: a re-authentication that fails ends the connection, as any other DISCONNECT of the server. */
    failReauthentication: raise((_, params: Farewell) => ({ type: 'session.disconnect', ...params })),

    emitOnline: emit(({ context }) => ({
      type: 'session.online',
      resumed: context.resumed,
      grant: context.grant!,
      protocolVersion: context.connect!.protocolVersion,
      connection: context.connection,
    })),
    emitOffline: emit(({ event }) => ({ type: 'session.offline', cause: event.type })),
    emitTakenOver: emit({ type: 'session.taken-over' }),
    emitRefused: emit((_, params: { reasonCode: Farewell['reasonCode']; reason: string }) => ({
      type: 'session.refused',
      reasonCode: params.reasonCode,
      reason: params.reason,
    })),
    emitReauthenticated: emit(({ context }) => ({ type: 'session.reauthenticated' as const, grant: context.grant! })),
    emitIgnored: emit(({ event }) => ({ type: 'session.ignored', event: event.type })),
  },
  guards: {
    isChallenged: (_, params: { outcome: AuthenticationOutcome }) => params.outcome.type === 'challenged',
    isDenied: (_, params: { outcome: AuthenticationOutcome | AdmissionOutcome }) => params.outcome.type === 'denied',
    /** The authenticators have answered already and nothing else has a say, so there is nothing to wait for. */
    isAdmittedAtOnce: () => false,
    /** The registry changed while `admit` was deciding: it must decide again. */
    incumbentChanged: provided('incumbentChanged') as (
      _: unknown,
      params: { incumbent: string | undefined },
    ) => boolean,
    /** A session with state lives under this client identifier and the client wants it. */
    resumesIncumbent: provided('resumesIncumbent') as () => boolean,
    /** Nothing unacknowledged and nothing queued is left to send first. */
    nothingToWake: provided('nothingToWake') as () => boolean,
    outlivesConnection: ({ context }) => context.sessionExpiryIntervalSeconds > 0,
    /** The same, with the expiry that a DISCONNECT brings along. */
    outlivesDisconnect: ({ context, event }) => expiryAfter(event, context) > 0,
    /** MQTT 5 section 3.14.2.2.2: an expiry that was 0 in CONNECT can't be raised any more. */
    raisesExpiryFromZero: ({ context, event }) =>
      event.type === 'packet.disconnect' &&
      (event.sessionExpiryIntervalSeconds ?? 0) > 0 &&
      context.connect?.sessionExpiryIntervalSeconds === 0,
    /** MQTT-3.14.4-3: only DISCONNECT 0x00 takes the will back. */
    keepsWill: ({ event }) => event.type === 'packet.disconnect' && event.reasonCode !== Code.Success,
    keepsWillAndOutlives: ({ context, event }) =>
      event.type === 'packet.disconnect' && event.reasonCode !== Code.Success && expiryAfter(event, context) > 0,
    /** MQTT-4.12.0-3, MQTT-4.12.0-5: AUTH 0x18, with the method of the CONNECT. */
    continuesExchange: ({ context, event }) =>
      event.type === 'packet.auth' &&
      event.reasonCode === Code.ContinueAuthentication &&
      event.authenticationMethod === context.connect?.authenticationMethod,
    /** MQTT-4.12.1-1: the method of the CONNECT, and there must have been one. */
    opensReauthentication: ({ context, event }) =>
      event.type === 'packet.auth' &&
      event.reasonCode === Code.ReAuthenticate &&
      context.connect?.authenticationMethod !== undefined &&
      event.authenticationMethod === context.connect.authenticationMethod,
    /** MQTT-4.12.0-5, MQTT-4.12.1-1: every AUTH repeats the method of the CONNECT. */
    changesMethod: ({ context, event }) =>
      event.type === 'packet.auth' &&
      context.connect?.authenticationMethod !== undefined &&
      event.authenticationMethod !== context.connect.authenticationMethod,
  },
})
