import type { QoS } from '../messages.ts'
import type { DecidingPermission } from '../roles.ts'
import { covers, filterLevels, overlaps, type FilterLevels } from './permission-filter.ts'
import { permitted } from './permission-index.ts'
import { publishBit, receiveBit, type Rule } from './permission.ts'
import type { RoleSet, SetRule } from './role-set.ts'

/** What was decided, and by which permission; without one by default, which is to deny. */
export interface Decision {
  readonly allowed: boolean
  /** Deliveries and subscriptions: the highest QoS allowed. */
  readonly qos: QoS | undefined
  readonly rule: DecidingPermission | undefined
}

/** What is to become of a requested filter. */
export interface SubscribeDecision {
  /**
   * `granted`: whatever it matches may be received. `filtered`: some of it may be, each delivery is
   * to be checked. `refused`: nothing of it.
   */
  readonly verdict: 'granted' | 'filtered' | 'refused'
  readonly qos: QoS
  readonly rule: DecidingPermission | undefined
}

/** A longer topic is not kept, since there is one per session. */
const MAX_REMEMBERED_TOPIC = 256

/** A rule that has a say about a requested filter. */
interface Match {
  readonly rule: Rule
  /** QoS levels as bits 0 … 2. */
  readonly levels: number
  readonly covers: boolean
}

/**
 * What one identity may do under one version of the roles. Sessions with the same roles share it
 * where no permission speaks of the session itself. The two questions of the hot path allocate nothing,
 * and remember the topic that they were asked about last.
 */
export class Access {
  readonly policyVersion: number
  readonly #set: RoleSet
  readonly #values: readonly (string | undefined)[]
  #publishTopic = ''
  #publishRights = 0
  #receiveTopic = ''
  #receiveVariant = 0
  #receiveRights = 0

  /** `values`: what the set's variables stand for. */
  constructor(policyVersion: number, set: RoleSet, values: readonly (string | undefined)[]) {
    this.policyVersion = policyVersion
    this.#set = set
    this.#values = values
  }

  /** The roles that count, with those that they include, in order. */
  get roles(): readonly string[] {
    return this.#set.roles
  }

