/**
 * A proxy between a program and a server, for what networks do: it holds back what is sent, or what
 * is answered, while every connection stays open.
 */
import { once } from 'node:events'
import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

interface Pair {
  readonly client: Socket
  readonly server: Socket
  /** Requests that were held back; undefined: they go through. */
  requests: Buffer[] | undefined
  holdsAnswers: boolean
}

export class TestProxy {
  readonly #target: string
  readonly #server = createServer((client) => this.#accept(client))
  readonly #pairs = new Set<Pair>()
  #holdsNew: 'requests' | 'answers' | undefined
  #from = ''
  #isHeld = Promise.withResolvers<void>()

  private constructor(target: string) {
    this.#target = target
  }

  /** `target`: the path of a socket. */
  static async to(target: string): Promise<TestProxy> {
    const proxy = new TestProxy(target)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    onTestFinished(() => {
      proxy.#server.close()
      for (const { client, server } of proxy.#pairs) for (const socket of [client, server]) socket.destroy()
    })
    return proxy
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Resolves when something is held back. */
  get held(): Promise<void> {
    return this.#isHeld.promise
  }

  /**
   * From here on nothing reaches the server, on connections that are there and on new ones. `from`: on
   * each connection what comes before this text still does.
   */
  holdRequests(from = ''): void {
    this.#isHeld = Promise.withResolvers()
    this.#holdsNew = 'requests'
    this.#from = from
    for (const pair of this.#pairs) if (from === '') pair.requests ??= []
  }

  /** The server gets everything, and its answers come to nobody. */
  holdAnswers(): void {
    this.#holdsNew = 'answers'
    for (const pair of this.#pairs) pair.holdsAnswers = true
  }

  /** Connections from now on are whole; those that are held stay so. */
  letNewOnesThrough(): void {
    this.#holdsNew = undefined
    for (const pair of this.#pairs) if (pair.requests?.length === 0) pair.requests = undefined
  }

  /** What was held back is gone, and its connections never say so. */
  forget(): void {
    this.#holdsNew = undefined
  }

  /** What was held back arrives now, whoever sent it being there or not. */
  async deliverHeld(): Promise<void> {
    for (const pair of this.#pairs) {
      const { requests, server } = pair
      pair.requests = undefined
      if (requests === undefined || requests.length === 0) continue
      const answered = once(server, 'data')
      for (const request of requests) server.write(request)
      await answered
    }
  }

  #accept(client: Socket): void {
    const server = createConnection(this.#target)
    const pair: Pair = {
      client,
      server,
      requests: this.#holdsNew === 'requests' && this.#from === '' ? [] : undefined,
      holdsAnswers: this.#holdsNew === 'answers',
    }
    this.#pairs.add(pair)
    for (const socket of [client, server]) socket.on('error', () => {})
    client.on('data', (chunk: Buffer) => {
      const isFrom = this.#holdsNew === 'requests' && this.#from !== '' && chunk.includes(this.#from)
      if (isFrom) pair.requests ??= []
      if (pair.requests === undefined) return void server.write(chunk)
      pair.requests.push(chunk)
      this.#isHeld.resolve()
    })
    server.on('data', (chunk: Buffer) => {
      if (!pair.holdsAnswers) client.write(chunk)
    })
    server.on('close', () => client.destroy())
    // A request that is held may arrive although its sender has gone.
    client.on('close', () => {
      if (pair.requests === undefined || pair.requests.length === 0) server.destroy()
    })
  }
}
