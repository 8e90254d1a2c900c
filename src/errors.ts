import type { ReasonCode } from './reason-codes.ts'

/**
 * Every error that the broker's API, its command line or its configuration raises, by code. The
 * texts are the first sentence of the message; `docs/errors.md` explains each code, and a test
 * holds the page and this table equal.
 */
export const errorTable = {
  SMQ_OPTION_INVALID: 'An option has a value that the broker cannot use',
  SMQ_ROLES_INVALID: 'The role definitions are not valid',
  SMQ_CONFIG_INVALID: 'The configuration file is not valid',
  SMQ_CONFIG_UNREADABLE: 'The configuration file could not be read',
  SMQ_PASSWORD_FILE_INVALID: 'The password file could not be used',
  SMQ_LISTEN_FAILED: 'The listener could not be opened',
  SMQ_LISTEN_UNPROTECTED: 'A listener reachable from other machines needs an authenticator or allowAnonymous',
  SMQ_TLS_INVALID: 'The TLS key, certificate or authority could not be used',
  SMQ_BROKER_CLOSED: 'The broker is draining or closed',
  SMQ_TOPIC_INVALID: 'The topic name is not valid',
  SMQ_FILTER_INVALID: 'The topic filter is not valid',
  SMQ_MESSAGE_INVALID: 'The message is not valid',
  SMQ_CLIENT_REFUSED: 'The broker refused the in-process client',
  SMQ_CLIENT_CLOSED: 'The in-process client is not connected',
  SMQ_SUBSCRIBE_REFUSED: 'The broker refused the subscription',
  SMQ_PUBLISH_REFUSED: 'The broker refused the message',
  SMQ_BAN_INVALID: 'The ban is none that the broker can hold somebody to',
  SMQ_BAN_LIMIT: 'There are as many bans as the limits allow',
  SMQ_SESSION_UNKNOWN: 'No session has this client identifier',
  SMQ_SESSION_FILTER_INVALID: 'The session filter is not valid',
  SMQ_SESSION_CHANGE_INVALID: 'The change is none that a session can take',
  SMQ_SESSION_OFFLINE: 'The session has no connection',
  SMQ_JOB_FIXED: 'This cannot be done with a job of that kind',
  SMQ_SESSION_LIMIT: 'The session would have more than its limits allow',
  SMQ_WATCH_OVERFLOW: 'An observer of sessions fell too far behind',
  SMQ_HOOK_TIMEOUT: 'A decision hook did not answer in time',
  SMQ_MACHINE_INVALID: 'The machine given does not have the states of a session machine',
  SMQ_STORE_LOCKED: 'Another process uses the store',
  SMQ_STORE_VERSION: 'The store has a format that this version does not read',
  SMQ_STORE_DAMAGED: 'The store is damaged',
  SMQ_STORE_FULL: 'The store has no room',
  SMQ_STORE_FAILED: 'The store could not write',
  SMQ_STORE_CLOSED: 'The store is not open',
  SMQ_STORE_UNAVAILABLE: 'The server of the store does not answer',
  SMQ_STORE_UNSUITABLE: 'The server of the store cannot keep what is asked of it',
  SMQ_STORE_REPLACED: 'The store is not the one that it was',
  SMQ_STORE_MODULE: 'The packages that the store needs are not installed',
  SMQ_INSPECT_UNPROTECTED: 'The admin API is not opened to other machines without protection',
  SMQ_API_REQUEST_INVALID: 'The request is none that the admin API takes',
  SMQ_API_UNAUTHENTICATED: 'The admin API does not know who asks',
  SMQ_API_FORBIDDEN: 'The admin API does not let this one do that',
  SMQ_API_NOT_FOUND: 'The admin API does not have what was asked for',
  SMQ_API_LIMIT: 'The admin API was asked for too much',
  SMQ_API_FAILED: 'The admin API failed',
  SMQ_API_UNREACHABLE: 'The admin API does not answer',
  SMQ_CONNECT_FAILED: 'The broker could not be connected to',
  SMQ_MESSAGES_MISSING: 'Fewer messages came than were waited for',
  SMQ_USAGE: 'The command line is not valid',
} as const

/** The code of a {@link StatemqError}. */
export type ErrorCode = keyof typeof errorTable

/** Where in a configuration file an error lies: both counted from 1. */
export interface ErrorPosition {
  readonly file: string
  readonly line: number
  readonly column: number
}

/** The one error class that the broker throws at its callers: compare `code`, not the message. */
export class StatemqError extends Error {
  override readonly name = 'StatemqError'
  readonly code: ErrorCode
  /** The MQTT reason code behind a refusal, where one exists. */
  readonly reasonCode: ReasonCode | undefined
  readonly position: ErrorPosition | undefined
  /** Where in a session filter the error lies, in UTF-16 units from 0. */
  readonly offset: number | undefined

  constructor(
    code: ErrorCode,
    detail?: string,
    options: { cause?: unknown; reasonCode?: ReasonCode; position?: ErrorPosition; offset?: number } = {},
  ) {
    super(
      detail ? `${errorTable[code]}: ${detail}` : errorTable[code],
      options.cause === undefined ? {} : { cause: options.cause },
    )
    this.code = code
    this.reasonCode = options.reasonCode
    this.position = options.position
    this.offset = options.offset
  }
}

/**
 * What a peer did wrong on the wire, with the reason code that the specification assigns to it.
 * It ends one connection and is never thrown at an embedder. `silent` asks for a close without any
 * packet (a first packet that is not CONNECT, MQTT-3.1.0-1).
 */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
  readonly reasonCode: ReasonCode
  readonly silent: boolean

  constructor(reasonCode: ReasonCode, reason: string, silent = false) {
    super(reason)
    this.reasonCode = reasonCode
    this.silent = silent
  }
}
