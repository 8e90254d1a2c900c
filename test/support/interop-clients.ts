/** MQTT.js and Paho behind one interface, so that a test of what clients do is written once. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import mqtt, { type IClientOptions, type IPublishPacket } from 'mqtt'
import { onTestFinished } from 'vitest'

import { ExternalProcess } from './external-process.ts'
import type { NetworkTransport } from './listening-broker.ts'
import { repository } from './source-files.ts'
import { pythonWithPaho } from './system-tools.ts'

/** MQTT 5 properties in a form that both clients can take. */
export interface InteropProperties {
  readonly contentType?: string
  readonly responseTopic?: string
  readonly correlationData?: string
  readonly userProperties?: ReadonlyArray<readonly [string, string]>
  readonly messageExpiryInterval?: number
  /** Of wills only. */
  readonly willDelayInterval?: number
}

export interface InteropMessage {
  readonly topic: string
  readonly payload: string
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  /** Empty before MQTT 5. */
  readonly properties: InteropProperties
}

/** Default: empty payload, QoS 0, not retained, no properties. */
export type InteropPublish = Pick<InteropMessage, 'topic'> & Partial<InteropMessage>

export interface InteropOptions {
  readonly transport: NetworkTransport
  readonly port: number
  readonly version: 3 | 4 | 5
  readonly clientId: string
  /** Default true. */
  readonly clean?: boolean
  /** MQTT 5 only. Default 0. */
  readonly sessionExpirySeconds?: number
  readonly username?: string
  readonly password?: string
  readonly will?: InteropPublish
  /** Default 60. */
  readonly keepAliveSeconds?: number
  /** Path of the authority's certificate; needed for tls and wss. */
  readonly caFile?: string
  /** Paths of a client certificate and its key. */
  readonly certificate?: { readonly certFile: string; readonly keyFile: string }
}

export interface InteropClient {
  readonly sessionPresent: boolean
  /** Resolves with the granted QoS, or the refusal. */
  subscribe(filter: string, qos: 0 | 1 | 2): Promise<number>
  unsubscribe(filter: string): Promise<void>
  /** Resolves when the handshake of its QoS is complete. */
  publish(message: InteropPublish): Promise<void>
  /** The next message that came. */
  message(): Promise<InteropMessage>
  /** DISCONNECT. */
  end(): Promise<void>
  /** The network is gone. */
  drop(): void
}

/** A client that can fall silent without its connection being closed. */
export interface FreezableClient extends InteropClient {
  freeze(): void
}

export interface InteropClientKind<Client extends InteropClient = InteropClient> {
  readonly name: string
  /** Rejects with what the client says when the broker does not let it in. */
  connect(options: InteropOptions): Promise<Client>
}

const guardMs = 15_000

/** Values that arrive on their own and are taken one by one. */
class Inbox<T> {
  readonly #values: T[] = []
  #wake: (() => void) | undefined

  push(value: T): void {
    this.#values.push(value)
    this.#wake?.()
  }

  async take(): Promise<T> {
    if (this.#values.length === 0) {
      await new Promise<void>((resolve, reject) => {
        const guard = setTimeout(() => reject(new Error(`no message in ${guardMs} ms`)), guardMs)
        this.#wake = () => {
          clearTimeout(guard)
          resolve()
        }
      })
      this.#wake = undefined
    }
    return this.#values.shift() as T
  }
}

// --- MQTT.js ----------------------------------------------------------------------------------

function toMqttJs(properties: InteropProperties | undefined) {
  if (!properties) return {}
  const { correlationData, userProperties, ...rest } = properties
  return {
    properties: {
      ...rest,
      ...(correlationData === undefined ? {} : { correlationData: Buffer.from(correlationData) }),
      ...(userProperties ? { userProperties: Object.fromEntries(userProperties) } : {}),
    },
  }
}

function fromMqttJs(packet: IPublishPacket): InteropMessage {
  const { correlationData, userProperties, ...rest } = packet.properties ?? {}
  const pairs = Object.entries(userProperties ?? {}).flatMap(([name, value]) =>
    [value].flat().map((each): [string, string] => [name, each]),
  )
  return {
    topic: packet.topic,
    payload: packet.payload.toString(),
    qos: packet.qos,
    retain: packet.retain,
    properties: {
      ...(rest as InteropProperties),
      ...(correlationData ? { correlationData: correlationData.toString() } : {}),
      ...(pairs.length > 0 ? { userProperties: pairs } : {}),
    },
  }
}

