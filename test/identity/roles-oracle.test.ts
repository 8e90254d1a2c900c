/**
 * Threat 78: whole brokers against the naive evaluator. Clients of both versions subscribe, share,
 * publish, leave and come back while their roles and the definitions change; after each publish
 * everybody must have got exactly what the evaluator lets them have. Seeded, so that a failure comes again.
 */
import { describe, expect, test } from 'vitest'

import type { Permission, QoS, RoleDefinitions } from '../../src/index.ts'
import { topicMatches } from '../../src/router/topics.ts'
import { drawFrom, type Draw } from '../support/draw.ts'
import { isAllowed } from '../support/naive-acl.ts'
import type { RawClient } from '../support/raw-client.ts'
import { puback, pubcomp, publish, pubrec, subscribe, unsubscribe } from '../support/wire.ts'
import { startScene } from './sessions-scene.ts'

type Scene = ReturnType<typeof startScene>

const levels = ['a', 'b', 'c0', 'x']
const topics = levels.flatMap((one) => [one, ...levels.flatMap((two) => [`${one}/${two}`, `${one}/${two}/a`])])
const filters = ['#', '+', 'a', 'b', 'a/#', 'b/#', '+/b', 'a/+', '+/+/a', 'c0/#', '+/b/#', 'a/b/a', 'x/+']
const permissionTopics = [...filters, '%c/#', 'a/%c', '%u/+', '+/%p{place}', 'x/%p{place}/#']
const groups = ['g', 'h']
const roleNames = ['r0', 'r1', 'r2', 'r3', 'r4']

interface Subscribed {
  readonly filter: string
  readonly group: string | undefined
  readonly qos: QoS
  /** MQTT 5: tells the deliveries of a subscription. */
  readonly identifier: number
}

interface Client {
  readonly clientId: string
  readonly version: 4 | 5
  readonly principal: string
  readonly properties: Readonly<Record<string, string>>
  roles: string[]
  /** Undefined while it is away. */
  raw: RawClient | undefined
  /** By the filter as it was sent: what SUBACK has accepted. */
  readonly accepted: Map<string, Subscribed>
  /** What must come once it is back. */
  waiting: Message[]
}

interface Message {
  readonly topic: string
  readonly qos: QoS
  readonly payload: string
  /** Sorted; of MQTT 5. */
  readonly identifiers: readonly number[]
}

class Run {
  readonly #draw: Draw
  readonly #scene: Scene
  #definitions: RoleDefinitions
  readonly #clients: Client[] = []
  #count = 0
  #packetId = 0
  #identifier = 0
  /** Messages that arrived and that were withheld: a run in which neither happens shows nothing. */
  readonly seen = { delivered: 0, withheld: 0, shared: 0, refused: 0, lost: 0 }

