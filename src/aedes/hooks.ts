import {
  allow,
  deny,
  next,
  type AllowPublish,
  type AuthenticationRequest,
  type Authenticator,
  type Deny,
  type Hooks,
  type Verdict,
} from '../hooks.ts'
import type { Message } from '../messages.ts'
import { ReasonCode, type FailureReasonCode } from '../reason-codes.ts'
import type { AedesClient } from './client.ts'
import type { AedesHandlers, AedesPublishPacket, ConnectPacket, Subscription } from './types.ts'

/** What the handlers have to do with. Handlers are looked up at every call: they may be assigned at any time. */
export interface HandlerHost extends AedesHandlers {
  readonly id: string
  readonly keepaliveLimit: number
  readonly maxClientsIdLength: number
  /** The client of a connection or a session. */
  clientOf(of: { readonly connection: object; readonly clientId: string }): AedesClient | null
  /** Ends the connection of a client, since a handler said that it has done something wrong. */
  reject(client: AedesClient | null, error: Error): void
}

/** Return codes of MQTT 3.1.1, by which Aedes refuses. */
const refusals: Readonly<Record<number, FailureReasonCode>> = {
  2: ReasonCode.ClientIdentifierNotValid,
  3: ReasonCode.ServerUnavailable,
  4: ReasonCode.BadUserNameOrPassword,
  5: ReasonCode.NotAuthorized,
}

/** `preConnect`, then `authenticate`. Nobody owns a session here: whoever authenticates may have any client identifier. */
export function authenticatorOf(host: HandlerHost): Authenticator {
  return {
    name: 'aedes',
    authenticate: async (request) => {
      const client = host.clientOf(request)
      if (!client) return deny(ReasonCode.UnspecifiedError, 'no connection')
      client.introduce(request)
      return (
        limitsPassed(host, request) ??
        (await preConnected(host, client, request)) ??
        authenticated(host, client, request)
      )
    },
  }
}

function limitsPassed(host: HandlerHost, request: AuthenticationRequest): Deny | undefined {
  const { keepAliveSeconds, protocolVersion, clientId } = request
  const { keepaliveLimit } = host
  if (keepaliveLimit > 0 && (keepAliveSeconds === 0 || keepAliveSeconds > keepaliveLimit))
    return deny(ReasonCode.NotAuthorized, 'keep alive limit exceeded')
  if (protocolVersion === 3 && clientId.length > host.maxClientsIdLength)
    return deny(ReasonCode.ClientIdentifierNotValid, 'identifier rejected')
  return undefined
}

function preConnected(
  host: HandlerHost,
  client: AedesClient,
  request: AuthenticationRequest,
): Promise<Deny | undefined> {
  const { clientId, protocolVersion, cleanStart: clean, keepAliveSeconds: keepalive, username } = request
  const packet: ConnectPacket = {
    cmd: 'connect',
    clientId,
    protocolVersion,
    clean,
    keepalive,
    ...(username === undefined ? {} : { username }),
  }
  return new Promise((resolve) =>
    host.preConnect(client, packet, (error, success) => {
      if (!error && success === true) return resolve(undefined)
      resolve(deny(ReasonCode.NotAuthorized, error?.message ?? 'refused before CONNECT'))
    }),
  )
}

function authenticated(host: HandlerHost, client: AedesClient, request: AuthenticationRequest): Promise<Verdict> {
  return new Promise((resolve) =>
    host.authenticate(client, request.username, request.password, (error, success) => {
      if (!error && success) return resolve(allow({}))
      const code = refusals[error?.returnCode ?? 5] ?? ReasonCode.NotAuthorized
      resolve(deny(code, error?.message ?? 'not authorized'))
    }),
  )
}

/** `authorizePublish`, `authorizeSubscribe` and `authorizeForward`; a handler that changes a packet changes what is routed. */
export function hooksOf(host: HandlerHost): Hooks {
  return {
    name: 'aedes',
    onTakeover: () => allow({ cleanStart: false }),
    onPublish: ({ message }, session) => {
      const client = host.clientOf(session)
      const packet = packetOf(message, host.id)
      return new Promise((resolve) =>
        host.authorizePublish(client, packet, (error) => {
          if (!error) return resolve(changesOf(message, packet) ?? next())
          host.reject(client, error)
          resolve(deny(ReasonCode.NotAuthorized, error.message))
        }),
      )
    },
    onSubscribe: ({ filter, qos }, session) => {
      const client = host.clientOf(session)
      const asked: Subscription = { topic: filter, qos }
      return new Promise((resolve) => {
        if (!client) return resolve(deny(ReasonCode.UnspecifiedError, 'no connection'))
        host.authorizeSubscribe(client, asked, (error, granted) => {
          if (error) host.reject(client, error)
          if (error || !granted) return resolve(deny(ReasonCode.NotAuthorized, error?.message ?? 'not granted'))
          const isSame = granted.topic === filter && granted.qos === qos
          resolve(isSame ? next() : allow({ filter: granted.topic, qos: granted.qos }))
        })
      })
    },
    onDeliver: (message, session) => {
      const client = host.clientOf(session)
      if (!client) return next()
      const packet = packetOf(message, host.id)
      const forwarded = host.authorizeForward(client, packet)
      if (!forwarded) return deny(ReasonCode.NotAuthorized, 'not forwarded')
      const { topic, payload } = changesOf(message, forwarded) ?? {}
      if (topic === undefined && payload === undefined) return next()
      return allow({ ...(topic === undefined ? {} : { topic }), ...(payload === undefined ? {} : { payload }) })
    },
  }
}

/** A message as Aedes shows it. */
export function packetOf({ topic, payload, qos, retain, publisher }: Message, brokerId: string): AedesPublishPacket {
  const whose = publisher === '' ? {} : { clientId: publisher }
  return { cmd: 'publish', topic, payload, qos, retain, dup: false, brokerId, ...whose }
}

function changesOf(message: Message, packet: AedesPublishPacket): AllowPublish | undefined {
  const { topic, qos, retain } = packet
  const isSameTopic = topic === message.topic
  const isSamePayload = packet.payload === message.payload
  if (isSameTopic && isSamePayload && qos === message.qos && retain === message.retain) return undefined
  const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload
  return allow({
    ...(isSameTopic ? {} : { topic }),
    ...(isSamePayload ? {} : { payload }),
    qos,
    retain,
  }) as AllowPublish
}
