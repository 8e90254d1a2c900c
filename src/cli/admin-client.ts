import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'

import { StatemqError, errorTable, type ErrorCode } from '../errors.ts'
import { visible } from './terminal-text.ts'

/** Milliseconds that a request may take. */
const REQUEST_TIMEOUT_MS = 30_000
/** Of an answer: a thousand sessions are half a megabyte. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024

export interface AdminTarget {
  readonly url: URL
  /** Undefined: asked without. */
  readonly token: string | undefined
  /** PEM: the authority of the server's certificate, where the system does not know it. */
  readonly ca: Buffer | undefined
}

export type Query = Readonly<Record<string, string | number | boolean | undefined>>

/** Asks a broker's admin API; see docs/admin-api.md. Errors of the API are thrown under their own codes. */
export class AdminClient {
  readonly #target: AdminTarget

  constructor(target: AdminTarget) {
    this.#target = target
  }

  get<Answer>(path: string, query: Query = {}): Promise<Answer> {
    return this.#ask<Answer>('GET', path, query, undefined)
  }

  post<Answer>(path: string, body: object): Promise<Answer> {
    return this.#ask<Answer>('POST', path, {}, body)
  }

  delete<Answer>(path: string, query: Query): Promise<Answer> {
    return this.#ask<Answer>('DELETE', path, query, undefined)
  }

  /** The same with the status, whatever it is: for health, where 503 is an answer. */
  async look(path: string): Promise<{ readonly status: number; readonly body: unknown }> {
    return this.#send('GET', path, {}, undefined)
  }

  async #ask<Answer>(method: string, path: string, query: Query, body: object | undefined): Promise<Answer> {
    const answer = await this.#send(method, path, query, body)
    if (answer.status < 200 || answer.status >= 300) throw problemOf(answer.status, answer.body)
    return answer.body as Answer
  }

  async #send(method: string, path: string, query: Query, body: object | undefined) {
    const url = new URL(path, this.#target.url)
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, String(value))
    const { token, ca } = this.#target
    const text = body === undefined ? undefined : JSON.stringify(body)
    const headers = {
      accept: 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
    }
    const isTls = url.protocol === 'https:'
    try {
      const response = await new Promise<IncomingMessage>((resolve, reject) => {
        const options = { method, headers, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) }
        const request = isTls ? httpsRequest(url, { ...options, ...(ca ? { ca } : {}) }) : httpRequest(url, options)
        request.once('response', resolve).once('error', reject).end(text)
      })
      return { status: response.statusCode ?? 0, body: parsed(await read(response)) }
    } catch (error) {
      if (error instanceof StatemqError) throw error
      const { code, message } = error as NodeJS.ErrnoException
      const detail = `${url.origin}: ${code === 'ECONNREFUSED' ? 'nobody listens there' : message}`
      throw new StatemqError('SMQ_API_UNREACHABLE', detail, { cause: error })
    }
  }
}

async function read(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let total = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    total += chunk.length
    if (total > MAX_ANSWER_BYTES) throw new StatemqError('SMQ_API_FAILED', `more than ${MAX_ANSWER_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new StatemqError('SMQ_API_FAILED', 'the answer is no JSON; is this the admin API of a statemq?', {
      cause: error,
    })
  }
}

/** What the API says of a failure, under its code. */
function problemOf(status: number, body: unknown): StatemqError {
  const { code, message, offset } = (body ?? {}) as { code?: string; message?: string; offset?: number }
  const known = typeof code === 'string' && Object.hasOwn(errorTable, code) ? (code as ErrorCode) : 'SMQ_API_FAILED'
  const detail = String(message ?? `status ${status}`).replace(`${errorTable[known]}: `, '')
  const isBare = detail === errorTable[known]
  return new StatemqError(known, isBare ? undefined : visible(detail), offset === undefined ? {} : { offset })
}
