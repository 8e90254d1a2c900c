import { frozenRecord } from '../../machines/session.changes.ts'
import { StatemqError, type ErrorCode } from '../errors.ts'
import type { Limits } from '../limits.ts'
import {
  assignablePropertyNames,
  isPropertyName,
  type AttributeScope,
  type AttributeValue,
  type PropertySource,
} from '../properties.ts'
import { ReasonCode } from '../reason-codes.ts'
import { propertiesOf, rolesOf } from './fixed-properties.ts'
import type { Session } from './session.ts'

/** What an operation came to for one session. */
export interface SessionOutcome<Previous = undefined> {
  readonly clientId: string
  readonly sessionId: string
  /** `unchanged`: it was already as the operation wants it, and nobody was told of anything. */
  readonly outcome: 'done' | 'unchanged' | 'failed'
  /** Where it failed. */
  readonly error: ErrorCode | undefined
  /** Why it failed, for people. */
  readonly reason: string | undefined
  /** Where it was done: what there was before, of what has changed. */
  readonly previous: Previous | undefined
}

/** Roles to take away and to give. One that is absent or present already is passed over. */
export interface RoleChange {
  readonly remove?: readonly string[]
  readonly add?: readonly string[]
}

/** Values by name; null removes. */
export type PropertyChange = Readonly<Record<string, string | null>>
/** Attributes by name; null removes. */
export type AttributeChange = Readonly<Record<string, AttributeValue | null>>

/** By name, before an operation; undefined: there was none. Null prototype. */
export type PreviousValues<T> = Readonly<Record<string, T | undefined>>

const assignable: ReadonlySet<string> = new Set(assignablePropertyNames)

/** One operation on one session, in somebody's name; what it was made with has been checked. */
export type SessionOperation<Previous = undefined> = (session: Session, by: string) => SessionOutcome<Previous>

/** In an event: who asked for it, where that is known. */
export function named(by: string): { readonly by?: string } {
  return by === '' ? {} : { by }
}

/** Throws SMQ_SESSION_CHANGE_INVALID where there is nothing to change, or one role is to go and to come. */
export function roleChange({ remove = [], add = [] }: RoleChange): SessionOperation<readonly string[]> {
  for (const roles of [remove, add]) {
    if (!Array.isArray(roles) || roles.some((role) => typeof role !== 'string' || role === ''))
      throw invalid('roles are a list of names')
  }
  if (remove.length === 0 && add.length === 0) throw invalid('there is no role to add or to remove')
  const both = add.find((role) => remove.includes(role))
  if (both !== undefined) throw invalid(`the role ${JSON.stringify(both)} is to be added and removed`)
  const removed = new Set(remove)
  return (session, by) => {
    const previous = rolesOf(session.grant)
    const kept = previous.filter((role) => !removed.has(role))
    const roles = Object.freeze([...new Set([...kept, ...add])])
    // Nothing was removed from it, and what was added was there.
    if (roles.length === previous.length && kept.length === previous.length) return outcomeOf(session, 'unchanged')
    session.send({ type: 'roles.change', roles, ...named(by) })
    return changed(session, previous)
  }
}

/** Throws SMQ_SESSION_CHANGE_INVALID for names and values that cannot be a property's. */
export function propertyChange(change: PropertyChange): SessionOperation<PreviousValues<string>> {
  const entries = entriesOf(change)
  for (const [name, value] of entries) {
    if (name.startsWith('$') ? !assignable.has(name) : !isPropertyName(name))
      throw invalid(`${JSON.stringify(name)} is no property that can be set`)
    if (value !== null && (typeof value !== 'string' || !value.isWellFormed()))
      throw invalid(`the property ${JSON.stringify(name)} wants a text, or null`)
  }
  return (session, by) => {
    const before = propertiesOf(session.grant)
    const { values, previous, names } = applied(before, entries)
    if (names.length === 0) return outcomeOf(session, 'unchanged')
    const { maxSessionProperties, maxSessionPropertyBytes } = session.policy.limits
    const fault = overLimit(before, values, maxSessionProperties, maxSessionPropertyBytes, 'properties')
    if (fault !== undefined) return failed(session, 'SMQ_SESSION_LIMIT', fault)
    const propertySources = Object.create(null) as Record<string, PropertySource>
    Object.assign(propertySources, session.grant?.propertySources)
    for (const name of names) {
      if (name in values) propertySources[name] = 'server'
      else delete propertySources[name]
    }
    session.send({ type: 'properties.change', properties: frozenRecord(values), propertySources, ...named(by) })
    return changed(session, previous)
  }
}