function mqttJsOptions(options: InteropOptions): IClientOptions {
  const { version, clientId, clean = true, sessionExpirySeconds = 0, username, password, will } = options
  const { certificate } = options
  return {
    clientId,
    clean,
    protocolVersion: version,
    protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
    reconnectPeriod: 0,
    connectTimeout: guardMs,
    keepalive: options.keepAliveSeconds ?? 60,
    ...(version === 5 ? { properties: { sessionExpiryInterval: sessionExpirySeconds } } : {}),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(options.caFile === undefined ? {} : { ca: readFileSync(options.caFile) }),
    ...(certificate ? { cert: readFileSync(certificate.certFile), key: readFileSync(certificate.keyFile) } : {}),
    ...(will
      ? {
          will: {
            topic: will.topic,
            payload: Buffer.from(will.payload ?? ''),
            qos: will.qos ?? 0,
            retain: will.retain ?? false,
            ...toMqttJs(will.properties),
          },
        }
      : {}),
  }
}

export const mqttJs: InteropClientKind = {
  name: 'MQTT.js',
  async connect(options) {
    const scheme = { tcp: 'mqtt', tls: 'mqtts', ws: 'ws', wss: 'wss' }[options.transport]
    const path = options.transport.startsWith('ws') ? '/mqtt' : ''
    const client = mqtt.connect(`${scheme}://127.0.0.1:${options.port}${path}`, mqttJsOptions(options))
    onTestFinished(() => {
      client.end(true)
    })
    const inbox = new Inbox<InteropMessage>()
    client.on('message', (_topic, _payload, packet) => inbox.push(fromMqttJs(packet)))
    const connack = await new Promise<{ sessionPresent: boolean }>((resolve, reject) => {
      client.once('connect', resolve)
      client.on('error', reject)
      // A stream that closes without a word is no error for MQTT.js.
      client.once('close', () => reject(new Error('the connection was closed')))
    })
    return {
      sessionPresent: connack.sessionPresent,
      subscribe: async (filter, qos) => (await client.subscribeAsync(filter, { qos }))[0]?.qos ?? -1,
      unsubscribe: async (filter) => void (await client.unsubscribeAsync(filter)),
      publish: async ({ topic, payload = '', qos = 0, retain = false, properties }) =>
        void (await client.publishAsync(topic, payload, { qos, retain, ...toMqttJs(properties) })),
      message: () => inbox.take(),
      end: () => client.endAsync(),
      drop: () => void client.stream.destroy(),
    }
  },
}

// --- Paho ---------------------------------------------------------------------------------------

interface PahoEvent {
  readonly event: string
  readonly sessionPresent?: boolean
  readonly codes?: number[]
  readonly code?: number
  readonly reason?: string
}

const pahoScript = join(repository, 'test/interop/clients/paho_client.py')

export const pahoPython: InteropClientKind<FreezableClient> = {
  name: 'Paho for Python',
  async connect({ transport, caFile, certificate, will, ...options }) {
    const process = new ExternalProcess(pythonWithPaho(), [pahoScript])
    const messages: InteropMessage[] = []
    const answers: PahoEvent[] = []
    const read = async (): Promise<void> => {
      const event = JSON.parse(await process.line()) as PahoEvent
      if (event.event === 'message') {
        const { topic, payload, qos, retain, properties } = event as unknown as InteropMessage
        messages.push({ topic, payload, qos, retain, properties })
      } else answers.push(event)
    }
    const ask = async (command: object, expected: string): Promise<PahoEvent> => {
      process.write(JSON.stringify(command))
      while (answers.length === 0) await read()
      const answer = answers.shift() as PahoEvent
      if (answer.event !== expected) throw new Error(`Paho: ${JSON.stringify(answer)} instead of ${expected}`)
      return answer
    }
    const whole = (message: InteropPublish): InteropMessage => ({
      payload: '',
      qos: 0,
      retain: false,
      properties: {},
      ...message,
    })
    const connected = await ask(
      {
        do: 'connect',
        host: '127.0.0.1',
        transport: transport.startsWith('ws') ? 'websockets' : 'tcp',
        clean: true,
        sessionExpirySeconds: 0,
        keepAliveSeconds: 60,
        ...options,
        ...(will ? { will: whole(will) } : {}),
        ...(caFile === undefined
          ? {}
          : { tls: { ca: caFile, cert: certificate?.certFile, key: certificate?.keyFile } }),
      },
      'connected',
    )
    return {
      sessionPresent: connected.sessionPresent === true,
      subscribe: async (filter, qos) => (await ask({ do: 'subscribe', filter, qos }, 'subscribed')).codes?.[0] ?? -1,
      unsubscribe: async (filter) => void (await ask({ do: 'unsubscribe', filter }, 'unsubscribed')),
      publish: async (message) => void (await ask({ do: 'publish', ...whole(message) }, 'published')),
      async message() {
        while (messages.length === 0) await read()
        return messages.shift() as InteropMessage
      },
      end: async () => void (await ask({ do: 'disconnect' }, 'disconnected')),
      drop: () => process.kill(),
      freeze: () => process.freeze(),
    }
  },
}
