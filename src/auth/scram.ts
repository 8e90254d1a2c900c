import { createHmac, randomBytes } from 'node:crypto'

import { StatemqError } from '../errors.ts'
import type {
  AuthenticationRequest,
  Authenticator,
  ChannelBindingType,
  Grant,
  GrantReview,
  GrantVerdict,
  Verdict,
} from '../hooks.ts'
import { allow, challenge, deny } from '../hooks.ts'
import type { Clock, Logger } from '../options.ts'
import { ReasonCode } from '../reason-codes.ts'
import { credentialOf, hasEnded, verdictOn } from './followers.ts'
import {
  credentialsFault,
  DEFAULT_ITERATIONS,
  hashLength,
  SALT_BYTES,
  saslprep,
  scramMechanisms,
  type ScramCredentials,
  type ScramMechanism,
} from './scram-credentials.ts'
import { ScramExchange } from './scram-exchange.ts'
import { ScramFile } from './scram-file.ts'
import { parseClientFirst, ScramSyntaxError, type ClientFirst } from './scram-messages.ts'
import type { ScramLookup, ScramUser } from './scram-users.ts'
import { tell } from './tell.ts'

/** What `scram` takes. */
export interface ScramOptions {
  /** Path of a file that {@link addScramUser} writes, or a function. */
  readonly users: string | ScramLookup
  /** Default `scram`. */
  readonly name?: string
  /** Default: both. */
  readonly mechanisms?: readonly ScramMechanism[]
  /**
   * `offer` (the default): the `-PLUS` variants are served next to the plain ones. `require`: only
   * those with channel binding. `none`: only those without.
   */
  readonly channelBinding?: 'offer' | 'require' | 'none'
  /**
   * The User Name of CONNECT. `same` (the default): absent or that of the SCRAM user (semantics 7.9).
   * `any`: not looked at; the principal is the SCRAM user all the same.
   */
  readonly connectUsername?: 'same' | 'any'
  /** Iterations that a user who does not exist seems to have. Default: as most users of the file; with a function 15,000. */
  readonly unknownIterations?: number
  /** What the salts of users who do not exist are made from. Default: the file's own, else random, new with each process. */
  readonly secret?: string | Uint8Array
  /** Told why a client was refused, which the client is not; when the file was read again, could not be, or is open to others. */
  readonly logger?: Pick<Logger, 'debug' | 'info' | 'warn'>
  /** For users that end. Default: the system's. */
  readonly clock?: Pick<Clock, 'nowMs'>
}

/** Why an exchange ends; the client gets one reason code whatever it was. */
class Refusal extends Error {}

const bindingTypes: readonly ChannelBindingType[] = ['tls-exporter', 'tls-unique', 'tls-server-end-point']
const scratchKey = 'scram'

/**
 * SCRAM-SHA-256 and SCRAM-SHA-512 as MQTT 5 enhanced authentication (RFC 5802, RFC 7677). The
 * password never travels and is not stored; the client learns that the server knows its user as well.
 * Throws SMQ_OPTION_INVALID, and for a file SMQ_PASSWORD_FILE_INVALID.
 */
export function scram(options: ScramOptions): Authenticator {
  return new ScramAuthenticator(options)
}

class ScramAuthenticator implements Authenticator {
  readonly name: string
  readonly methods: readonly string[]
  /** After SASLprep, which may make one name of two. */
  readonly comparesUsername = true
  readonly #options: ScramOptions
  readonly #mechanisms: readonly ScramMechanism[]
  readonly #file: ScramFile | undefined
  readonly #randomSecret = randomBytes(32)

  constructor(options: ScramOptions) {
    const { name = 'scram', mechanisms = scramMechanisms, channelBinding = 'offer' } = options
    const strange = mechanisms.find((mechanism) => !scramMechanisms.includes(mechanism))
    if (strange !== undefined || mechanisms.length === 0)
      throw new StatemqError('SMQ_OPTION_INVALID', `scram: mechanisms are ${scramMechanisms.join(', ')}`)
    this.name = name
    this.#options = options
    this.#mechanisms = mechanisms
    this.methods = mechanisms.flatMap((mechanism) => [
      ...(channelBinding === 'require' ? [] : [mechanism]),
      ...(channelBinding === 'none' ? [] : [`${mechanism}-PLUS`]),
    ])
    // Wrong options are told at once, and not by the first client that nobody knows.
    this.#madeUp(mechanisms[0]!, '')
    this.#file = typeof options.users === 'string' ? new ScramFile(options.users, options.logger) : undefined
  }

  close(): void {
    this.#file?.close()
  }