  /** Whether a message may be published. `topic` is a valid topic name. */
  publish(topic: string, qos: QoS, retain: boolean): boolean {
    let rights = this.#publishRights
    if (topic !== this.#publishTopic) {
      rights = permitted(this.#set.rightsAt(topic, 0, this.#values))
      if (topic.length <= MAX_REMEMBERED_TOPIC) {
        this.#publishTopic = topic
        this.#publishRights = rights
      }
    }
    return ((rights >> publishBit(qos, retain)) & 1) === 1
  }

  /** The highest QoS, `qos` at most, at which a message may be received; undefined: it may not be. */
  receive(topic: string, qos: QoS, group: string | undefined): QoS | undefined {
    const variant = this.#set.variantOf(group)
    let rights = this.#receiveRights
    if (topic !== this.#receiveTopic || variant !== this.#receiveVariant) {
      rights = permitted(this.#set.rightsAt(topic, variant, this.#values))
      if (topic.length <= MAX_REMEMBERED_TOPIC) {
        this.#receiveTopic = topic
        this.#receiveVariant = variant
        this.#receiveRights = rights
      }
    }
    return highest((rights >> receiveBit(0, group !== undefined)) & upTo(qos))
  }

  /** Compares a filter (valid, without `$share/group/`) with all permissions. */
  subscribe(filter: string, qos: QoS, group: string | undefined): SubscribeDecision {
    const matches = this.#matches(filterLevels(filter), group)
    let allowed = 0
    let allowedWholly = 0
    let denied = 0
    let deniedWholly = 0
    for (const match of matches) {
      if (match.rule.effect === 'allow') {
        allowed |= match.levels
        if (match.covers) allowedWholly |= match.levels
      } else {
        denied |= match.levels
        if (match.covers) deniedWholly |= match.levels
      }
    }
    const granted = highest(allowed & ~deniedWholly & upTo(qos))
    if (granted === undefined) {
      const rule = first(matches, 'deny', upTo(qos), true)
      return { verdict: 'refused', qos: 0, rule }
    }
    // Messages of a lower QoS come through it as well.
    const needed = upTo(granted)
    if ((allowedWholly & ~denied & needed) === needed)
      return { verdict: 'granted', qos: granted, rule: first(matches, 'allow', 1 << granted, true) }
    const rule = first(matches, 'deny', needed, false) ?? first(matches, 'allow', 1 << granted, false)
    return { verdict: 'filtered', qos: granted, rule }
  }

  /** The same as {@link publish}, with what decided. */
  explainPublish(topic: string, qos: QoS, retain: boolean): Decision {
    const levels = filterLevels(topic)
    const bit = 1 << publishBit(qos, retain)
    const deciding = this.#deciding(levels, (rule) => (rule.bits & bit) !== 0)
    return { allowed: deciding?.effect === 'allow', qos: undefined, rule: deciding && decidingPermission(deciding) }
  }

  /** The same as {@link receive}, with what decided. */
  explainReceive(topic: string, qos: QoS, group: string | undefined): Decision {
    const allowed = this.receive(topic, qos, group)
    const shift = receiveBit(0, group !== undefined)
    const bits = allowed === undefined ? upTo(qos) : 1 << allowed
    const deciding = this.#deciding(
      filterLevels(topic),
      (rule) => speaksOf(rule, group) && ((rule.bits >> shift) & bits) !== 0,
    )
    return { allowed: allowed !== undefined, qos: allowed, rule: deciding && decidingPermission(deciding) }
  }

  /** The first rule that denies, else the first that allows. */
  #deciding(topic: FilterLevels, concerns: (rule: Rule) => boolean): Rule | undefined {
    let allowing: Rule | undefined = undefined
    for (const one of this.#set.rules) {
      if (!concerns(one.rule) || (allowing !== undefined && one.rule.effect === 'allow')) continue
      const held = this.#bound(one)
      if (held === undefined || !covers(held, topic)) continue
      if (one.rule.effect === 'deny') return one.rule
      allowing = one.rule
    }
    return allowing
  }

  #matches(filter: FilterLevels, group: string | undefined): Match[] {
    const found: Match[] = []
    const shift = receiveBit(0, group !== undefined)
    for (const one of this.#set.rules) {
      const levels = (one.rule.bits >> shift) & 7
      if (levels === 0 || !speaksOf(one.rule, group)) continue
      const held = this.#bound(one)
      if (held !== undefined && overlaps(held, filter))
        found.push({ rule: one.rule, levels, covers: covers(held, filter) })
    }
    return found
  }

  /** The rule's filter with the session's values; undefined: it can allow nothing. */
  #bound(one: SetRule): FilterLevels | undefined {
    return one.isPlain ? one : this.#set.bind(one, this.#values)
  }
}

function speaksOf(rule: Rule, group: string | undefined): boolean {
  return rule.group === undefined || rule.group === group
}

/** Bits 0 … `qos`. */
function upTo(qos: QoS): number {
  return (2 << qos) - 1
}

function highest(levels: number): QoS | undefined {
  return levels === 0 ? undefined : levels >= 4 ? 2 : levels >= 2 ? 1 : 0
}

function first(
  matches: readonly Match[],
  effect: 'allow' | 'deny',
  levels: number,
  wholly: boolean,
): DecidingPermission | undefined {
  const found = matches.find(
    (match) => match.rule.effect === effect && (match.levels & levels) !== 0 && (match.covers || !wholly),
  )
  return found && decidingPermission(found.rule)
}

function decidingPermission({ role, index, effect, text }: Rule): DecidingPermission {
  return { role, index, effect, topic: text }
}
