import { elapsed } from '../support/moments.ts'

/**
 * What publishers were promised and what subscribers got, over any number of processes of the broker,
 * and what of it must not be so.
 */
interface Sent {
  readonly qos: 1 | 2
  isAccepted: boolean
}

export class History {
  /** By publisher and number: `a:17`; wills too. */
  readonly #sent = new Map<string, Sent>()
  /** By subscriber, in the order of arrival. */
  readonly #received = new Map<string, string[]>()
  /** Subscribers that asked for QoS 2. */
  readonly #atQoS2 = new Set<string>()
  /** By subscriber: publishers whose messages it does not ask for. */
  readonly #notAsked = new Map<string, readonly string[]>()
  readonly #retained = new Map<string, { readonly sent: string[]; acceptedAt: number }>()
  /** What was wrong at once. */
  readonly #violations: string[] = []
  kills = 0
  #alarm: { left: number; readonly ring: () => void } | undefined

  /** Calls `ring` as soon as clients have got so many more packets. */
  after(packets: number, ring: () => void): void {
    this.#alarm = { left: packets, ring }
  }

  /** A client got a packet. */
  tick(): void {
    if (this.#alarm === undefined || --this.#alarm.left > 0) return
    const { ring } = this.#alarm
    this.#alarm = undefined
    ring()
  }

  /** Resolves when clients have got so many more packets, or nothing more comes. */
  async packets(count: number): Promise<void> {
    await Promise.race([new Promise<void>((resolve) => this.after(count, resolve)), elapsed(2_000)])
  }

  /** Topics of which a message was acknowledged. */
  get retainedTopics(): number {
    return [...this.#retained.values()].filter(({ acceptedAt }) => acceptedAt >= 0).length
  }

  violation(text: string): void {
    this.#violations.push(text)
  }

  /** It was handed to the broker, perhaps. */
  sent(payload: string, qos: 1 | 2): void {
    this.#sent.set(payload, { qos, isAccepted: false })
  }

  /** It was acknowledged: from now on the broker answers for it. */
  accepted(payload: string): void {
    this.#sent.get(payload)!.isAccepted = true
  }

  subscribed(subscriber: string, qos: 1 | 2, notAsked: readonly string[] = []): void {
    this.#notAsked.set(subscriber, notAsked)
    if (!this.#received.has(subscriber)) this.#received.set(subscriber, [])
    if (qos === 2) this.#atQoS2.add(subscriber)
  }

  received(subscriber: string, payload: string): void {
    if (!this.#sent.has(payload)) this.violation(`${subscriber} got ${payload}, which nobody sent`)
    this.#received.get(subscriber)!.push(payload)
  }

  retainedSent(topic: string, payload: string): void {
    const found = this.#retained.get(topic) ?? { sent: [], acceptedAt: -1 }
    found.sent.push(payload)
    this.#retained.set(topic, found)
  }

  retainedAccepted(topic: string, payload: string): void {
    const found = this.#retained.get(topic)!
    found.acceptedAt = Math.max(found.acceptedAt, found.sent.indexOf(payload))
  }

  get accepts(): number {
    return [...this.#sent.values()].filter(({ isAccepted }) => isAccepted).length
  }

  /** How many accepted messages some subscriber still waits for. */
  get missing(): number {
    let missing = 0
    for (const [subscriber, received] of this.#received) {
      const got = new Set(received)
      for (const [payload, { isAccepted }] of this.#sent) {
        if (isAccepted && !got.has(payload) && this.#asksFor(subscriber, payload)) missing++
      }
    }
    return missing
  }

  /** Everything that must not be; `retained` is what a new subscriber found at the end. */
  problems(retained: ReadonlyMap<string, string>): string[] {
    const problems = [...this.#violations]
    for (const [subscriber, received] of this.#received) {
      problems.push(...this.#countProblems(subscriber, received), ...this.#orderProblems(subscriber, received))
    }
    for (const [topic, { sent, acceptedAt }] of this.#retained) {
      const at = sent.indexOf(retained.get(topic) ?? '')
      if (at < acceptedAt) problems.push(`${topic} holds ${retained.get(topic)}, not ${sent[acceptedAt]} or later`)
    }
    return problems
  }

  #asksFor(subscriber: string, payload: string): boolean {
    return this.#notAsked.get(subscriber)?.includes(payload.slice(0, payload.indexOf(':'))) !== true
  }

  #countProblems(subscriber: string, received: readonly string[]): string[] {
    const counts = new Map<string, number>()
    for (const payload of received) counts.set(payload, (counts.get(payload) ?? 0) + 1)
    return [...this.#sent].flatMap(([payload, { qos, isAccepted }]) => {
      const count = counts.get(payload) ?? 0
      if (isAccepted && count === 0 && this.#asksFor(subscriber, payload))
        return `${subscriber} never got ${payload}, which was acknowledged`
      return qos === 2 && count > 1 && this.#atQoS2.has(subscriber)
        ? `${subscriber} got ${payload} ${count} times at QoS 2`
        : []
    })
  }

  /** MQTT-4.6.0-6, of those of one publisher and QoS: in the order of first arrival, as they were sent. */
  #orderProblems(subscriber: string, received: readonly string[]): string[] {
    // A group has several members, and each an order of its own.
    if (this.#notAsked.get(subscriber)?.length !== 0) return []
    const last = new Map<string, number>()
    return [...new Set(received)].flatMap((payload) => {
      const [publisher, number] = payload.split(':') as [string, string]
      if (publisher === 'will') return []
      const name = `${publisher} at QoS ${this.#sent.get(payload)?.qos}`
      const before = last.get(name) ?? -1
      last.set(name, Number(number))
      return Number(number) < before ? `${subscriber} got ${payload} of ${name} after ${before}` : []
    })
  }
}
