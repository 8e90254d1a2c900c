import { Code, sessionSetup } from './session.setup.ts'
import {
  admissionKept,
  breach,
  connectionFailed,
  denied,
  disconnected,
  disconnectedAsTold,
  disconnectedForFailure,
  dropped,
  ended,
  endedAsTold,
  endedOnline,
  farewellOf,
  grantKept,
  lostBeforeOnline,
  only,
  reauthenticationFailed,
  resumption,
  takeover,
  unanswered,
  undecided,
  whenChallenged,
  whenDenied,
} from './session.transitions.ts'

import type { SessionContext } from './session.types.ts'

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
  WillSummary,
} from './session.types.ts'

const NO_ATTRIBUTES: SessionContext['sessionAttributes'] = Object.freeze(Object.create(null))

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
              {
                guard: {
                  type: 'incumbentChanged',
                  params: ({ event }) => ({ incumbent: only(event.output, 'admitted').incumbent }),
                },
                target: 'admission',
                reenter: true,
              },
              {
                guard: 'resumesIncumbent',
                target: '#session.expired',
                actions: [admissionKept, ended('handed-over'), 'handOver'],
              },
              { target: '#session.online', actions: [admissionKept, 'discardIncumbent', 'register'] },
            ],
            onError: undecided('admission failed'),
          },
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
      exit: ['closePackets', 'cancelAuthenticationDeadline'],
      states: {
        authority: {
          initial: 'valid',
          states: {
            valid: {
              on: {
                'packet.auth': [
                  { guard: 'opensReauthentication', target: 'reauthenticating' },
                  {
                    guard: 'changesMethod',
                    actions: connectionFailed(Code.BadAuthenticationMethod, 'another authentication method'),
                  },
                  { actions: connectionFailed(Code.ProtocolError, 'AUTH out of turn') },
                ],
              },
            },
            /** Everything else keeps flowing under the grant it has (MQTT 5 section 4.12.1). */
            reauthenticating: {
              initial: 'deciding',
              entry: 'armAuthenticationDeadline',
              exit: 'cancelAuthenticationDeadline',
              on: {
                'deadline.authentication': {
                  actions: reauthenticationFailed(Code.NotAuthorized, 're-authentication took too long'),
                },
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
                        target: '#session.online.authority.valid',
                        actions: [grantKept, 'sendAuthenticated', 'emitReauthenticated'],
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
        'session.expire': endedOnline('administrative', Code.AdministrativeAction, 'session ended by the operator'),
        'broker.drain': endedOnline('shutdown', Code.ServerShuttingDown, 'shutting down'),
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
        'session.expire': { target: 'expired', actions: ended('administrative') },
        'broker.drain': { target: 'expired', actions: ended('shutdown') },
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