  async authenticate(request: AuthenticationRequest): Promise<Verdict> {
    try {
      return await (request.round === 0 ? this.#begin(request) : this.#finish(request))
    } catch (error) {
      if (!(error instanceof Refusal || error instanceof ScramSyntaxError)) throw error
      const details = { authenticator: this.name, clientId: request.clientId, reason: error.message }
      tell(this.#options.logger, 'debug', details, 'SCRAM authentication failed')
      // Threats 64 and 70: one answer to all of them. Server error values (RFC 5802 `e=`) are not sent.
      return deny(ReasonCode.NotAuthorized, 'SCRAM authentication failed')
    }
  }

  async #begin(request: AuthenticationRequest): Promise<Verdict> {
    if (request.authenticationData === undefined) throw new Refusal('the first message is missing')
    const first = parseClientFirst(request.authenticationData)
    const channelData = this.#bind(first, request)
    const username = await this.#identify(first, request)
    const mechanism = this.#mechanismOf(request)
    const user = await this.#find(username, request)
    const isCurrent = (user?.expiresAtMs ?? Infinity) > this.#nowMs()
    const found = user?.credentials.find((one) => one.mechanism === mechanism)
    const fault = found && credentialsFault(found)
    if (fault !== undefined) throw new StatemqError('SMQ_OPTION_INVALID', `scram: ${fault}`)
    const credentials = found ?? this.#madeUp(mechanism, username)
    const nonce = randomBytes(18).toString('base64')
    const exchange = new ScramExchange(
      first,
      username,
      credentials,
      found !== undefined && isCurrent,
      channelData,
      nonce,
    )
    request.exchange.set(scratchKey, { exchange, user })
    return challenge(Buffer.from(exchange.serverFirst))
  }

  #finish(request: AuthenticationRequest): Verdict {
    const pending = request.exchange.get(scratchKey) as { exchange: ScramExchange; user?: ScramUser } | undefined
    request.exchange.delete(scratchKey)
    if (pending === undefined || request.authenticationData === undefined)
      throw new Refusal('the final message is missing or comes out of turn')
    const { exchange, user } = pending
    const verifier = exchange.finish(request.authenticationData)
    if (verifier === undefined || user === undefined) throw new Refusal('the proof, the nonce or the channel is wrong')
    const credential = credentialFor(user, request.authenticationMethod)
    // The file may have been read again meanwhile.
    if (this.#file && credential !== credentialFor(this.#file.find(exchange.username), request.authenticationMethod))
      throw new Refusal('the user has changed since the first message')
    const { credentials: _credentials, ...granted } = user
    const authenticationData = Buffer.from(verifier)
    return allow({ ...granted, principal: exchange.username, authenticationData, credential: credential! })
  }

  #nowMs(): number {
    return (this.#options.clock ?? { nowMs: Date.now }).nowMs()
  }

  /** Of a function it is not known what it would say now. */
  review({ grant, credential }: GrantReview): GrantVerdict {
    if (this.#file === undefined) return 'holds'
    const user = this.#file.find(grant.principal ?? '')
    if (user === undefined || hasEnded(user, grant, this.#nowMs())) return 'withdrawn'
    return verdictOn(credential, credentialFor(user, grant.method))
  }

  follow(changed: () => Promise<void>): () => void {
    return this.#file?.followers.add(changed) ?? (() => {})
  }

  #mechanismOf({ authenticationMethod = '' }: AuthenticationRequest): ScramMechanism {
    return this.#mechanisms.find((mechanism) => authenticationMethod.startsWith(mechanism))!
  }

  /** RFC 5802 section 6: what the client has to have bound its proof to; empty without channel binding. */
  #bind(first: ClientFirst, request: AuthenticationRequest): Buffer {
    const isPlus = request.authenticationMethod?.endsWith('-PLUS') === true
    if (isPlus !== (first.flag === 'p')) throw new Refusal('method and channel binding flag contradict each other')
    // On every connection, or else whoever hid it would only have to come through another listener.
    if (first.flag === 'y' && this.methods.includes(`${this.#mechanismOf(request)}-PLUS`))
      throw new Refusal('the client believes that there is no channel binding: somebody hid it')
    if (first.flag !== 'p') return Buffer.alloc(0)
    const type = bindingTypes.find((one) => one === first.bindingName)
    const data = type && request.channelBinding(type)
    if (data === undefined) throw new Refusal('the connection has no channel binding of this type')
    return data
  }

  /** Semantics 7.9: the user of the exchange is the one identity there is. */
  async #identify(first: ClientFirst, request: AuthenticationRequest): Promise<string> {
    const username = await saslprep(first.username, true)
    if (username === undefined) throw new Refusal('the user name has forbidden characters')
    const isUser = async (name: string | undefined): Promise<boolean> =>
      name === undefined || name === first.username || (await saslprep(name, true)) === username
    if (!(await isUser(first.authorizationId))) throw new Refusal('the client may not act for another user')
    if (this.#options.connectUsername !== 'any' && !(await isUser(request.username)))
      throw new Refusal('the user name of CONNECT is another one')
    if (request.reauthentication && request.grant?.principal !== username)
      throw new Refusal('a re-authentication may not change the user')
    return username
  }

  #find(username: string, request: AuthenticationRequest): ReturnType<ScramLookup> {
    const { users } = this.#options
    return typeof users === 'function' ? users(username, request) : this.#file?.find(username)
  }

  /** Threat 64: a user who does not exist has a salt as well, the same at every attempt. */
  #madeUp(mechanism: ScramMechanism, username: string): ScramCredentials {
    const { unknownIterations, secret = this.#file?.secret ?? this.#randomSecret } = this.#options
    const profile = this.#file?.profile(mechanism) ?? {
      iterations: DEFAULT_ITERATIONS,
      saltBytes: SALT_BYTES,
    }
    const bytesFor = (use: string): Buffer =>
      createHmac('sha512', secret).update(`${use} ${mechanism} ${username}`).digest()
    const key = bytesFor('key').subarray(0, hashLength(mechanism))
    const credentials = {
      mechanism,
      iterations: unknownIterations ?? profile.iterations,
      salt: bytesFor('salt').subarray(0, profile.saltBytes),
      storedKey: key,
      serverKey: key,
    }
    const fault = credentialsFault(credentials)
    if (fault !== undefined) throw new StatemqError('SMQ_OPTION_INVALID', `unknownIterations: ${fault}`)
    return credentials
  }
}

/** Of the mechanism that was used: credentials of another may come and go. */
function credentialFor(user: ScramUser | undefined, method: Grant['method'] = ''): string | undefined {
  const one = user?.credentials.find(({ mechanism }) => method.startsWith(mechanism))
  return one && credentialOf(one.mechanism, String(one.iterations), one.salt, one.storedKey, one.serverKey)
}
