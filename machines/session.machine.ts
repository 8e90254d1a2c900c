import { Code, NO_ATTRIBUTES, sessionSetup } from './session.setup.ts'
import {
  admissionKept,
  armedUntil,
  breach,
  changedOffline,
  changedOnline,
  connectionFailed,
  denied,
  disconnected,
  disconnectedAsTold,
  disconnectedForFailure,
  dropped,
  disconnectedForReauthentication,
  ended,
  endedAsTold,
  endedOnline,
  failureEmitted,
  farewellOf,
  graceOver,
  grantKept,
  grantOver,
  lostBeforeOnline,
  only,
  reauthenticationFailed,
  refusedFor,
  resumption,
  revokedOffline,
  revokedOnline,
  takeover,
  unanswered,
  undecided,
  whenChallenged,
  whenDenied,
  whenIncumbentChanged,
  whenTakeoverAllowed,
  whenUnclaimed,
} from './session.transitions.ts'

export type {
  AdmissionOutcome,
  AuthenticationOutcome,
  Changes,
  Denial,
  Farewell,
  Handover,
  SessionContext,
  SessionEmitted,
  SessionEnd,
  SessionEvent,
  SessionInput,
  SessionOutput,
  Standing,
  Takeover,
  WillSummary,
} from './session.types.ts'

/**
 * The life of a session, and the chart that a person sees. A connection starts an actor in
 * `connecting`; if no session lives under its client identifier the actor becomes that session,
 * otherwise it hands its connection over and ends. Packets of the data plane (PUBLISH,
 * acknowledgements, SUBSCRIBE, pings) never come here: `online` opens and closes their stream.
 */
