import { assign, emit, fromPromise, raise, setup } from 'xstate'

import type { ConnectRequest, Grant } from '../src/hooks.ts'
import type { ReasonCode as ReasonCodeTable } from '../src/reason-codes.ts'
import { changesBetween, frozenRecord, isChange, isSameList } from './session.changes.ts'
import type {
  AdmissionOutcome,
  AuthenticationOutcome,
  Farewell,
  SessionContext,
  SessionEmitted,
  SessionEvent,
  SessionInput,
  SessionOutput,
  Standing,
  Takeover,
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
  QuotaExceeded: 0x97,
  AdministrativeAction: 0x98,
  ConnectionRateExceeded: 0x9f,
  MaximumConnectTime: 0xa0,
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

export const NO_ATTRIBUTES: SessionContext['sessionAttributes'] = frozenRecord({})

/** The grant that the context has from now on: a candidate may leave the properties as they are at this moment. */
function committed(candidate: Grant, keepsProperties: boolean | undefined, { grant: present }: SessionContext): Grant {
  if (keepsProperties !== true || present === undefined) return candidate
  const { properties, propertySources } = present
  return Object.freeze({ ...candidate, properties, propertySources })
}

/** Grants are never written to: a change is another grant. */
function changedGrant({ grant }: SessionContext, changes: Partial<Grant>): Grant | undefined {
  return grant && Object.freeze({ ...grant, ...changes })
}

/** An embedder's own `authenticate` may have made a grant with what it had a use for only. */
function rolesOf({ grant }: SessionContext): readonly string[] {
  return (grant as Partial<Grant> | undefined)?.roles ?? []
}

function propertyChanges(context: SessionContext, event: SessionEvent) {
  return changesBetween(context.grant?.properties ?? {}, event.type === 'properties.change' ? event.properties : {})
}

function scopeOf(event: SessionEvent): 'sessionAttributes' | 'connectionAttributes' {
  return event.type === 'attributes.change' && event.scope === 'connection'
    ? 'connectionAttributes'
    : 'sessionAttributes'
}

function attributeChanges(context: SessionContext, event: SessionEvent) {
  if (event.type !== 'attributes.change') return {}
  return changesBetween(context[scopeOf(event)], event.attributes)
}

export interface Kept {
  readonly sessionExpiryIntervalSeconds: number
  readonly connect: ConnectRequest | undefined
}

/** What the option `takeover` says. Whoever is nobody owns what nobody owns, and never what somebody does. */
function ownsSession({ previousPrincipal, nextPrincipal, previousState, policy }: Takeover): boolean {
  switch (policy) {
    case 'same-principal':
      return nextPrincipal === previousPrincipal
    case 'same-principal-when-offline':
      return nextPrincipal === previousPrincipal && previousState === 'offline'
    case 'anyone':
      return (nextPrincipal === undefined) === (previousPrincipal === undefined)
  }
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
    /** Takes the deadline back, and gives up an exchange that has not ended. */
    endReauthentication: provided('endReauthentication'),
    /**
     * Schedules the next thing that happens to the grant, in place of any before: its `warning` (or its end, where it
     * gets none), its `end`, or the end of its `grace`. Nothing for a grant that never ends.
     */
    armGrantDeadline: providedWith<{ until: 'warning' | 'end' | 'grace' }>('armGrantDeadline'),
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
    /**
     * Opens the stream of PUBLISH, SUBSCRIBE, acknowledgements and pings; starts the keepalive, and what deadlines the
     * connection and its grant have.
     */
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
    /**
     * For states of your own: messages wait for the session as they do for a client that does not read, and shared
     * ones go to others. Everything else goes on: acknowledgements, pings, what the client publishes.
     */
    suspendDelivery: provided('suspendDelivery'),
    /** What has waited goes out. */
    resumeDelivery: provided('resumeDelivery'),
    armWill: provided('armWill'),
    /** Starts the delay; publishes at once when there is none. */
    releaseWill: provided('releaseWill'),
    /** Publishes whatever the delay: the session ends. Nothing to do where no will was armed. */
    fireWill: provided('fireWill'),
    cancelWill: provided('cancelWill'),
    /** The grant was taken away: a will that is not published yet never is (semantics 7.2). */
    withholdWill: provided('withholdWill'),
    /** The will speaks for who the session is now. */
    renewWill: provided('renewWill'),
    /** What waits and what is unacknowledged is not for this client any more. */
    giveUpMessages: provided('giveUpMessages'),
    /** Once this transition is over: looks again at what the session may do (semantics 7.6, 7.7). */
    reauthorise: provided('reauthorise'),
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
    /** Grant and standing change together, so that nobody sees the one without the other. */
    keepGrant: assign(({ context }, params: { grant: Grant; keepsProperties: boolean | undefined }) => ({
      grant: committed(params.grant, params.keepsProperties, context),
      standing: 'valid' as const,
    })),
    keepStanding: assign((_, params: { standing: Standing }) => ({ standing: params.standing })),
    keepRoles: assign(({ context, event }) => {
      if (event.type !== 'roles.change') return {}
      return { grant: changedGrant(context, { roles: Object.freeze([...event.roles]) }) }
    }),
    keepProperties: assign(({ context, event }) => {
      if (event.type !== 'properties.change') return {}
      const properties = frozenRecord(event.properties)
      return { grant: changedGrant(context, { properties, propertySources: frozenRecord(event.propertySources) }) }
    }),
    keepAttributes: assign(({ event }) => {
      if (event.type !== 'attributes.change') return {}
      return { [scopeOf(event)]: frozenRecord(event.attributes) }
    }),
    /** Nobody is told: that the connection has ended says it. */
    forgetConnectionAttributes: assign({ connectionAttributes: NO_ATTRIBUTES }),
    keepAdmission: assign((_, { sessionExpiryIntervalSeconds, connect }: Kept) => ({
      sessionExpiryIntervalSeconds,
      ...(connect ? { connect } : {}),
      epoch: 1,
    })),
    keepHandover: assign(({ context, event }) => {
      if (event.type !== 'session.resume' && event.type !== 'session.takeover') return {}
      return {
        connection: event.connection,
        connect: event.connect,
        grant: event.grant,
        standing: 'valid' as const,
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
    /** The same result whoever found it: an authenticator, a failure, the time limit. */
    failReauthentication: raise((_, params: Farewell) => ({ type: 'reauthentication.failed', ...params })),
    /** MQTT-4.12.1-2: it ends the connection, as any other DISCONNECT of the server. */
    disconnectForReauthentication: raise((_, params: Farewell) => ({ type: 'session.disconnect', ...params })),
    /** The region that watches the grant begins anew. */
    announceRenewal: raise({ type: 'grant.renewed' }),

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
    emitReauthenticationFailed: emit((_, params: { reasonCode: Farewell['reasonCode']; reason: string }) => ({
      type: 'session.reauthentication-failed' as const,
      reasonCode: params.reasonCode,
      reason: params.reason,
    })),
    emitExpiring: emit(({ context }) => ({
      type: 'authority.expiring' as const,
      expiresAtMs: context.grant?.expiresAtMs ?? Infinity,
    })),
    emitExpired: emit({ type: 'authority.expired' }),
    emitRevoked: emit((_, params: { reason: string }) => ({
      type: 'authority.revoked' as const,
      reason: params.reason,
    })),
    emitRolesChanged: emit(({ context, event }) => ({
      type: 'roles.changed' as const,
      roles: event.type === 'roles.change' ? event.roles : [],
      previous: rolesOf(context),
    })),
    emitPropertiesChanged: emit(({ context, event }) => ({
      type: 'properties.changed' as const,
      changes: propertyChanges(context, event),
    })),
    emitAttributesChanged: emit(({ context, event }) => ({
      type: 'attributes.changed' as const,
      scope: event.type === 'attributes.change' ? event.scope : 'session',
      changes: attributeChanges(context, event),
    })),
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
      params: { incumbent: string | undefined; takeover: Takeover | undefined },
    ) => boolean,
    /** No session lives under the client identifier. */
    isUnclaimed: (_, params: { takeover: Takeover | undefined }) => params.takeover === undefined,
    /** Semantics 7.4: a session belongs to its principal until it expires; or `onTakeover` has allowed it. */
    mayTakeOver: (_, takeover: Takeover) => takeover.isAllowedByHook || ownsSession(takeover),
    /** Too many took the client identifier over lately (`limits.maxTakeoversPerTenSeconds`). */
    takesOverTooOften: provided('takesOverTooOften') as () => boolean,
    /** One session more than the broker keeps, or than the principal may have. */
    exceedsQuota: provided('exceedsQuota') as () => boolean,
    /** A session with state lives under this client identifier, and the client wants it and gets it. */
    resumesIncumbent: provided('resumesIncumbent') as () => boolean,
    /** Nothing unacknowledged and nothing queued is left to send first. */
    nothingToWake: provided('nothingToWake') as () => boolean,
    /** `limits.grantGraceMs` is above 0. */
    hasGrace: provided('hasGrace') as () => boolean,
    /** `grantExpiry` is `stay-without-rights`. */
    staysWithoutRights: provided('staysWithoutRights') as () => boolean,
    /** `failedReauthentication` is `keep`. */
    staysAfterFailure: provided('staysAfterFailure') as () => boolean,
    hasStanding: ({ context }) => context.standing === 'valid',
    /** The order counts: a list is what it was given as. */
    changesRoles: ({ context, event }) =>
      event.type === 'roles.change' && context.grant !== undefined && !isSameList(event.roles, rolesOf(context)),
    changesProperties: ({ context, event }) => context.grant !== undefined && isChange(propertyChanges(context, event)),
    changesAttributes: ({ context, event }) => isChange(attributeChanges(context, event)),
    /** The same where there is no connection to have any. */
    changesSessionAttributes: ({ context, event }) =>
      event.type === 'attributes.change' && event.scope === 'session' && isChange(attributeChanges(context, event)),
    outlivesConnection: ({ context }) => context.sessionExpiryIntervalSeconds > 0,
    /** A store keeps it, for when the broker starts again. */
    outlivesProcess: () => false,
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
