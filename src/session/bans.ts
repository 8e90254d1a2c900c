import { createHash } from 'node:crypto'

import type { Ban, BanEnd, BanInput, BanSubject, BrokerBans } from '../bans.ts'
import { StatemqError } from '../errors.ts'
import type { EventSink } from '../events.ts'
import type { Limits } from '../limits.ts'
import type { Clock } from '../options.ts'
import { includes, readAddress, readRange, type Address, type AddressRange } from './address-range.ts'
import type { Deadline, Deadlines } from './deadlines.ts'

/** Who asks to be let in, as far as it is known already. */
export interface Applicant {
  readonly clientId: string | undefined
  readonly principal: string | undefined
  readonly address: string | undefined
}

interface Entry {
  readonly ban: Ban
  readonly range: AddressRange | undefined
  readonly deadline: Deadline | undefined
}

export interface BansOptions {
  readonly clock: Clock
  readonly deadlines: Deadlines
  readonly events: EventSink
  readonly limits: () => Limits
  /** Whoever is connected and banned now has to go. */
  readonly sendAway: (ban: Ban, matches: (applicant: Applicant) => boolean) => void
}

const MAX_REASON_LENGTH = 1_024

/**
 * Who may not connect. Each ban lies under the most telling part of its subject, so that a CONNECT looks
 * at the few that may be about it, and at none while there are none.
 */
export class Bans implements BrokerBans {
  readonly #options: BansOptions
  readonly #byId = new Map<string, Entry>()
  /** Under `c` and the client identifier, `p` and the principal, or the bits and the prefix of a range. */
  readonly #shelves = new Map<string, Set<Entry>>()
  /** How many bans there are of each length of a range. */
  readonly #lengths = new Map<string, { readonly bits: number; readonly prefix: number; count: number }>()

  constructor(options: BansOptions) {
    this.#options = options
  }

  get isEmpty(): boolean {
    return this.#byId.size === 0
  }

  list(): readonly Ban[] {
    return [...this.#byId.values()].map(({ ban }) => ban)
  }

  get(id: string): Ban | undefined {
    return this.#byId.get(id)?.ban
  }

  add(input: BanInput): Ban {
    const { seconds } = input
    if (seconds !== undefined && (!Number.isSafeInteger(seconds) || seconds < 1))
      throw invalid('seconds: expected a whole number of 1 or more')
    const ban = this.#put(input, 'operator', seconds)
    if (ban === undefined)
      throw new StatemqError('SMQ_BAN_LIMIT', `there are ${this.#options.limits().maxBans} already (limits.maxBans)`)
    return ban
  }

  /** One of the broker's own. Undefined: there is no room for it, or a person has banned the same already. */
  impose(subject: BanSubject, reason: string): Ban | undefined {
    const present = this.get(idOf(subject))
    if (present !== undefined && present.by !== 'broker') return undefined
    return this.#put({ ...subject, reason }, 'broker', this.#options.limits().banSeconds)
  }

  /** Those of the configuration are these, and no others; they are in force whatever the limit is. Throws SMQ_BAN_INVALID. */
  configure(inputs: readonly BanInput[]): void {
    assertBans(inputs)
    const subjects = inputs.map((input) => readSubject(input))
    const wanted = new Set(subjects.map(({ id }) => id))
    for (const { id, by } of this.list()) if (by === 'configuration' && !wanted.has(id)) this.#drop(id, 'configuration')
    for (const [index, input] of inputs.entries()) {
      const present = this.get(subjects[index]!.id)
      if (present?.by === 'configuration' && present.reason === (input.reason ?? '')) continue
      this.#put(input, 'configuration', undefined)
    }
  }

  remove(id: string): boolean {
    return this.#drop(id, 'operator')
  }

  /** Whether nobody from there may come in: asked before anything is read. */
  coversAddress(address: string | undefined): boolean {
    if (this.#lengths.size === 0 || address === undefined) return false
    return this.#ofAddress(readAddress(address)) !== undefined
  }

  find({ clientId, principal, address: text }: Applicant): Ban | undefined {
    const address = text === undefined ? undefined : readAddress(text)
    const fits = ({ ban, range }: Entry): boolean =>
      (ban.clientId === undefined || ban.clientId === clientId) &&
      (ban.principal === undefined || ban.principal === principal) &&
      (range === undefined || (address !== undefined && includes(range, address)))
    const shelves = [
      clientId === undefined ? undefined : this.#shelves.get(`c${clientId}`),
      principal === undefined ? undefined : this.#shelves.get(`p${principal}`),
    ]
    for (const shelf of shelves) for (const entry of shelf ?? []) if (fits(entry)) return entry.ban
    return this.#ofAddress(address)
  }

  #ofAddress(address: Address | undefined): Ban | undefined {
    if (address === undefined) return undefined
    for (const { bits, prefix } of this.#lengths.values()) {
      if (bits !== address.bits) continue
      const shelf = this.#shelves.get(shelfOfRange(bits, prefix, address.value >> BigInt(bits - prefix)))
      for (const { ban } of shelf ?? []) return ban
    }
    return undefined
  }

  #put(input: BanInput, by: Ban['by'], seconds: number | undefined): Ban | undefined {
    const { id, subject, range } = readSubject(input)
    const { clock, deadlines, events, sendAway } = this.#options
    if (by !== 'configuration' && !this.#byId.has(id) && !this.#hasRoom()) return undefined
    this.#take(id)
    const createdAtMs = clock.nowMs()
    const untilMs = seconds === undefined ? null : createdAtMs + seconds * 1000
    const ban = Object.freeze({ id, ...subject, reason: input.reason ?? '', by, createdAtMs, untilMs })
    const deadline = untilMs === null ? undefined : deadlines.schedule(untilMs, () => this.#drop(id, 'ended'))
    const entry = { ban, range, deadline }
    this.#byId.set(id, entry)
    const shelf = shelfOf(entry)
    this.#shelves.set(shelf, (this.#shelves.get(shelf) ?? new Set()).add(entry))
    if (isRangeOnly(entry)) this.#count(entry.range, 1)
    events.emit({ type: 'ban.added', ban })
    sendAway(ban, (applicant) => this.find(applicant) !== undefined)
    return ban
  }

  /** What people have banned is never forgotten; the oldest of the broker's own makes room. */
  #hasRoom(): boolean {
    const { maxBans } = this.#options.limits()
    if (this.#byId.size < maxBans) return true
    for (const [id, { ban }] of this.#byId) if (ban.by === 'broker') return this.#drop(id, 'forgotten')
    return false
  }

  #drop(id: string, cause: BanEnd): boolean {
    const entry = this.#take(id)
    if (entry === undefined) return false
    this.#options.events.emit({ type: 'ban.removed', ban: entry.ban, cause })
    return true
  }

  #take(id: string): Entry | undefined {
    const entry = this.#byId.get(id)
    if (entry === undefined) return undefined
    this.#byId.delete(id)
    this.#options.deadlines.cancel(entry.deadline)
    const name = shelfOf(entry)
    const shelf = this.#shelves.get(name)!
    shelf.delete(entry)
    if (shelf.size === 0) this.#shelves.delete(name)
    if (isRangeOnly(entry)) this.#count(entry.range, -1)
    return entry
  }

  #count({ bits, prefix }: AddressRange, change: 1 | -1): void {
    const name = `${bits}/${prefix}`
    const known = this.#lengths.get(name) ?? { bits, prefix, count: 0 }
    known.count += change
    if (known.count === 0) this.#lengths.delete(name)
    else this.#lengths.set(name, known)
  }
}

