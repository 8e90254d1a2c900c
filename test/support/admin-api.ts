/**
 * A broker with an open admin API, and those who ask it:
 *
 * ```ts
 * const { broker, ask } = await startAdmin()
 * const { status, body } = await ask('GET', '/api/v1/sessions?filter=all', { as: 'read' })
 * ```
 *
 * Each answer is held against the API's own OpenAPI document: one that is not in it fails the test.
 */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { onTestFinished } from 'vitest'

import { createBroker, type BrokerOptions, type InspectOptions, type Logger } from '../../src/index.ts'

export type Asker = 'metrics' | 'read' | 'operate'

/** Tokens of those who ask. */
export const tokens: Readonly<Record<Asker, string>> = {
  metrics: 'm'.repeat(40),
  read: 'r'.repeat(40),
  operate: 'o'.repeat(40),
}

export const allTokens: NonNullable<InspectOptions['tokens']> = (['metrics', 'read', 'operate'] as const).map(
  (role) => ({
    name: role,
    role,
    token: tokens[role],
  }),
)

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** The text as JSON; undefined: it is none. */
  readonly body: unknown
}

export interface AskOptions {
  readonly as?: Asker | undefined
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as JSON; a string as it is. */
  readonly body?: unknown
}

/** One line of the log. */
export interface Logged {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
  readonly details: object
}

class LogLines implements Logger {
  readonly lines: Logged[] = []
  readonly debug = this.#at('debug')
  readonly info = this.#at('info')
  readonly warn = this.#at('warn')
  readonly error = this.#at('error')

  readonly #watchers = new Set<() => void>()

  #at(level: Logged['level']) {
    return (details: object, message: string): void => {
      this.lines.push({ level, message, details })
      for (const watcher of this.#watchers) watcher()
    }
  }

  /** The first line that fits, come or to come. */
  find(fits: (line: Logged) => boolean): Promise<Logged> {
    return new Promise((resolve) => {
      const look = (): void => {
        const line = this.lines.find(fits)
        if (!line) return
        this.#watchers.delete(look)
        resolve(line)
      }
      this.#watchers.add(look)
      look()
    })
  }

  /** What operators did. */
  get audit(): readonly Readonly<Record<string, unknown>>[] {
    return this.lines.flatMap(({ details }) =>
      'audit' in details ? [(details as { audit: Record<string, unknown> }).audit] : [],
    )
  }
}

/** Opens a broker on real time with the admin API on a free port. */
export async function startAdmin(inspect: InspectOptions = {}, options: BrokerOptions = {}) {
  const log = new LogLines()
  const broker = createBroker({ logger: log, ...options, inspect: { port: 0, tokens: allTokens, ...inspect } })
  onTestFinished(() => broker.close({ drainTimeoutMs: 0 }))
  await broker.ready
  const { port } = broker.inspector!.address
  const raw = (method: string, path: string, { as, headers = {}, body }: AskOptions = {}): Promise<Answer> => {
    const isText = typeof body === 'string'
    const content = body === undefined ? undefined : isText ? body : JSON.stringify(body)
    const authorization = as === undefined ? {} : { authorization: `Bearer ${tokens[as]}` }
    const type = content === undefined ? {} : { 'content-type': 'application/json' }
    return send({ port, method, path, headers: { ...type, ...authorization, ...headers } }, content)
  }
  const document = JSON.parse((await raw('GET', '/api/v1/openapi.json', { as: 'read' })).text) as OpenApiDocument
  const judge = new AnswerJudge(document)
  const ask = async (method: string, path: string, asked: AskOptions = {}): Promise<Answer> => {
    const answer = await raw(method, path, asked)
    const fault = judge.faultOf(method, path, answer)
    if (fault !== undefined) throw new Error(`${method} ${path} answered ${answer.status}, ${fault}: ${answer.text}`)
    return answer
  }
  return { broker, port, log, document, raw, ask }
}

interface Destination {
  readonly port: number
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
}

/** Not `fetch`, which changes paths and does not let a caller name a host or an origin. */
export function send(to: Destination, content?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', agent: false, ...to }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (text += chunk))
      response.on('error', reject)
      response.on('end', () => {
        let body: unknown = undefined
        try {
          body = JSON.parse(text)
        } catch {
          // Not everything is JSON.
        }
        resolve({ status: response.statusCode!, headers: response.headers, text, body })
      })
    })
    request.on('error', reject)
    request.end(content)
  })
}

