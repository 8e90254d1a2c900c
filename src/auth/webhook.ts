import { createHmac, randomBytes } from 'node:crypto'
import { isUtf8 } from 'node:buffer'

import { StatemqError } from '../errors.ts'
import { deny, type Allow, type AuthenticationRequest, type Authenticator, type Deny, type Next } from '../hooks.ts'
import { reachesOtherMachines, type Clock } from '../options.ts'
import { ReasonCode } from '../reason-codes.ts'
import { Gate } from './gate.ts'
import { verdictFault } from './verdict.ts'
import { VerdictCache } from './verdict-cache.ts'
import { WebhookClient, type WebhookAnswer } from './webhook-request.ts'

/** What `webhook` takes. */
export interface WebhookOptions {
  /** One endpoint; nothing that a client says is part of it. `http:` only to this machine, see `allowPlainHttp`. */
  readonly url: string | URL
  /** Default `webhook`. */
  readonly name?: string
  /** Headers of every request, such as `authorization`. */
  readonly headers?: Readonly<Record<string, string>>
  /** PEM: authorities of the endpoint's certificate. Default: Node's. */
  readonly ca?: string | Buffer
  /** Send passwords to another machine without TLS. Default false. */
  readonly allowPlainHttp?: boolean
  /** From the request to the end of the answer. Default 4000, less than `limits.decisionTimeoutMs`. */
  readonly timeoutMs?: number
  /** Requests at a time. Default 20. */
  readonly maxConcurrentRequests?: number
  /** Clients that wait for theirs; one more gets 0x89. Default 1000. */
  readonly maxWaitingRequests?: number
  /** Of an answer. Default 65,536. */
  readonly maxAnswerBytes?: number
  /** Allowing answers that are kept where `Cache-Control: max-age` says so. Default 10,000; 0: none. */
  readonly maxCachedAnswers?: number
  /** Longest time that an answer is kept, whatever its `max-age`. Default 300. */
  readonly maxCacheSeconds?: number
  /** For cached answers. Default: the system's. */
  readonly clock?: Pick<Clock, 'nowMs'>
}

type Answered = Allow | Deny | Next

const defaults = {
  name: 'webhook',
  headers: {},
  timeoutMs: 4_000,
  maxConcurrentRequests: 20,
  maxWaitingRequests: 1_000,
  maxAnswerBytes: 65_536,
  maxCachedAnswers: 10_000,
  maxCacheSeconds: 300,
}

/**
 * Asks an HTTP endpoint about each CONNECT without an authentication method. What is not a clear
 * answer, in time and with status 200, refuses the client (threat 73). The exchange is described in
 * docs/authenticators.md. Throws SMQ_OPTION_INVALID.
 */
export function webhook(options: WebhookOptions): Authenticator {
  return new Webhook(options)
}

const busy = deny(ReasonCode.ServerBusy, 'too many clients are being authenticated')

class Webhook implements Authenticator {
  readonly name: string
  readonly #client: WebhookClient
  readonly #gate: Gate
  readonly #cache: VerdictCache
  readonly #maxCacheSeconds: number
  readonly #clock: Pick<Clock, 'nowMs'>
  /** Of this process: what the cache holds is worth nothing elsewhere. */
  readonly #key = randomBytes(32)
  /** Requests under way, so that clients that say the same share one. */
  readonly #flights = new Map<string, Flight>()
  /** All of them, also those that nobody else may share any more. */
  readonly #underWay = new Set<Promise<Answered>>()
  /** How often it was told to forget somebody. */
  #revocations = 0

