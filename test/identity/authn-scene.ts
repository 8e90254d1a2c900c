/**
 * What tests of authenticators share: a broker with one TCP port, clients of other people, and the
 * answer that a client gets.
 */
import { EventEmitter, once } from 'node:events'
import mqtt, { type IClientOptions, type IConnackPacket } from 'mqtt'
import { onTestFinished } from 'vitest'

import {
  createBroker,
  type AuthenticationRequest,
  type Authenticator,
  type BrokerEvent,
  type BrokerOptions,
  type Grant,
} from '../../src/index.ts'
import { ExternalProcess } from '../support/external-process.ts'

const guardMs = 15_000

/** A logger whose lines can be waited for. */
export class TestLog {
  readonly lines: { readonly level: string; readonly message: string; readonly details: object }[] = []
  readonly #changes = new EventEmitter()

  readonly debug = (): void => {}
  readonly info = (details: object, message: string): void => this.#add('info', details, message)
  readonly warn = (details: object, message: string): void => this.#add('warn', details, message)
  readonly error = (details: object, message: string): void => this.#add('error', details, message)

  #add(level: string, details: object, message: string): void {
    this.lines.push({ level, details, message })
    this.#changes.emit('change')
  }

  /** The details of the next line with this text that nobody has waited for. */
  async logged(text: string): Promise<Record<string, unknown>> {
    const signal = AbortSignal.timeout(guardMs)
    for (;;) {
      const index = this.lines.findIndex(({ message }) => message.includes(text))
      if (index >= 0) return this.lines.splice(index, 1)[0]!.details as Record<string, unknown>
      await once(this.#changes, 'change', { signal }).catch((cause: unknown) => {
        throw new Error(`waited for a log line ${JSON.stringify(text)}; there were ${JSON.stringify(this.lines)}`, {
          cause,
        })
      })
    }
  }
}

/** What CONNACK said: the code, and the reason where there was one. */
export interface Answer {
  readonly code: number
  readonly reason: string | undefined
}

export async function startAuthBroker(authenticators: readonly Authenticator[], options: BrokerOptions = {}) {
  const broker = createBroker({ authenticators, ...options })
  onTestFinished(async () => {
    await broker.close({ drainTimeoutMs: 100 })
    for (const one of authenticators) await one.close?.()
  })
  const events: BrokerEvent[] = []
  broker.events$.subscribe((event) => events.push(event))
  const { address } = await broker.listen({ transport: 'tcp', port: 0 })
  const port = 'port' in address ? address.port : 0

  /** Connects MQTT.js, reads CONNACK, and leaves; the client stays where `stay` is set. */
  const connect = (client: IClientOptions = {}): Promise<Answer> => connectMqttJs(`mqtt://127.0.0.1:${port}`, client)

  /** mosquitto_pub with a user name and password: its exit status, and what it says. */
  const mosquitto = async (...args: string[]): Promise<number | null> =>
    new ExternalProcess('mosquitto_pub', [
      ...['-h', '127.0.0.1', '-p', String(port), '-t', 'a', '-m', 'x', '-q', '1'],
      ...args,
    ]).status()

  const grants = (): Grant[] => events.flatMap((event) => (event.type === 'session.online' ? [event.grant] : []))
  const failures = (): string[] =>
    events.flatMap((event) => (event.type === 'hook.failed' ? [(event.error as Error).message] : []))

  return { broker, port, events, connect, mosquitto, grants, failures }
}

/** Connects and leaves again; the answer is CONNACK's. */
export function connectMqttJs(url: string, options: IClientOptions = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const client = mqtt.connect(url, { protocolVersion: 5, reconnectPeriod: 0, connectTimeout: guardMs, ...options })
    onTestFinished(() => void client.end(true))
    client.on('packetreceive', (packet) => {
      if (packet.cmd !== 'connack') return
      const { reasonCode, returnCode, properties } = packet as IConnackPacket
      client.end(true)
      // Observers of the broker's events are called at the end of the turn, which may be this one.
      setImmediate(() => resolve({ code: reasonCode ?? returnCode ?? -1, reason: properties?.reasonString }))
    })
    client.on('error', () => {})
    client.once('close', () => reject(new Error('the connection was closed without CONNACK')))
  })
}

/** A request as an authenticator gets it, for what can't be seen from outside. */
export function requestOf(fields: Partial<AuthenticationRequest> = {}): AuthenticationRequest {
  return {
    clientId: 'c',
    protocolVersion: 5,
    username: undefined,
    cleanStart: true,
    keepAliveSeconds: 60,
    sessionExpiryIntervalSeconds: 0,
    authenticationMethod: undefined,
    userProperties: [],
    connection: {
      listener: 'l',
      transport: 'tcp',
      remoteAddress: '127.0.0.1',
      remotePort: 1,
      localPort: 2,
      proxyAddress: undefined,
      tls: undefined,
    },
    sessionId: 's1',
    fixedProperties: {},
    proposedProperties: {},
    password: undefined,
    authenticationData: undefined,
    round: 0,
    reauthentication: false,
    grant: undefined,
    exchange: new Map(),
    channelBinding: () => undefined,
    signal: new AbortController().signal,
    ...fields,
  }
}