function isRangeOnly(entry: Entry): entry is Entry & { readonly range: AddressRange } {
  return entry.ban.clientId === undefined && entry.ban.principal === undefined && entry.range !== undefined
}

function shelfOf(entry: Entry): string {
  const { clientId, principal } = entry.ban
  if (clientId !== undefined) return `c${clientId}`
  if (principal !== undefined) return `p${principal}`
  const { bits, prefix, value } = entry.range!
  return shelfOfRange(bits, prefix, value)
}

function shelfOfRange(bits: number, prefix: number, value: bigint): string {
  return `${bits}/${prefix}:${value.toString(36)}`
}

/** Whether all of them could be configured. Throws SMQ_BAN_INVALID. */
export function assertBans(inputs: readonly BanInput[]): void {
  if (!Array.isArray(inputs as unknown)) throw invalid('bans: expected a list')
  for (const [index, input] of inputs.entries()) readSubject(input, `bans.${index}`)
}

/** Throws SMQ_BAN_INVALID. `place`: where it is in the configuration. */
function readSubject({ clientId, principal, address, reason = '' }: BanInput, place = '') {
  const at = (name: string): string => (place === '' ? name : `${place}.${name}`)
  for (const [name, text] of Object.entries({ clientId, principal, address })) {
    if (text !== undefined && (typeof text !== 'string' || text === '')) throw invalid(`${at(name)}: expected a text`)
  }
  if (typeof reason !== 'string' || reason.length > MAX_REASON_LENGTH)
    throw invalid(`${at('reason')}: expected a text of at most ${MAX_REASON_LENGTH} characters`)
  if (clientId === undefined && principal === undefined && address === undefined)
    throw invalid(`${place === '' ? '' : `${place}: `}name a clientId, a principal or an address`)
  const range = address === undefined ? undefined : readRange(address)
  if (address !== undefined && range === undefined)
    throw invalid(`${at('address')}: ${JSON.stringify(address)} is neither an address nor a range`)
  const subject: BanSubject = {
    ...(clientId === undefined ? {} : { clientId }),
    ...(principal === undefined ? {} : { principal }),
    ...(range === undefined ? {} : { address: range.text }),
  }
  return { id: idOf(subject), subject, range }
}

/** It must say the same wherever it is made, and go into a URL whatever clients call themselves. */
function idOf({ clientId, principal, address }: BanSubject): string {
  const text = JSON.stringify([clientId ?? null, principal ?? null, address ?? null])
  return createHash('sha256').update(text).digest('base64url').slice(0, 22)
}

function invalid(detail: string): StatemqError {
  return new StatemqError('SMQ_BAN_INVALID', detail)
}
