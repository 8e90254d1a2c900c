import type { RetainedMessage, RetainedPage, RetainedQuery } from '../inspection.ts'
import { msOfTenths } from '../publication.ts'
import type { SessionCore } from './core.ts'
import { compareTexts, type Orders, pageOf, type Slices, sortInSlices } from './inspect-order.ts'

/** Levels that are read from the tree in one go. */
const LEVELS_AT_ONCE = 512

/** The tree of retained messages, a level at a time, and the messages in it. */
export class RetainedTree {
  readonly #core: SessionCore
  readonly #orders: Orders

  constructor(core: SessionCore, orders: Orders) {
    this.#core = core
    this.#orders = orders
  }

  async page({ under, offset, limit }: RetainedQuery): Promise<RetainedPage> {
    const name = JSON.stringify(['retained', under])
    const levels = await this.#orders.get(name, (slices) => this.#read(under ?? undefined, slices))
    const page = pageOf(levels, offset, Math.min(limit, this.#core.limits.maxInspectedRows))
    return { total: levels.length, offset, levels: page.map((level) => this.#row(under, level)) }
  }

  /** One that has expired is none. */
  message(topic: string): RetainedMessage | undefined {
    const publication = this.#core.router.retained.get(topic)
    if (publication === undefined) return undefined
    const { qos, payload, payloadLength, expiresAtMs, arrived, publisher, properties = {} } = publication
    return {
      topic,
      qos,
      payloadBase64: payload.subarray(0, this.#core.limits.maxInspectedPayloadBytes).toString('base64'),
      payloadBytes: payloadLength,
      atMs: msOfTenths(arrived) ?? null,
      expiresAtMs: expiresAtMs === Infinity ? null : expiresAtMs,
      publisher: publisher === '' ? null : publisher,
      contentType: properties.contentType ?? null,
      userProperties: properties.userProperties ?? [],
    }
  }

  /** Nobody is sent anything: who subscribes from now on does not get it any more. */
  async delete(topic: string): Promise<boolean> {
    const { router, store } = this.#core
    if (!router.retained.remove(topic)) return false
    await store?.durable()
    return true
  }

  async #read(under: string | undefined, slices: Slices): Promise<readonly string[]> {
    const cursor = this.#core.router.retained.levels(under)
    const levels: string[] = []
    try {
      while (!cursor.read(levels, LEVELS_AT_ONCE)) {
        const pause = slices.over()
        if (pause) await pause
      }
    } finally {
      cursor.close()
    }
    return sortInSlices(levels, compareTexts, slices)
  }

  #row(under: string | null, level: string): RetainedPage['levels'][number] {
    const topic = under === null ? level : `${under}/${level}`
    const { retained } = this.#core.router
    const publication = retained.get(topic)
    return {
      level,
      topic,
      hasMessage: publication !== undefined,
      hasChildren: retained.levelOf(topic).hasChildren,
      payloadBytes: publication?.payloadLength ?? null,
      qos: publication?.qos ?? null,
    }
  }
}