export interface StreamedEvent {
  readonly event: string
  readonly data: unknown
}

/** A stream of server-sent events, read as it comes. */
export class EventReader {
  readonly response: IncomingMessage
  readonly events: StreamedEvent[] = []
  readonly ended: Promise<void>
  #text = ''
  #wake: () => void = () => {}

  private constructor(response: IncomingMessage) {
    this.response = response
    response.setEncoding('utf8')
    response.on('data', (chunk: string) => {
      this.#text += chunk
      const records = this.#text.split('\n\n')
      this.#text = records.pop()!
      for (const record of records) {
        const [, event] = /^event: (.*)$/m.exec(record) ?? []
        const [, data] = /^data: (.*)$/m.exec(record) ?? []
        if (event !== undefined && data !== undefined) this.events.push({ event, data: JSON.parse(data) as unknown })
      }
      this.#wake()
    })
    this.ended = new Promise((resolve) => {
      response.on('close', () => {
        resolve()
        this.#wake()
      })
    })
    response.on('error', () => {})
  }

  static open(port: number, path: string, token: string): Promise<EventReader> {
    return new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${token}` }
      const request = httpRequest({ host: '127.0.0.1', port, path, headers, agent: false }, (response) => {
        if (response.statusCode === 200) resolve(new EventReader(response))
        else reject(new Error(`${path} answered ${response.statusCode}`))
        onTestFinished(() => void response.destroy())
      })
      request.on('error', reject)
      request.end()
    })
  }

  /** The first event that fits, come or to come. */
  async next<Data = unknown>(event: string, fits: (data: Data) => boolean = () => true): Promise<Data> {
    const find = (): StreamedEvent | undefined =>
      this.events.find((one) => one.event === event && fits(one.data as Data))
    await this.until(() => find() !== undefined)
    return find()!.data as Data
  }

  /** Waits until what has come fulfils a condition. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      if (this.response.closed) throw new Error(`the stream ended: ${JSON.stringify(this.events.slice(-3))}`)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
}

interface Operation {
  readonly operationId: string
  readonly 'x-role': string
  readonly 'x-events'?: object
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly required?: boolean }[]
  readonly requestBody?: object
  readonly responses: Readonly<
    Record<string, { readonly content: Readonly<Record<string, { readonly schema: object }>> }>
  >
}

export interface OpenApiDocument {
  readonly openapi: string
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, object>> }
}

/** Holds answers against the document. */
class AnswerJudge {
  readonly #document: OpenApiDocument
  readonly #ajv: Ajv2020
  readonly #compiled = new Map<string, ValidateFunction>()

  constructor(document: OpenApiDocument) {
    this.#document = document
    this.#ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true })
    this.#ajv.addSchema(document, 'api')
  }

  faultOf(method: string, path: string, { status, headers, body }: Answer): string | undefined {
    const [route = ''] = path.split('?', 1)
    const operation = this.#document.paths[route]?.[method.toLowerCase()]
    // What is no route at all is answered as a problem, too.
    const responses = operation?.responses ?? {}
    const [type = ''] = (headers['content-type'] ?? '').split(';', 1)
    const key = [String(status), `${String(status)[0]}XX`].find((one) => responses[one])
    if (key === undefined) return operation ? 'a status that is not in the document' : this.#problemFault(body)
    const content = responses[key]!.content[type]
    if (!content) return `the type ${type}, which is not in the document`
    if (type !== 'application/json' || body === undefined) return undefined
    const pointer = ['paths', route, method.toLowerCase(), 'responses', key, 'content', type, 'schema']
    return this.#fault(pointer, body)
  }

  #problemFault(body: unknown): string | undefined {
    return this.#fault(['components', 'schemas', 'Problem'], body)
  }

  #fault(pointer: readonly string[], body: unknown): string | undefined {
    const escaped = pointer.map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1')))
    const ref = `api#/${escaped.join('/')}`
    const validate = this.#compiled.get(ref) ?? this.#ajv.compile({ $ref: ref })
    this.#compiled.set(ref, validate)
    return validate(body) ? undefined : this.#ajv.errorsText(validate.errors)
  }
}