export const sessionMachine = sessionSetup.createMachine({
  id: 'session',
  initial: 'connecting',
  context: ({ input }) => ({
    sessionId: input.sessionId,
    startedAtMs: input.startedAtMs,
    connection: input.connection,
    connect: undefined,
    grant: undefined,
    standing: 'valid',
    sessionAttributes: NO_ATTRIBUTES,
    connectionAttributes: NO_ATTRIBUTES,
    will: undefined,
    sessionExpiryIntervalSeconds: 0,
    expiresAtMs: undefined,
    epoch: 0,
    resumed: false,
    end: undefined,
  }),
  output: ({ context }) => context.end ?? { reason: 'shutdown', reasonCode: undefined },
  on: {
    '*': { actions: 'emitIgnored' },
  },
  states: {
    connecting: {
      entry: 'armConnectDeadline',
      on: {
        ...lostBeforeOnline,
        'packet.connect': { target: 'authenticating', actions: 'keepConnect' },
        // MQTT-3.1.0-1: anything before CONNECT; the codec finds it first, and there is nobody to answer yet.
        'packet.*': { target: 'expired', actions: ['closeConnection', ended('protocol-error', Code.ProtocolError)] },
        'deadline.connect': { target: 'expired', actions: ['closeConnection', ended('connect-timeout')] },
        'session.disconnect': { target: 'expired', actions: ['closeConnection', endedAsTold('server-disconnect')] },
        'session.revoke': { target: 'expired', actions: ['closeConnection', ended('revoked')] },
        'broker.drain': { target: 'expired', actions: ['closeConnection', ended('shutdown')] },
      },
    },

    authenticating: {
      initial: 'arriving',
      states: {
        /** Left at once: into `online` when everything is decided already, else to ask who the client is. */
        arriving: {
          always: [
            { guard: 'isAdmittedAtOnce', target: '#session.online', actions: ['keepImmediate', 'register'] },
            { target: 'identity' },
          ],
        },
        identity: {
          invoke: {
            src: 'authenticate',
            input: ({ context }) => ({ sessionId: context.sessionId }),
            onDone: [
              { guard: whenChallenged, target: '#session.enhanced-auth', actions: 'sendChallenge' },
              denied,
              { target: 'admission', actions: grantKept },
            ],
            onError: undecided('authentication failed'),
          },
        },
        admission: {
          invoke: {
            src: 'admit',
            input: ({ context }) => ({ sessionId: context.sessionId, grant: context.grant! }),
            onDone: [
              denied,
              { guard: whenIncumbentChanged, target: 'admission', reenter: true },
              { guard: whenUnclaimed, target: 'claiming', actions: admissionKept },
              { guard: whenTakeoverAllowed, target: 'claiming', actions: admissionKept },
              // The same answer whoever lives there, online or not (threat 82).
              refusedFor('not authorized'),
            ],
            onError: undecided('admission failed'),
          },
        },
        /** Left at once: the client identifier is the newcomer's, and so is the session under it if it wants that. */
        claiming: {
          always: [
            {
              guard: 'takesOverTooOften',
              ...refusedFor('too many takeovers', 'refused', Code.ConnectionRateExceeded),
            },
            { guard: 'exceedsQuota', ...refusedFor('too many sessions', 'refused', Code.QuotaExceeded) },
            { guard: 'resumesIncumbent', target: '#session.expired', actions: [ended('handed-over'), 'handOver'] },
            { target: '#session.online', actions: ['discardIncumbent', 'register'] },
          ],
        },
      },
      on: unanswered,
    },

    /** The broker has asked with AUTH 0x18 and waits for the client's answer. */
    'enhanced-auth': {
      on: {
        ...unanswered,
        'packet.auth': [
          { guard: 'continuesExchange', target: 'authenticating' },
          { guard: 'changesMethod', ...breach(Code.BadAuthenticationMethod, 'another authentication method') },
          breach(Code.ProtocolError, 'AUTH 0x18 was due'),
        ],
      },
    },

    online: {
      type: 'parallel',
      entry: ['cancelDeadlines', 'sendConnack', 'openPackets', 'armWill', 'emitOnline'],
      exit: ['closePackets', 'forgetConnectionAttributes'],
      states: {
        /** Whether the grant stands. A region of its own: its time passes during a re-authentication too. */
        authority: {
          initial: 'valid',
          states: {
            /** Its deadlines, where it has any, are armed with the connection. */
            valid: {
              on: {
                'deadline.expiring': 'expiring',
                'deadline.grant': grantOver,
              },
            },
            expiring: {
              entry: ['emitExpiring', armedUntil('end')],
              on: { 'deadline.grant': grantOver },
            },
            /** It has ended, and its rights go on for `limits.grantGraceMs`. */
            grace: {
              entry: armedUntil('grace'),
              on: { 'deadline.grant': graceOver },
            },
            /** Connected without any right, where `grantExpiry` is `stay-without-rights`. */
            lapsed: {},
          },
          on: {
            'grant.renewed': { guard: 'hasStanding', target: '.valid', actions: armedUntil('warning') },
          },
        },
        /** MQTT 5 section 4.12.1. Everything else keeps flowing under the grant there is. */
        reauthentication: {
          initial: 'idle',
          states: {
            idle: {
              on: {
                'packet.auth': [
                  { guard: 'opensReauthentication', target: 'underway' },
                  {
                    guard: 'changesMethod',
                    actions: connectionFailed(Code.BadAuthenticationMethod, 'another authentication method'),
                  },
                  { actions: connectionFailed(Code.ProtocolError, 'AUTH out of turn') },
                ],
              },
            },
            underway: {
              initial: 'deciding',
              entry: 'armAuthenticationDeadline',
              exit: 'endReauthentication',
              on: {
                'deadline.authentication': {
                  actions: reauthenticationFailed(Code.NotAuthorized, 're-authentication took too long'),
                },
                'reauthentication.failed': [
                  { guard: 'staysAfterFailure', target: 'idle', actions: failureEmitted },
                  { actions: [failureEmitted, disconnectedForReauthentication] },
                ],
              },
              states: {
                deciding: {
                  invoke: {
                    src: 'authenticate',
                    input: ({ context }) => ({ sessionId: context.sessionId }),
                    onDone: [
                      { guard: whenChallenged, target: 'challenged', actions: 'sendChallenge' },
                      {
                        guard: whenDenied,
                        actions: {
                          type: 'failReauthentication',
                          params: ({ event }) => farewellOf(only(event.output, 'denied')),
                        },
                      },
                      {
                        target: '#session.online.reauthentication.idle',
                        // Semantics 7.6: all of it in one step, so nobody sees one grant with the deadline of another.
                        actions: [
                          grantKept,
                          'announceRenewal',
                          'sendAuthenticated',
                          'emitReauthenticated',
                          'renewWill',
                          'reauthorise',
                        ],
                      },
                    ],
                    onError: { actions: reauthenticationFailed(Code.NotAuthorized, 're-authentication failed') },
                  },
                  on: {
                    'packet.auth': { actions: connectionFailed(Code.ProtocolError, 'AUTH out of turn') },
                  },
                },
                challenged: {
                  on: {
                    'packet.auth': [
                      { guard: 'continuesExchange', target: 'deciding' },
                      {
                        guard: 'changesMethod',
                        actions: connectionFailed(Code.BadAuthenticationMethod, 'another authentication method'),
                      },
                      { actions: connectionFailed(Code.ProtocolError, 'AUTH 0x18 was due') },
                    ],
                  },
                },
              },
            },
          },
        },
        delivery: {
          initial: 'waking',
          states: {
            /** What is unacknowledged goes out again, then what queued up, then live messages. */
            waking: {
              entry: 'wakeDelivery',
              always: { guard: 'nothingToWake', target: 'flowing' },
              on: {
                'delivery.ready': 'flowing',
                'delivery.blocked': 'throttled',
              },
            },
            flowing: {
              on: { 'delivery.blocked': 'throttled' },
            },
            /** The client does not read: its outbox holds back, and its requests are not read either. */
            throttled: {
              entry: 'holdDelivery',
              exit: 'releaseDelivery',
              on: { 'delivery.drained': 'flowing' },
            },
          },
        },
      },
      on: {
        'packet.disconnect': [
          {
            guard: 'raisesExpiryFromZero',
            actions: connectionFailed(Code.ProtocolError, 'session expiry was 0 and cannot be raised'),
          },
          {
            guard: 'keepsWillAndOutlives',
            target: 'offline',
            actions: ['keepExpiryChange', 'closeConnection', 'releaseWill'],
          },
          {
            guard: 'outlivesDisconnect',
            target: 'offline',
            actions: ['keepExpiryChange', 'closeConnection', 'cancelWill'],
          },
          {
            guard: 'keepsWill',
            target: 'expired',
            actions: ['keepExpiryChange', 'closeConnection', ended('client-disconnect')],
          },
          {
            target: 'expired',
            actions: ['keepExpiryChange', 'closeConnection', 'cancelWill', ended('client-disconnect')],
          },
        ],
        // MQTT-3.1.0-2 is the codec's to find; this answers anything that comes past it.
        'packet.connect': {
          actions: connectionFailed(Code.ProtocolError, 'a second CONNECT'),
        },
        'connection.closed': dropped([], ended('connection-lost')),
        'connection.failed': dropped([disconnectedForFailure], endedAsTold('protocol-error')),
        // MQTT-3.1.2-22: as if the network had failed.
        'keepalive.lost': dropped(
          [disconnected(Code.KeepAliveTimeout, 'keepalive')],
          ended('keepalive-lost', Code.KeepAliveTimeout),
        ),
        'session.disconnect': dropped([disconnectedAsTold], endedAsTold('server-disconnect')),
        // A newcomer looks before it hands over; should this session change in between, either event will do.
        'session.takeover': takeover,
        'session.resume': takeover,
        'session.discard': {
          target: 'expired',
          actions: [
            disconnected(Code.SessionTakenOver, 'taken over'),
            'emitTakenOver',
            ended('replaced', Code.SessionTakenOver),
          ],
        },
        'session.revoke': revokedOnline,
        ...changedOnline,
        'deadline.connection': dropped(
          [disconnected(Code.MaximumConnectTime, 'the connection has lasted as long as it may')],
          ended('server-disconnect', Code.MaximumConnectTime),
        ),
        'session.expire': endedOnline('administrative', Code.AdministrativeAction, 'session ended by the operator'),
        'broker.drain': [
          {
            guard: 'outlivesProcess',
            target: 'offline',
            actions: [disconnected(Code.ServerShuttingDown, 'shutting down'), 'releaseWill'],
          },
          endedOnline('shutdown', Code.ServerShuttingDown, 'shutting down'),
        ],
        // `will.settled` is ignored here: it speaks of the will of an earlier connection.
      },
    },

    offline: {
      entry: ['startExpiry', 'armSessionDeadline', 'emitOffline'],
      exit: 'cancelDeadlines',
      on: {
        'session.resume': resumption,
        'session.takeover': resumption,
        'session.discard': { target: 'expired', actions: ended('replaced') },
        'deadline.session': { target: 'expired', actions: ended('session-expired') },
        'session.revoke': revokedOffline,
        ...changedOffline,
        'session.expire': { target: 'expired', actions: ended('administrative') },
        // The store has it: the next process goes on with it.
        'broker.drain': [{ guard: 'outlivesProcess' }, { target: 'expired', actions: ended('shutdown') }],
        'will.settled': { actions: 'forgetWill' },
      },
    },

    expired: {
      type: 'final',
      // A session that ends sends what will it still has (MQTT-3.1.2-8); a newcomer never armed one.
      entry: ['cancelDeadlines', 'fireWill', 'dropSession'],
    },
  },
})

/** The machine of a session, or the same with implementations of your own. */
export type SessionMachine = typeof sessionMachine
