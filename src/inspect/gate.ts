import { timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { parseCookie, stringifySetCookie } from 'cookie'

import type { InspectOptions } from '../options.ts'
import { mayDo, type Credentials, type Identity } from './credentials.ts'
import type { Login, Logins } from './logins.ts'
import { ApiError } from './problem.ts'
import { addressOf, type RouteRole } from './route.ts'
import type { Throttle } from './throttle.ts'
import type { Tickets } from './tickets.ts'

/** Methods that change nothing, so that a cookie alone is enough. */
const harmless: ReadonlySet<string> = new Set(['GET', 'HEAD'])

export interface GateParts {
  readonly credentials: Credentials
  readonly logins: Logins
  readonly throttle: Throttle
  readonly tickets: Tickets
  readonly isTls: boolean
  /** Cookies know no ports: without it in the name two brokers of one machine would end each other's logins. */
  readonly port: () => number
}

/** What is looked at of a request. */
export interface GateRequest {
  readonly headers: IncomingHttpHeaders
  readonly method: string
  readonly raw: IncomingMessage
}

/** Decides who gets in: which host and origin, which credentials, which role. */
export class Gate {
  readonly #parts: GateParts
  hosts: ReadonlySet<string>

  constructor(parts: GateParts, hosts: InspectOptions['hosts'] = []) {
    this.#parts = parts
    this.hosts = new Set(hosts.map((host) => host.toLowerCase()))
  }

  /**
   * A page of another site may have its own name lead to this address (DNS rebinding): its requests
   * come under that name. Addresses and `localhost` cannot be taken by anybody. Throws SMQ_API_FORBIDDEN.
   * `fromAnywhere`: what it brings is nothing that a browser sends by itself.
   */
  checkHost({ headers, raw }: GateRequest, fromAnywhere = false): void {
    const { host } = headers
    const name = hostNameOf(host)
    if (name === undefined || !(isIP(name) || name === 'localhost' || this.hosts.has(name)))
      throw new ApiError(403, 'this host name is not among inspect.hosts')
    if (fromAnywhere) return
    const { origin } = headers
    if (origin !== undefined && originHostOf(origin) !== host?.toLowerCase())
      throw new ApiError(403, 'the request comes from another site')
    const site = headers['sec-fetch-site']
    if (site === undefined || site === 'same-origin' || site === 'none') return
    // Following a link to the page is no harm: no cookie comes with it, and nothing is told without one.
    const isLink = headers['sec-fetch-mode'] === 'navigate' && harmless.has(raw.method ?? '')
    if (!isLink) throw new ApiError(403, 'the request comes from another site')
  }

  /** Throws SMQ_API_UNAUTHENTICATED, SMQ_API_FORBIDDEN and SMQ_API_LIMIT. */
  async admit(request: GateRequest, role: RouteRole): Promise<Identity | undefined> {
    if (role === 'none') return undefined
    const identity = await this.#identify(request)
    if (!identity) throw new ApiError(401, 'send a token, or log in')
    if (!mayDo(identity, role)) throw new ApiError(403, `this needs the role ${role}`)
    return identity
  }

  async #identify(request: GateRequest): Promise<Identity | undefined> {
    const { authorization } = request.headers
    if (authorization !== undefined) return this.#byHeader(authorization, addressOf(request))
    const login = this.loginOf(request)?.login
    if (login && !harmless.has(request.method) && !isSame(request.headers['x-csrf-token'], login.csrfToken))
      throw new ApiError(403, 'the header x-csrf-token is missing or wrong')
    return login?.identity
  }

  /** Whoever logs in with a token or a password; undefined: it is not right. */
  async #byHeader(authorization: string, address: string): Promise<Identity | undefined> {
    const [, scheme = '', value = ''] = /^(\S+) +(\S+)$/.exec(authorization) ?? []
    if (scheme.toLowerCase() === 'bearer') return this.byToken(value, address)
    if (scheme.toLowerCase() !== 'basic') throw new ApiError(401, 'the authorization is Bearer or Basic')
    const [, user, password] = /^([^:]*):(.*)$/s.exec(Buffer.from(value, 'base64').toString()) ?? []
    if (user === undefined || password === undefined) throw new ApiError(401, 'the authorization cannot be read')
    return this.byPassword(user, password, address)
  }

  /** Nobody guesses a token, so that one that is right is taken whatever has failed before it. */
  byToken(token: string, address: string): Identity {
    const { credentials, throttle } = this.#parts
    const identity = credentials.byToken(token)
    if (identity) return identity
    this.#assertNotThrottled(address)
    throttle.failed(address)
    throw new ApiError(401, 'the token is not right')
  }

  async byPassword(user: string, password: string, address: string): Promise<Identity> {
    const { credentials, throttle } = this.#parts
    this.#assertNotThrottled(address)
    // Counted before it is known: many at once would all be tried else.
    throttle.failed(address)
    const identity = await credentials.byPassword(user, password)
    if (!identity) throw new ApiError(401, 'the user or the password is not right')
    throttle.succeeded(address)
    return identity
  }

  /** Throws SMQ_API_UNAUTHENTICATED. */
  redeem(ticket: string): Identity {
    const identity = this.#parts.tickets.redeem(ticket)
    if (!identity) throw new ApiError(401, 'the ticket is not valid any more')
    return identity
  }

  issueTicket(identity: Identity): string {
    return this.#parts.tickets.issue(identity)
  }

  #assertNotThrottled(address: string): void {
    const { throttle } = this.#parts
    if (throttle.isClosedTo(address))
      throw new ApiError(429, `too many failures from this address; try again in ${throttle.retryAfterSeconds} s`)
  }

  get #cookieName(): string {
    return `${this.#parts.isTls ? '__Host-' : ''}statemq-login-${this.#parts.port()}`
  }

  loginOf(request: GateRequest): { readonly id: string; readonly login: Login } | undefined {
    const id = parseCookie(request.headers.cookie ?? '')[this.#cookieName]
    const login = id === undefined ? undefined : this.#parts.logins.find(id)
    return login && { id: id!, login }
  }

  /** Logs in anew; the login that the browser had is void. */
  start(request: GateRequest, identity: Identity): { readonly cookie: string; readonly login: Login } {
    this.end(request)
    const { id, login } = this.#parts.logins.start(identity)
    return { cookie: this.#cookie(id), login }
  }

  /** The cookie that takes the browser's away. */
  end(request: GateRequest): string {
    const present = this.loginOf(request)
    if (present) this.#parts.logins.end(present.id)
    return this.#cookie('', 0)
  }

  #cookie(value: string, maxAge?: number): string {
    return stringifySetCookie({
      name: this.#cookieName,
      value,
      path: '/',
      httpOnly: true,
      sameSite: 'strict',
      secure: this.#parts.isTls,
      ...(maxAge === undefined ? {} : { maxAge }),
    })
  }
}

/** The name of a Host header, without its port; undefined: there is none that could be one. */
function hostNameOf(host: string | undefined): string | undefined {
  const [, address, name] = /^(?:\[([\da-fA-F:.]+)\]|([\w.-]+))(?::\d{1,5})?$/.exec(host ?? '') ?? []
  return address ?? name?.toLowerCase()
}

function originHostOf(origin: string): string | undefined {
  return /^https?:\/\/([^/?#@]+)$/i.exec(origin)?.[1]?.toLowerCase()
}

function isSame(given: string | string[] | undefined, expected: string): boolean {
  if (typeof given !== 'string') return false
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}
