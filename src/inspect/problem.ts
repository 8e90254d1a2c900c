import { StatemqError, type ErrorCode } from '../errors.ts'

/** What every answer that is not a success says. */
export interface Problem {
  readonly status: number
  readonly body: { readonly code: ErrorCode; readonly message: string; readonly offset?: number }
}

const statuses: Partial<Record<ErrorCode, number>> = {
  SMQ_API_REQUEST_INVALID: 400,
  SMQ_API_UNAUTHENTICATED: 401,
  SMQ_API_FORBIDDEN: 403,
  SMQ_API_NOT_FOUND: 404,
  SMQ_API_LIMIT: 429,
  SMQ_SESSION_UNKNOWN: 404,
  SMQ_SESSION_FILTER_INVALID: 400,
  SMQ_SESSION_CHANGE_INVALID: 400,
  SMQ_SESSION_LIMIT: 400,
  SMQ_SESSION_OFFLINE: 409,
  SMQ_OPTION_INVALID: 400,
  SMQ_TOPIC_INVALID: 400,
  SMQ_FILTER_INVALID: 400,
  SMQ_MESSAGE_INVALID: 400,
  SMQ_PUBLISH_REFUSED: 409,
  SMQ_BROKER_CLOSED: 503,
  SMQ_BAN_INVALID: 400,
  SMQ_BAN_LIMIT: 409,
  SMQ_JOB_FIXED: 409,
  SMQ_STORE_FULL: 503,
  SMQ_STORE_FAILED: 503,
  SMQ_STORE_CLOSED: 503,
  SMQ_STORE_UNAVAILABLE: 503,
  SMQ_STORE_REPLACED: 503,
}

/** Errors of the HTTP server itself, by their status. */
const codes: Readonly<Record<number, ErrorCode>> = {
  401: 'SMQ_API_UNAUTHENTICATED',
  403: 'SMQ_API_FORBIDDEN',
  404: 'SMQ_API_NOT_FOUND',
  429: 'SMQ_API_LIMIT',
}

/** An error of a status of its own, where the code alone does not say which. */
export class ApiError extends StatemqError {
  readonly status: number

  constructor(status: number, detail: string) {
    super(codes[status] ?? 'SMQ_API_REQUEST_INVALID', detail)
    this.status = status
  }
}

/** What is told of an error; undefined: it is a fault of ours, of which nothing is told but that. */
export function problemOf(error: unknown): Problem | undefined {
  if (error instanceof StatemqError) {
    const status = error instanceof ApiError ? error.status : statuses[error.code]
    if (status === undefined) return undefined
    const offset = error.offset === undefined ? {} : { offset: error.offset }
    return { status, body: { code: error.code, message: error.message, ...offset } }
  }
  // Fastify's own: a body that is no JSON, too large, of another type.
  const { statusCode, code } = error as { readonly statusCode?: unknown; readonly code?: unknown }
  if (typeof statusCode !== 'number' || statusCode < 400 || statusCode > 499) return undefined
  return problemOf(new ApiError(statusCode, typeof code === 'string' ? wordsOf(code) : 'it cannot be read'))
}

/** In our own words: Fastify's messages repeat what was sent. */
function wordsOf(code: string): string {
  switch (code) {
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return 'the content type has to be application/json'
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return 'the body is too large'
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return 'the body is empty'
    case 'FST_ERR_BAD_URL':
      return 'the URL cannot be read'
    default:
      return 'the body is no JSON'
  }
}

export const failure: Problem = {
  status: 500,
  body: { code: 'SMQ_API_FAILED', message: new StatemqError('SMQ_API_FAILED', 'the log says more').message },
}
