/** A NestJS microservice whose transport is the broker in its own process: patterns are MQTT topics. */
import 'reflect-metadata'
import assert from 'node:assert/strict'

import { Controller, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import {
  BaseRpcContext,
  Ctx,
  EventPattern,
  MessagePattern,
  Payload,
  Server,
  type CustomTransportStrategy,
  type MicroserviceOptions,
  type ReadPacket,
  type WritePacket,
} from '@nestjs/microservices'
import { connectAsync } from 'mqtt'
import { createBroker, type Broker, type LocalClient, type Message } from 'statemq'

/** What a handler gets besides the payload: the message as the broker routed it. */
class MqttMessageContext extends BaseRpcContext<[Message]> {
  get message(): Message {
    return this.getArgByIndex(0) as Message
  }
}

type Events = Record<'closed', (reasonCode: number | undefined) => void>

/**
 * Handlers are subscriptions of one in-process client, so they have a session like any other: hooks, roles and limits
 * hold for them, and `statemq sessions` lists them. A request is a message with a Response Topic (MQTT 5).
 */
class StatemqTransport extends Server<Events> implements CustomTransportStrategy {
  readonly #broker: Broker
  #client: LocalClient | undefined

  constructor(broker: Broker) {
    super()
    this.#broker = broker
    this.initializeSerializer({})
    this.initializeDeserializer({})
  }

  async listen(callback: (error?: unknown) => void): Promise<void> {
    try {
      this.#client = await this.#broker.client({ clientId: 'nest' })
      for (const filter of this.messageHandlers.keys()) {
        this.#client.messages(filter, { qos: 1 }).subscribe((message) => void this.#handle(filter, message))
      }
      callback()
    } catch (error) {
      callback(error)
    }
  }

  async #handle(filter: string, message: Message): Promise<void> {
    const context = new MqttMessageContext([message])
    const data: unknown = JSON.parse(message.payload.toString())
    const handler = this.getHandlerByPattern(filter)
    if (!handler) return
    if (handler.isEventHandler) {
      await this.handleEvent(filter, { pattern: filter, data } satisfies ReadPacket, context)
      return
    }
    const { responseTopic, correlationData } = message.properties
    this.handleRequest(
      context,
      async () => this.transformToObservable(await handler(data, context)),
      async ({ response, err }: WritePacket) => {
        if (responseTopic === undefined || (response === undefined && err === undefined)) return
        const properties = correlationData ? { correlationData } : {}
        const payload = JSON.stringify(err === undefined ? { response: response as unknown } : { error: String(err) })
        await this.#client?.publish({ topic: responseTopic, payload, qos: 1, properties })
      },
    )
  }

  async close(): Promise<void> {
    await this.#client?.close()
  }

  async on<Name extends keyof Events>(event: Name, callback: Events[Name]): Promise<void> {
    if (event === 'closed') callback(await this.#client?.closed)
  }

  unwrap<T>(): T {
    return this.#broker as T
  }
}

class PressController {
  readonly heats: string[] = []

  /** Answers `{ press }` with what is known of it. */
  average({ press }: { readonly press: string }): { readonly press: string; readonly heats: number } {
    return { press, heats: this.heats.filter((topic) => topic.includes(`/${press}/`)).length }
  }

  heat(_degrees: number, { message }: MqttMessageContext): void {
    this.heats.push(message.topic)
  }
}
class AppModule {}

/**
 * What stands as `@Controller()`, `@MessagePattern('presses/average')` and so on in a project that is compiled: Node
 * runs this file as it is, and decorators are no JavaScript yet.
 */
function decorate(): void {
  const methodOf = (name: 'average' | 'heat') =>
    [PressController.prototype, name, Object.getOwnPropertyDescriptor(PressController.prototype, name)!] as const
  Controller()(PressController)
  MessagePattern('presses/average')(...methodOf('average'))
  Payload()(PressController.prototype, 'average', 0)
  EventPattern('plant/+/heat')(...methodOf('heat'))
  Payload()(PressController.prototype, 'heat', 0)
  Ctx()(PressController.prototype, 'heat', 1)
  Module({ controllers: [PressController] })(AppModule)
}

decorate()
const broker = createBroker()
const { address } = await broker.listen({ transport: 'tcp', port: 0 })
const app = await NestFactory.createMicroservice<MicroserviceOptions>(AppModule, {
  strategy: new StatemqTransport(broker),
  logger: false,
})
await app.listen()

// A device, and somebody who asks; neither needs to know that Nest is there.
const port = 'port' in address ? address.port : 0
const device = await connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 5, clientId: 'press-1' })
await device.subscribeAsync('answers/press-1', { qos: 1 })
const answered = new Promise<{ readonly payload: string; readonly correlation: string }>((resolve) =>
  device.once('message', (_topic, payload, { properties }) =>
    resolve({ payload: payload.toString(), correlation: String(properties?.correlationData) }),
  ),
)
await device.publishAsync('plant/press-1/heat', '181', { qos: 1 })
await device.publishAsync('plant/press-1/heat', '182', { qos: 1 })
await device.publishAsync('presses/average', JSON.stringify({ press: 'press-1' }), {
  qos: 1,
  properties: { responseTopic: 'answers/press-1', correlationData: Buffer.from('question 1') },
})
assert.deepEqual(await answered, {
  payload: JSON.stringify({ response: { press: 'press-1', heats: 2 } }),
  correlation: 'question 1',
})
assert.equal(broker.sessions.get('nest')?.state, 'online')

await device.endAsync()
await app.close()
await broker.close()
