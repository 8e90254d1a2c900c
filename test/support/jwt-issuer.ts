/**
 * An issuer of JSON Web Tokens, and a web server for its key set.
 *
 * ```ts
 * const key = await signingKey('ES256', 'k1')
 * const server = await jwksServer([key])
 * const token = await key.sign({ sub: 'press-1', exp: seconds(3600) })
 * server.publish([otherKey]); server.mode = 'slow'; server.requests
 * forge({ alg: 'none' }, { sub: 'root' })          // no signature, or the one that is given
 * ```
 */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { exportJWK, exportSPKI, generateKeyPair, SignJWT, type JWK, type JWTPayload } from 'jose'
import { onTestFinished } from 'vitest'

export const issuer = 'https://id.example'
export const audience = 'broker'

export interface SigningKey {
  readonly alg: string
  readonly kid: string | undefined
  /** Public. */
  readonly jwk: JWK
  /** Public, PEM. */
  readonly pem: string
  /** With `iss`, `aud` and an `exp` of an hour; `undefined` removes a claim. */
  sign(claims?: Readonly<Record<string, unknown>>, header?: Readonly<Record<string, unknown>>): Promise<string>
}

/** Seconds since the epoch, so far from `nowMs`. */
export function seconds(fromNow: number, nowMs: number = Date.now()): number {
  return Math.floor(nowMs / 1000) + fromNow
}

export async function signingKey(alg: string, kid?: string): Promise<SigningKey> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
  const named = kid === undefined ? {} : { kid }
  return {
    alg,
    kid,
    jwk: { ...(await exportJWK(publicKey)), ...named, alg, use: 'sig' },
    pem: await exportSPKI(publicKey),
    sign: (claims, header) =>
      new SignJWT(defaults(claims)).setProtectedHeader({ alg, ...named, ...header }).sign(privateKey),
  }
}

/** Signed with a secret. */
export function signWithSecret(
  secret: Uint8Array,
  claims?: Readonly<Record<string, unknown>>,
  alg = 'HS256',
): Promise<string> {
  return new SignJWT(defaults(claims)).setProtectedHeader({ alg }).sign(secret)
}

export function defaults(claims: Readonly<Record<string, unknown>> = {}): JWTPayload {
  const all = { iss: issuer, aud: audience, sub: 'press-1', exp: seconds(3600), ...claims }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}

/** A token by hand: any header, any signature. */
export function forge(header: object, claims: object = defaults(), signature: Buffer = Buffer.alloc(0)): string {
  return `${signingInput(header, claims)}.${signature.toString('base64url')}`
}

/** What a signature is made over. */
export function signingInput(header: object, claims: object = defaults()): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part(header)}.${part(claims)}`
}

/** How the server answers. `slow`: headers and half of the body, then nothing. */
export type JwksMode = 'keys' | 'broken' | 'error' | 'slow' | 'silent' | 'huge' | 'redirect'

/** A real web server on a free port of 127.0.0.1, closed when the test ends. */
export async function jwksServer(first: readonly SigningKey[]) {
  let keys: readonly JWK[] = first.map(({ jwk }) => jwk)
  const held: (() => void)[] = []
  const state = {
    mode: 'keys' as JwksMode,
    /** Answers wait until `release`. */
    hold: false,
    /** Paths that were asked for. */
    requests: [] as string[],
  }
  const server = createServer((request, response) => {
    state.requests.push(request.url ?? '')
    const answer = (): void => answerAs(state.mode, response, JSON.stringify({ keys }))
    if (state.hold) held.push(answer)
    else answer()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = async (): Promise<void> => {
    if (!server.listening) return
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
  onTestFinished(stop)
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('no address')
  return Object.assign(state, {
    url: `http://127.0.0.1:${address.port}/keys`,
    publish: (next: readonly (SigningKey | JWK)[]): void => {
      keys = next.map((key) => ('jwk' in key ? (key as SigningKey).jwk : (key as JWK)))
    },
    /** The next request has come. */
    requested: () => once(server, 'request'),
    release: (): void => {
      state.hold = false
      for (const answer of held.splice(0)) answer()
    },
    /** It is gone: connections are refused. */
    stop,
  })
}

function answerAs(mode: JwksMode, response: ServerResponse, body: string): void {
  switch (mode) {
    case 'keys':
      return void response.end(body)
    case 'broken':
      return void response.end(body.slice(1))
    case 'error':
      return void response.writeHead(500).end(body)
    case 'slow':
      return void response.write(body.slice(0, 10))
    case 'silent':
      return undefined
    case 'huge':
      return void response.end(`${' '.repeat(300_000)}${body}`)
    case 'redirect':
      return void response.writeHead(302, { location: '/other' }).end()
  }
}