  constructor(options: WebhookOptions) {
    const url = checkedUrl(options)
    const settings = { ...defaults, ...options }
    for (const name of numberNames) {
      const least = name === 'maxCachedAnswers' || name === 'maxCacheSeconds' || name === 'maxWaitingRequests' ? 0 : 1
      if (!Number.isSafeInteger(settings[name]) || settings[name] < least || settings[name] > 0x7fff_ffff)
        throw new StatemqError('SMQ_OPTION_INVALID', `${name}: expected a whole number of ${least} or more`)
    }
    this.name = settings.name
    this.#maxCacheSeconds = settings.maxCacheSeconds
    this.#clock = options.clock ?? { nowMs: Date.now }
    this.#gate = new Gate(settings.maxConcurrentRequests, settings.maxWaitingRequests)
    this.#cache = new VerdictCache(settings.maxCachedAnswers)
    this.#client = new WebhookClient({
      url,
      headers: settings.headers,
      ca: options.ca,
      maxConnections: settings.maxConcurrentRequests,
      timeoutMs: settings.timeoutMs,
      maxBytes: settings.maxAnswerBytes,
    })
  }

  authenticate(request: AuthenticationRequest): Answered | Promise<Answered> {
    const body = bodyOf(request)
    const key = createHmac('sha256', this.#key).update(body).digest('base64')
    const cached = this.#cache.get(key, this.#clock.nowMs())
    if (cached) return cached
    let flight = this.#flights.get(key)
    if (!flight) {
      const made: Flight = new Flight(
        (signal) => this.#ask(key, body, request.username, signal),
        () => {
          if (this.#flights.get(key) === made) this.#flights.delete(key)
        },
      )
      flight = made
      this.#flights.set(key, made)
      this.#underWay.add(made.answer)
      const isOver = (): void => void this.#underWay.delete(made.answer)
      made.answer.then(isOver, isOver)
    }
    return flight.join(request.signal)
  }

  async #ask(key: string, body: Buffer, username: string | undefined, signal: AbortSignal): Promise<Answered> {
    const revocations = this.#revocations
    const answer = await this.#gate.run(signal, () => this.#client.post(body, signal))
    if (answer === 'full') return busy
    if (answer === 'left') return deny(ReasonCode.NotAuthorized, 'the client has left')
    const verdict = readAnswer(answer)
    const nowMs = this.#clock.nowMs()
    const fault = verdict.type === 'next' ? undefined : verdictFault(verdict, { nowMs, limits: noLimits })
    if (fault !== undefined) throw new Error(`the endpoint's answer: ${fault}`)
    if (verdict.type === 'allow') {
      const seconds = Math.min(freshSeconds(answer.headers), this.#maxCacheSeconds)
      const untilMs = Math.min(nowMs + seconds * 1000, verdict.expiresAtMs ?? Infinity)
      // Where somebody was revoked meanwhile it may be an answer from before.
      const mayKeep = untilMs > nowMs && revocations === this.#revocations
      if (mayKeep) this.#cache.set(key, verdict, verdict.principal ?? username, untilMs)
    }
    return verdict
  }

  /** The next CONNECT of this principal is asked about: what is kept was said before it was revoked, and what is on its way too. */
  forget(principal: string | undefined): void {
    this.#revocations += 1
    this.#cache.forget(principal)
    this.#flights.clear()
  }

  /** Who waits for an answer still gets it: a configuration that is reloaded refuses nobody. */
  close(): void {
    void Promise.allSettled(this.#underWay).then(() => this.#client.close())
  }
}

/** One request, for as long as somebody waits for it. */
class Flight {
  readonly answer: Promise<Answered>
  readonly #abort = new AbortController()
  readonly #over: () => void
  #waiting = 0

  constructor(start: (signal: AbortSignal) => Promise<Answered>, over: () => void) {
    this.#over = over
    this.answer = start(this.#abort.signal).finally(over)
  }

  join(signal: AbortSignal): Promise<Answered> {
    this.#waiting += 1
    signal.addEventListener('abort', this.#leave, { once: true })
    return this.answer
  }

  readonly #leave = (): void => {
    this.#waiting -= 1
    if (this.#waiting > 0) return
    this.#over()
    this.#abort.abort()
  }
}

const numberNames = [
  'timeoutMs',
  'maxConcurrentRequests',
  'maxWaitingRequests',
  'maxAnswerBytes',
  'maxCachedAnswers',
  'maxCacheSeconds',
] as const

/** What a listener's limits say about the answer is judged with every verdict. */
const noLimits = { maxSessionProperties: Infinity, maxSessionPropertyBytes: Infinity }

function checkedUrl({ url, allowPlainHttp = false }: WebhookOptions): URL {
  const invalid = (why: string): StatemqError => new StatemqError('SMQ_OPTION_INVALID', `url: ${why}`)
  if (!URL.canParse(String(url))) throw invalid('expected a URL')
  const parsed = new URL(url)
  if (parsed.username !== '' || parsed.password !== '') throw invalid('credentials belong into headers')
  if (parsed.protocol === 'https:') return parsed
  if (parsed.protocol !== 'http:') throw invalid('expected http: or https:')
  const host = parsed.hostname.replace(/^\[(.*)\]$/, '$1')
  if (!allowPlainHttp && reachesOtherMachines({ transport: 'tcp', host }))
    throw invalid('http: would send passwords in the clear to another machine; use https: or allowPlainHttp')
  return parsed
}

/**
 * What is sent. Nothing that differs from one connection of a client to its next, such as its port:
 * the cache's key is made of all of it, so that an answer is used for the same question only.
 */
function bodyOf(request: AuthenticationRequest): Buffer {
  const { connection, password } = request
  const { tls } = connection
  const body = {
    version: 1,
    clientId: request.clientId,
    username: request.username,
    ...passwordFields(password),
    protocolVersion: request.protocolVersion,
    cleanStart: request.cleanStart,
    keepAliveSeconds: request.keepAliveSeconds,
    sessionExpiryIntervalSeconds: request.sessionExpiryIntervalSeconds,
    userProperties: request.userProperties,
    proposedProperties: request.proposedProperties,
    connection: {
      listener: connection.listener,
      transport: connection.transport,
      remoteAddress: connection.remoteAddress,
      proxyAddress: connection.proxyAddress,
      tls: tls && {
        version: tls.version,
        serverName: tls.serverName,
        authorized: tls.authorized,
        clientCertificate: tls.clientCertificate,
      },
    },
  }
  return Buffer.from(JSON.stringify(body))
}

/** Passwords are bytes; most are text. */
function passwordFields(password: Buffer | undefined): object {
  if (password === undefined) return {}
  return isUtf8(password) ? { password: password.toString() } : { passwordBase64: password.toString('base64') }
}

/** The verdict in the body of an answer; its fields are still to be judged. */
function readAnswer({ status, headers, body }: WebhookAnswer): Answered {
  if (status !== 200) throw new Error(`the endpoint answered with status ${status}`)
  if (!/^application\/json\s*(;|$)/i.test(headers['content-type'] ?? ''))
    throw new Error("the endpoint's answer is not application/json")
  const { verdict, ...fields } = parseObject(body)
  switch (verdict) {
    case 'allow':
    case 'deny':
      if ('type' in fields) throw new Error("the endpoint's answer: type: there is no such modifier")
      return { type: verdict, ...fields } as unknown as Allow | Deny
    case 'next':
      if (Object.keys(fields).length > 0) throw new Error("the endpoint's answer: next has no modifiers")
      return { type: 'next' }
    default:
      throw new Error('the endpoint\'s answer: expected "verdict" to be "allow", "deny" or "next"')
  }
}

function parseObject(body: Buffer): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(body.toString())
  } catch {
    // The cause would quote the answer.
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new Error("the endpoint's answer is not a JSON object")
}

/** Seconds for which the answer may be used again (RFC 9111): 0 unless it says so. */
function freshSeconds(headers: WebhookAnswer['headers']): number {
  const directives = (headers['cache-control'] ?? '').toLowerCase().split(',')
  const names = directives.map((directive) => directive.trim())
  if (names.some((name) => name === 'no-store' || name.startsWith('no-cache'))) return 0
  const [maxAge] = names.flatMap((name) => /^max-age="?(\d{1,10})"?$/.exec(name)?.[1] ?? [])
  const age = /^\d{1,10}$/.exec(headers.age ?? '')?.[0] ?? '0'
  return Math.max(0, Number(maxAge ?? 0) - Number(age))
}
