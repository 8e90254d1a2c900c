import { StatemqError } from '../errors.ts'
import type { PermissionAction } from '../roles.ts'
import { parseTopicTemplate, TopicFault, type TopicTemplate } from './template.ts'

/** One permission of one role, checked. */
export interface Rule {
  readonly role: string
  /** Its place in the role's list, from 0. */
  readonly index: number
  readonly effect: 'allow' | 'deny'
  /** As it is written. */
  readonly text: string
  readonly topic: TopicTemplate
  /** Shared group that it is confined to. */
  readonly group: string | undefined
  /** The situations that it speaks of: a set of the bits below. */
  readonly bits: number
}

/*
 * Every situation that a permission can tell apart, but for the topic and the group's name, is a bit:
 *
 *     0 … 2   publish QoS 0 … 2 without RETAIN        6 …  8   receive at QoS 0 … 2, ordinary
 *     3 … 5   publish QoS 0 … 2 with RETAIN           9 … 11   receive at QoS 0 … 2, shared
 *
 * So a topic's rights are a number, and what several permissions say is put together by OR.
 */
const PUBLISH = 0
const PUBLISH_RETAIN = 3
const RECEIVE = 6
const RECEIVE_SHARED = 9
export const PUBLISH_BITS = 0x03f
export const ALL_BITS = 0xfff

/** The place of a publish among the bits. */
export function publishBit(qos: number, retain: boolean): number {
  return qos + (retain ? PUBLISH_RETAIN : PUBLISH)
}

/** The place of a delivery among the bits. */
export function receiveBit(qos: number, shared: boolean): number {
  return qos + (shared ? RECEIVE_SHARED : RECEIVE)
}

const known = new Set(['topic', 'qos', 'retain', 'shared', 'group', 'allow', 'deny'])

/** Checks one entry of a role's `permissions`. Throws SMQ_ROLES_INVALID. */
export function readPermission(role: string, index: number, given: unknown): Rule {
  const fail = (what: string): never => {
    throw new StatemqError('SMQ_ROLES_INVALID', `role ${JSON.stringify(role)}, permissions[${index}]: ${what}`)
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return fail('is not an object')
  const entry = given as Readonly<Record<string, unknown>>
  for (const key of Object.keys(entry)) if (!known.has(key)) fail(`has no use for "${key}"`)
  const { topic, group, retain, shared } = entry
  const { effect, actions } = readEffect(entry, fail)
  if (typeof topic !== 'string') return fail('"topic" is not a string')
  checkScope(entry, actions, fail)
  return {
    role,
    index,
    effect,
    text: topic,
    topic: readTopic(topic, fail),
    group: group as string | undefined,
    bits: bitsOf(actions, readQoS(entry.qos, fail), retain as boolean | undefined, group === undefined ? shared : true),
  }
}

type Fail = (what: string) => never

function readTopic(topic: string, fail: Fail): TopicTemplate {
  try {
    return parseTopicTemplate(topic)
  } catch (error) {
    if (error instanceof TopicFault) return fail(`the topic ${JSON.stringify(topic.slice(0, 100))} ${error.message}`)
    throw error
  }
}

function readEffect(
  { allow, deny }: Readonly<Record<string, unknown>>,
  fail: Fail,
): { effect: 'allow' | 'deny'; actions: ReadonlySet<PermissionAction> } {
  if ((allow === undefined) === (deny === undefined)) fail('needs either "allow" or "deny"')
  const effect = allow === undefined ? 'deny' : 'allow'
  const value = allow ?? deny
  const list: readonly unknown[] = Array.isArray(value) ? value : [value]
  const actions = new Set<PermissionAction>()
  for (const action of list) {
    if (action === 'publish' || action === 'subscribe') actions.add(action)
    else fail(`"${effect}" takes "publish", "subscribe" or a list of both`)
  }
  if (actions.size === 0) fail(`"${effect}" is empty`)
  return { effect, actions }
}

/** What speaks of one action only makes no sense where that action is not meant: it would say nothing. */
function checkScope(
  { retain, shared, group }: Readonly<Record<string, unknown>>,
  actions: ReadonlySet<PermissionAction>,
  fail: Fail,
): void {
  if (retain !== undefined && typeof retain !== 'boolean') fail('"retain" is neither true nor false')
  if (shared !== undefined && typeof shared !== 'boolean') fail('"shared" is neither true nor false')
  if (retain !== undefined && !actions.has('publish')) fail('"retain" is about publishing')
  if ((shared !== undefined || group !== undefined) && !actions.has('subscribe'))
    fail('"shared" and "group" are about subscribing')
  if (group === undefined) return
  // MQTT-4.8.2-2
  if (typeof group !== 'string' || group === '' || /[+#/\0]/.test(group) || !group.isWellFormed())
    fail('"group" is not the name of a shared group')
  if (shared === false) fail('"group" is about shared subscriptions, which "shared" excludes')
}

function readQoS(qos: unknown, fail: Fail): readonly number[] {
  if (qos === undefined) return [0, 1, 2]
  const list: readonly unknown[] = Array.isArray(qos) ? qos : []
  if (list.length === 0 || !list.every((level) => level === 0 || level === 1 || level === 2))
    fail('"qos" is not a list of 0, 1 and 2')
  return list as readonly number[]
}

function bitsOf(
  actions: ReadonlySet<PermissionAction>,
  levels: readonly number[],
  retain: boolean | undefined,
  shared: unknown,
): number {
  let bits = 0
  for (const qos of levels) {
    if (actions.has('publish')) {
      if (retain !== true) bits |= 1 << publishBit(qos, false)
      if (retain !== false) bits |= 1 << publishBit(qos, true)
    }
    if (actions.has('subscribe')) {
      if (shared !== true) bits |= 1 << receiveBit(qos, false)
      if (shared !== false) bits |= 1 << receiveBit(qos, true)
    }
  }
  return bits
}