/** Throws SMQ_SESSION_CHANGE_INVALID for names and values that cannot be an attribute's. */
export function attributeChange(
  change: AttributeChange,
  { scope }: { readonly scope: AttributeScope },
): SessionOperation<PreviousValues<AttributeValue>> {
  if (scope !== 'session' && scope !== 'connection') throw invalid('the scope is session or connection')
  const entries = entriesOf(change)
  for (const [name, value] of entries) {
    if (!isPropertyName(name)) throw invalid(`${JSON.stringify(name)} is no name of an attribute`)
    if (value !== null && !isAttributeValue(value))
      throw invalid(`the attribute ${JSON.stringify(name)} wants a text, a finite number, true, false or null`)
  }
  return (session) => {
    if (scope === 'connection' && session.state !== 'online')
      return failed(session, 'SMQ_SESSION_OFFLINE', 'there is no connection to have attributes')
    const { context } = session
    const before = scope === 'connection' ? context.connectionAttributes : context.sessionAttributes
    const { values, previous, names } = applied(before, entries)
    if (names.length === 0) return outcomeOf(session, 'unchanged')
    const { maxAttributes, maxAttributeBytes } = session.policy.limits
    const fault = overLimit(before, values, maxAttributes, maxAttributeBytes, 'attributes')
    if (fault !== undefined) return failed(session, 'SMQ_SESSION_LIMIT', fault)
    session.send({ type: 'attributes.change', scope, attributes: frozenRecord(values) })
    return changed(session, previous)
  }
}

/** Ends the connection; the session goes on as after any other DISCONNECT of the server. */
export function disconnection(
  reasonCode: ReasonCode = ReasonCode.AdministrativeAction,
  reason = 'disconnected by the operator',
): SessionOperation {
  return (session, by) => {
    if (session.state !== 'online') return outcomeOf(session, 'unchanged')
    session.send({ type: 'session.disconnect', reasonCode, reason, ...named(by) })
    return outcomeOf(session, 'done')
  }
}

/** Takes the grant away: DISCONNECT 0x87, no right, no will, until its principal authenticates again. */
export function revocation(reason = 'revoked by the operator'): SessionOperation {
  return (session, by) => {
    if (session.context.standing === 'revoked') return outcomeOf(session, 'unchanged')
    session.send({ type: 'session.revoke', reason, ...named(by) })
    return outcomeOf(session, 'done')
  }
}

/** Ends the session, and its connection if it has one. */
export function expiration(): SessionOperation {
  return (session, by) => {
    session.send({ type: 'session.expire', ...named(by) })
    return outcomeOf(session, 'done')
  }
}

export function outcomeOf(session: Session, outcome: 'done' | 'unchanged'): SessionOutcome<never> {
  return { ...session.names, outcome, error: undefined, reason: undefined, previous: undefined }
}

export function failed(session: Session, error: ErrorCode, reason: string): SessionOutcome<never> {
  return { ...session.names, outcome: 'failed', error, reason, previous: undefined }
}

/** What came of an event that changes a session and must not end it. */
function changed<Previous>(session: Session, previous: Previous): SessionOutcome<Previous> {
  if (!isThere(session)) return failed(session, 'SMQ_SESSION_UNKNOWN', 'the session ended')
  return { ...session.names, outcome: 'done', error: undefined, reason: undefined, previous }
}

/** Whether the session lives under its client identifier: not before it was online, and not behind its end. */
export function isThere(session: Session): boolean {
  return session.core.registry.sessions.get(session.clientId) === session
}

function invalid(detail: string): StatemqError {
  return new StatemqError('SMQ_SESSION_CHANGE_INVALID', detail)
}

function entriesOf<T>(change: Readonly<Record<string, T>>): [string, T][] {
  // Callers in JavaScript may give anything.
  if (typeof change !== 'object' || change === null) throw invalid('expected values by name')
  return Object.entries(change)
}

function isAttributeValue(value: unknown): value is AttributeValue {
  if (typeof value === 'string') return value.isWellFormed()
  return typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))
}

/** The values after a change, which of them are others than before, and what those were. */
function applied<T>(before: Readonly<Record<string, T>>, entries: readonly [string, T | null][]) {
  const values = Object.create(null) as Record<string, T>
  Object.assign(values, before)
  const previous = Object.create(null) as Record<string, T | undefined>
  for (const [name, value] of entries) {
    const present = values[name]
    if (present === (value ?? undefined)) continue
    previous[name] = present
    if (value === null) delete values[name]
    else values[name] = value
  }
  return { values, previous: Object.freeze(previous), names: Object.keys(previous) }
}

/** Why a change is too much; one that makes less of what is too much already is none. */
function overLimit(
  before: Readonly<Record<string, AttributeValue>>,
  after: Readonly<Record<string, AttributeValue>>,
  maxCount: Limits['maxAttributes'],
  maxBytes: Limits['maxAttributeBytes'],
  what: string,
): string | undefined {
  const count = Object.keys(after).length
  if (count > maxCount && count > Object.keys(before).length) return `${count} ${what}, at most ${maxCount}`
  const bytes = bytesOf(after)
  if (bytes > maxBytes && bytes > bytesOf(before)) return `${bytes} bytes of ${what}, at most ${maxBytes}`
  return undefined
}

function bytesOf(values: Readonly<Record<string, AttributeValue>>): number {
  let bytes = 0
  for (const [name, value] of Object.entries(values)) {
    bytes += Buffer.byteLength(name) + (typeof value === 'string' ? Buffer.byteLength(value) : 8)
  }
  return bytes
}
