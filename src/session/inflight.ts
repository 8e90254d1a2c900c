import type { QoS } from '../messages.ts'
import type { Publication } from '../publication.ts'
import type { DeliveryGroup } from '../router/subscriber.ts'

/** How far the delivery of a QoS 1 or 2 message has come. */
export const InflightState = {
  Free: 0,
  /** PUBLISH sent; PUBACK or PUBREC is due. */
  Published: 1,
  /** PUBREC received, PUBREL sent; PUBCOMP is due. */
  Released: 2,
} as const
export type InflightState = (typeof InflightState)[keyof typeof InflightState]

export interface InflightEntry {
  packetId: number
  state: InflightState
  /** Order of first transmission: resumption repeats it (MQTT-4.4.0-1). */
  sequence: number
  qos: QoS
  retain: boolean
  /** Undefined once released, when only the identifier is still owed; and while that of an earlier process was not read. */
  publication: Publication | undefined
  subscriptionIdentifiers: readonly number[] | undefined
  group: DeliveryGroup | undefined
  /** Its place in the session's line in the store; 0: it has none. */
  place: number
  /** When it was sent last, in `tenthsOf` a second; 0: by an earlier process. */
  sent: number
}

const MAX_PACKET_ID = 65_535
const FIRST_SLOTS = 16

/**
 * The outgoing QoS 1 and 2 messages of a session that are not settled. Identifiers count up and
 * wrap at 65535; an entry lives in the slot `identifier mod size`, and an identifier whose slot is
 * taken is passed over. So one that is in use is never given out again (MQTT-2.2.1-4), and neither
 * adding nor settling allocates or searches.
 */
export class Inflight {
  #slots: (InflightEntry | undefined)[]
  #mask: number
  #lastId = 0
  #sequence = 0
  #size = 0

  /** Without slots until the first message: most of those who are away have none. */
  constructor(initialSlots = 0) {
    this.#slots = Array.from<InflightEntry | undefined>({ length: initialSlots })
    this.#mask = initialSlots - 1
  }

  get size(): number {
    return this.#size
  }

  /** Takes the next free identifier; undefined when all 65535 are in use (threat 55). */
  add(
    publication: Publication,
    qos: QoS,
    retain: boolean,
    subscriptionIdentifiers: readonly number[] | undefined,
    group: DeliveryGroup | undefined,
    place = 0,
    sent = 0,
  ): number | undefined {
    if (this.#size === MAX_PACKET_ID) return undefined
    if (this.#size * 2 >= this.#slots.length && this.#slots.length <= MAX_PACKET_ID) this.#grow()
    let packetId = this.#lastId
    let entry: InflightEntry | undefined
    do {
      packetId = (packetId % MAX_PACKET_ID) + 1
      entry = this.#slots[packetId & this.#mask]
    } while (entry !== undefined && entry.state !== InflightState.Free)
    this.#lastId = packetId
    this.#size++
    if (entry === undefined) {
      this.#slots[packetId & this.#mask] = {
        packetId,
        state: InflightState.Published,
        sequence: this.#sequence++,
        qos,
        retain,
        publication,
        subscriptionIdentifiers,
        group,
        place,
        sent,
      }
      return packetId
    }
    entry.packetId = packetId
    entry.state = InflightState.Published
    entry.sequence = this.#sequence++
    entry.qos = qos
    entry.retain = retain
    entry.publication = publication
    entry.subscriptionIdentifiers = subscriptionIdentifiers
    entry.group = group
    entry.place = place
    entry.sent = sent
    return packetId
  }

  /** Puts back what an earlier process had under way, in the order in which it was sent first; its message is still to be read. */
  restore(packetId: number, state: InflightState, qos: QoS, place: number): InflightEntry {
    if (this.#slots.length === 0) this.#grow()
    while ((this.#slots[packetId & this.#mask]?.state ?? InflightState.Free) !== InflightState.Free) this.#grow()
    const entry: InflightEntry = {
      packetId,
      state,
      sequence: this.#sequence++,
      qos,
      retain: false,
      publication: undefined,
      subscriptionIdentifiers: undefined,
      group: undefined,
      place,
      sent: 0,
    }
    this.#slots[packetId & this.#mask] = entry
    this.#lastId = packetId
    this.#size++
    return entry
  }

  get(packetId: number): InflightEntry | undefined {
    const entry = this.#slots[packetId & this.#mask]
    return entry !== undefined && entry.packetId === packetId && entry.state !== InflightState.Free ? entry : undefined
  }

  /** Frees the identifier; the entry object stays in its slot for the next message. */
  settle(entry: InflightEntry): void {
    entry.state = InflightState.Free
    entry.publication = undefined
    entry.subscriptionIdentifiers = undefined
    entry.group = undefined
    this.#size--
  }

  /** All unsettled entries in the order of their first transmission. */
  inOrder(): InflightEntry[] {
    const entries: InflightEntry[] = []
    for (const entry of this.#slots) if (entry !== undefined && entry.state !== InflightState.Free) entries.push(entry)
    return entries.sort((a, b) => a.sequence - b.sequence)
  }

  #grow(): void {
    const unsettled = this.inOrder()
    const length = Math.max(FIRST_SLOTS, this.#slots.length * 2)
    this.#slots = Array.from<InflightEntry | undefined>({ length })
    this.#mask = length - 1
    for (const entry of unsettled) this.#slots[entry.packetId & this.#mask] = entry
  }
}
