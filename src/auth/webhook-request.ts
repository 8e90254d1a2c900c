import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders, type RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'

/** What came back, whole. */
export interface WebhookAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

export interface WebhookTransport {
  readonly url: URL
  /** Headers of every request. */
  readonly headers: Readonly<Record<string, string>>
  /** PEM: authorities of the endpoint's certificate. */
  readonly ca: string | Buffer | undefined
  readonly maxConnections: number
  readonly timeoutMs: number
  readonly maxBytes: number
}

/**
 * Posts JSON to one endpoint over connections that are kept. Node's plain client, since it follows
 * no redirects (threat 97), takes authorities of one's own, and never asks a proxy.
 */
export class WebhookClient {
  readonly #transport: WebhookTransport
  readonly #agent: HttpAgent | HttpsAgent

  constructor(transport: WebhookTransport) {
    this.#transport = transport
    const { url, ca, maxConnections } = transport
    const common = { keepAlive: true, maxSockets: maxConnections, maxFreeSockets: maxConnections }
    this.#agent =
      url.protocol === 'https:' ? new HttpsAgent({ ...common, ...(ca ? { ca } : {}) }) : new HttpAgent(common)
  }

  /** Rejects when the whole answer is not there in time, or is too large, or when nobody waits for it any more. */
  async post(body: Buffer, signal: AbortSignal): Promise<WebhookAnswer> {
    const { url, headers, timeoutMs } = this.#transport
    const options: RequestOptions = {
      method: 'POST',
      agent: this.#agent,
      signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), signal]),
      headers: {
        accept: 'application/json',
        ...headers,
        'content-type': 'application/json; charset=utf-8',
        'content-length': body.length,
      },
    }
    try {
      return await this.#exchange(url, options, body)
    } catch (error) {
      if ((error as Error).name !== 'AbortError' || signal.aborted) throw error
      throw new Error(`no answer within ${timeoutMs} ms`, { cause: error })
    }
  }

  #exchange(url: URL, options: RequestOptions, body: Buffer): Promise<WebhookAnswer> {
    const { maxBytes } = this.#transport
    return new Promise((resolve, reject) => {
      const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, options, (response) => {
        const chunks: Buffer[] = []
        let bytes = 0
        response.on('data', (chunk: Buffer) => {
          chunks.push(chunk)
          bytes += chunk.length
          if (bytes > maxBytes) request.destroy(new Error(`an answer of more than ${maxBytes} bytes`))
        })
        response.on('error', reject)
        response.on('end', () => {
          const { statusCode = 0, headers } = response
          resolve({ status: statusCode, headers, body: Buffer.concat(chunks) })
        })
      })
      request.on('error', reject)
      request.end(body)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}