  constructor(seed: number) {
    this.#draw = drawFrom(seed)
    this.#definitions = this.#makeDefinitions()
    this.#scene = startScene({
      roles: this.#definitions,
      deniedPublish: { mqtt3: 'drop' },
      limits: { maxInflightMessages: 1_000, receiveMaximumMessages: 1_000 },
    })
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#draw(from.length)]!
  }

  #chance(percent: number): boolean {
    return this.#draw(100) < percent
  }

  #makeDefinitions(): RoleDefinitions {
    const permission = (): Permission => {
      const actions = this.#pick(['subscribe', 'subscribe', 'publish', ['publish', 'subscribe']] as const)
      const subscribes = actions !== 'publish'
      const group = subscribes && this.#chance(15) ? { group: this.#pick(groups) } : {}
      const shared = subscribes && !('group' in group) && this.#chance(15) ? { shared: this.#chance(50) } : {}
      const qos = this.#chance(25) ? { qos: this.#pick([[0], [0, 1], [1, 2], [2]] as const) } : {}
      const scope = { topic: this.#pick(permissionTopics), ...qos, ...group, ...shared }
      return this.#chance(70) ? { ...scope, allow: actions } : { ...scope, deny: actions }
    }
    return Object.fromEntries(
      roleNames.map((name, n) => [
        name,
        {
          permissions: Array.from({ length: 1 + this.#draw(4) }, permission),
          ...(n > 0 && this.#chance(20) ? { include: [roleNames[n - 1]!] } : {}),
        },
      ]),
    )
  }

  #someRoles(): string[] {
    return roleNames.filter(() => this.#chance(45))
  }

  async start(): Promise<void> {
    for (let n = 0; n < 6; n += 1) {
      const client: Client = {
        clientId: n === 5 ? 'b' : `c${n}`,
        version: n % 3 === 2 ? 4 : 5,
        principal: this.#pick(['a', 'b', '+', '']) || `p${n}`,
        properties: { place: this.#pick(['a', 'b', '#']) },
        roles: this.#someRoles(),
        raw: undefined,
        accepted: new Map(),
        waiting: [],
      }
      this.#clients.push(client)
      await this.#join(client)
    }
  }

  async #join(client: Client): Promise<void> {
    const { clientId, version, principal, properties, roles } = client
    const options = version === 5 ? { properties: { sessionExpiryInterval: 600, receiveMaximum: 1_000 } } : {}
    const given = { principal, properties, roles }
    client.raw = await this.#scene.join(clientId, given, { version, cleanStart: false, ...options })
    await this.#scene.settle()
    const due = client.waiting
    client.waiting = []
    expect(await this.#take(client)).toEqual(due)
  }

  /** What has come, acknowledged to the end. */
  async #take({ raw, version }: Client): Promise<Message[]> {
    const got: Message[] = []
    for (let more = true; more;) {
      more = false
      for (const packet of await raw!.drain()) {
        if (packet.type === 'pubrel') raw!.send(pubcomp(packet.packetId))
        if (packet.type !== 'publish') continue
        more = true
        if (packet.qos === 1) raw!.send(puback(packet.packetId))
        if (packet.qos === 2) raw!.send(pubrec(packet.packetId))
        const { topic, payload, qos, properties } = packet
        const identifiers = version === 5 ? [...(properties.subscriptionIdentifiers ?? [])].sort((a, b) => a - b) : []
        got.push({ topic, payload, qos: qos as QoS, identifiers })
      }
    }
    return got
  }

  #may(client: Client, topic: string, qos: QoS, group?: string): boolean {
    return isAllowed(this.#definitions, client, { action: 'subscribe', topic, qos, group })
  }

  #highest(client: Client, topic: string, qos: QoS, group?: string): QoS | undefined {
    return ([2, 1, 0] as const).find((one) => one <= qos && this.#may(client, topic, one, group))
  }

  // --- what clients do ----------------------------------------------------------------------

  async step(): Promise<void> {
    const online = this.#clients.filter(({ raw }) => raw !== undefined)
    const client = this.#pick(this.#clients)
    const kind = this.#draw(100)
    if (kind < 50) await this.#publish(this.#pick(online))
    else if (kind < 75) await this.#subscribe(this.#pick(online))
    else if (kind < 80) await this.#unsubscribe(this.#pick(online))
    else if (kind < 90) await this.#changeRoles(client)
    else if (kind < 94) await this.#reload()
    else await this.#leaveOrReturn(client)
  }

  async #subscribe(client: Client): Promise<void> {
    // Members that may leave have no shared subscriptions: which of them gets what is another test's.
    const group = client.version === 5 && !this.#mayLeave(client) && this.#chance(30) ? this.#pick(groups) : undefined
    const inner = this.#pick(filters)
    const filter = group === undefined ? inner : `$share/${group}/${inner}`
    const qos = this.#draw(3) as QoS
    const identifier = ++this.#identifier
    const packetId = ++this.#packetId
    const { version } = client
    const properties = version === 5 ? { subscriptionIdentifiers: [identifier] } : {}
    client.raw!.send(subscribe({ version, packetId, filters: [[filter, { qos }]], properties }))
    const suback = await client.raw!.expectPacket('suback', { packetId })
    if (suback.reasonCodes[0]! < 0x80) {
      expect(suback.reasonCodes[0]).toBeLessThanOrEqual(qos)
      client.accepted.set(filter, { filter: inner, group, qos, identifier })
      return
    }
    expect(suback.reasonCodes).toEqual([version === 5 ? 0x87 : 0x80])
    this.seen.refused += 1
    client.accepted.delete(filter)
    const readable = topics.filter(
      (topic) => topicMatches(inner, topic) && this.#highest(client, topic, qos, group) !== undefined,
    )
    expect(readable).toEqual([])
  }

  async #unsubscribe(client: Client): Promise<void> {
    const filter = this.#pick([...client.accepted.keys(), 'never'])
    const packetId = ++this.#packetId
    client.raw!.send(unsubscribe({ version: client.version, packetId, filters: [filter] }))
    const { reasonCodes } = await client.raw!.expectPacket('unsuback', { packetId })
    if (client.version === 5) expect(reasonCodes).toEqual([client.accepted.has(filter) ? 0 : 0x11])
    client.accepted.delete(filter)
  }

  async #changeRoles(client: Client): Promise<void> {
    const roles = this.#someRoles()
    const remove = client.roles.filter((role) => !roles.includes(role))
    const add = roles.filter((role) => !client.roles.includes(role))
    if (remove.length + add.length === 0) return
    this.#scene.view(client.clientId).changeRoles({ remove, add })
    client.roles = roles
    this.#forgetDenied(client)
    await this.#scene.settle()
  }

  async #reload(): Promise<void> {
    this.#definitions = this.#makeDefinitions()
    await this.#scene.broker.reload({ roles: this.#definitions })
    for (const client of this.#clients) this.#forgetDenied(client)
    await this.#scene.settle()
  }

  #forgetDenied(client: Client): void {
    client.waiting = client.waiting.flatMap((message) => {
      const qos = this.#highest(client, message.topic, message.qos)
      if (qos === undefined) this.seen.lost += 1
      return qos === undefined ? [] : [{ ...message, qos }]
    })
    // The broker keeps QoS 0 in a line of its own, which goes first.
    const isFirst = ({ qos }: Message): boolean => qos === 0
    client.waiting = [...client.waiting.filter(isFirst), ...client.waiting.filter((message) => !isFirst(message))]
  }

  #mayLeave({ clientId }: Client): boolean {
    return clientId === 'c3' || clientId === 'c2'
  }

  async #leaveOrReturn(client: Client): Promise<void> {
    if (!this.#mayLeave(client)) return
    if (client.raw === undefined) return this.#join(client)
    client.raw.drop()
    client.raw = undefined
    await this.#scene.settle()
  }

  // --- the publish, and what must come of it --------------------------------------------------

  async #publish(client: Client): Promise<void> {
    const topic = this.#pick(topics)
    const qos = this.#draw(3) as QoS
    const payload = `${++this.#count}`
    const packetId = 30_000 + this.#count
    const { version, raw } = client
    const may = isAllowed(this.#definitions, client, { action: 'publish', topic, qos, retain: false })
    const alias = version === 5 && this.#chance(50) ? { properties: { topicAlias: 1 + this.#draw(5) } } : {}
    const packet = { version, payload, qos, ...(qos > 0 ? { packetId } : {}), ...alias }
    raw!.send(publish({ ...packet, topic }))
    const got = new Map<Client, Message[]>()
    if (qos > 0) await this.#expectAnswer(client, qos, packetId, may, got)
    // Who may not publish leaves the word to the broker, so that each step shows something of the deliveries.
    if (!may) {
      await this.#scene.settle()
      for (const one of this.#clients) if (one.raw) expect(await this.#takeAll(one, got)).toEqual([])
      await this.#scene.broker.publish({ topic, qos, payload })
    }
    await this.#scene.settle()
    await this.#expectDeliveries(topic, qos, payload, got)
  }

  async #takeAll(client: Client, got: Map<Client, Message[]>): Promise<Message[]> {
    return [...(got.get(client) ?? []), ...(await this.#take(client))]
  }

  /** PUBACK or PUBREC; a client's own messages may come before it. */
  async #expectAnswer(
    client: Client,
    qos: QoS,
    packetId: number,
    may: boolean,
    got: Map<Client, Message[]>,
  ): Promise<void> {
    const raw = client.raw!
    for (;;) {
      const packet = await raw.next()
      if (packet === 'closed') throw new Error('closed')
      if (packet.type === 'publish') {
        if (packet.qos === 1) raw.send(puback(packet.packetId))
        if (packet.qos === 2) raw.send(pubrec(packet.packetId))
        const identifiers = [...(packet.properties.subscriptionIdentifiers ?? [])].sort((a, b) => a - b)
        const { topic, payload } = packet
        got.set(client, [...(got.get(client) ?? []), { topic, payload, qos: packet.qos as QoS, identifiers }])
        continue
      }
      if (packet.type === 'pubrel') {
        raw.send(pubcomp(packet.packetId))
        continue
      }
      expect(packet).toMatchObject({ type: qos === 1 ? 'puback' : 'pubrec', packetId })
      if (client.version === 5) expect('reasonCode' in packet && packet.reasonCode === 0x87).toBe(!may)
      return
    }
  }

  async #expectDeliveries(topic: string, qos: QoS, payload: string, got: Map<Client, Message[]>): Promise<void> {
    const sharedBy = new Map<string, number>()
    for (const client of this.#clients) {
      const mine = [...client.accepted.values()].filter(({ filter }) => topicMatches(filter, topic))
      const ordinary = mine.filter(({ group }) => group === undefined)
      const asked = Math.min(qos, Math.max(-1, ...ordinary.map((one) => one.qos)))
      const level = asked < 0 ? undefined : this.#highest(client, topic, asked as QoS)
      if (ordinary.length > 0 && level === undefined) this.seen.withheld += 1
      const identifiers = client.version === 5 ? ordinary.map((one) => one.identifier).sort((a, b) => a - b) : []
      const expected: Message[] = level === undefined ? [] : [{ topic, qos: level, payload, identifiers }]
      if (client.raw === undefined) {
        client.waiting.push(...expected.filter((message) => message.qos > 0))
        continue
      }
      const came = await this.#takeAll(client, got)
      const isShared = ({ identifiers: [identifier] }: Message): boolean =>
        mine.some((one) => one.group !== undefined && one.identifier === identifier)
      expect(came.filter((message) => !isShared(message))).toEqual(expected)
      this.seen.delivered += expected.length
      for (const message of came.filter(isShared)) {
        const one = mine.find(({ identifier }) => identifier === message.identifiers[0])!
        const most = Math.min(qos, one.qos) as QoS
        expect(message).toMatchObject({ topic, payload, qos: this.#highest(client, topic, most, one.group) })
        const key = `${one.group}/${one.filter}`
        sharedBy.set(key, (sharedBy.get(key) ?? 0) + 1)
      }
    }
    expect(Object.fromEntries(sharedBy)).toEqual(Object.fromEntries(this.#sharedDue(topic, qos)))
  }

  /** Each group of which a member may have the message gets it once. */
  #sharedDue(topic: string, qos: QoS): Map<string, number> {
    const due = new Map<string, number>()
    for (const client of this.#clients) {
      for (const { group, filter, qos: asked } of client.accepted.values()) {
        if (group === undefined || !topicMatches(filter, topic)) continue
        if (this.#highest(client, topic, Math.min(qos, asked) as QoS, group) === undefined) continue
        due.set(`${group}/${filter}`, 1)
      }
    }
    this.seen.shared += due.size
    return due
  }
}

describe('threat 78: every delivery is one that the naive evaluator allows, and none is missing', () => {
  test.each(Array.from({ length: 10 }, (_, n) => 1_000 + n))(
    'seed %i',
    async (seed) => {
      const run = new Run(seed)
      await run.start()
      for (let n = 0; n < 150; n += 1) await run.step()
      expect(run.seen.delivered).toBeGreaterThan(10)
      expect(run.seen.withheld).toBeGreaterThan(10)
      expect(run.seen.refused).toBeGreaterThan(2)
    },
    30_000,
  )
})
