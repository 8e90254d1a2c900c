import { StatemqError } from '../errors.ts'
import {
  isPromise,
  type AllowMessage,
  type AllowPublish,
  type AllowSubscription,
  type AllowTakeover,
  type AllowUnsubscription,
  type DecisionHooks,
  type Deny,
  type Hooks,
  type Next,
  type PublishRequest,
} from '../hooks.ts'
import type { Message, SubscriptionRequest } from '../messages.ts'
import { observedEvents } from '../observers.ts'
import { attribute, attributePending } from './decide.ts'
import { checkChanges } from './message-check.ts'

type HookName = keyof DecisionHooks
type AnyAllow = AllowMessage | AllowPublish | AllowSubscription | AllowTakeover | AllowUnsubscription
type AnyVerdict = Next | Deny | AnyAllow
/** What a hook is asked about: its arguments, of which the first may be rewritten. */
type Question = readonly unknown[]

/** How a hook may answer. */
interface Point {
  readonly answers: readonly AnyVerdict['type'][]
  /** Its answer must be there at once. */
  readonly isSynchronous?: true
  /** Answering nothing is `next`. */
  readonly mayBeSilent?: true
  /** For hooks that rewrite: what an allowing verdict may change, and the subject with the change made. */
  readonly rewrites?: {
    readonly fields: readonly string[]
    readonly apply: (subject: never, changes: never) => unknown
  }
}

const points: { readonly [Name in HookName]-?: Point } = {
  onConnection: { answers: ['next', 'deny'] },
  onRegister: { answers: ['next', 'deny'] },
  onTakeover: { answers: ['next', 'deny', 'allow'] },
  onSubscribe: {
    answers: ['next', 'deny', 'allow'],
    rewrites: {
      fields: ['filter', 'qos'],
      apply: (request: SubscriptionRequest, { filter = request.filter, qos = request.qos }: AllowSubscription) => ({
        ...request,
        filter,
        qos: qos < request.qos ? qos : request.qos,
      }),
    },
  },
  onPublish: {
    answers: ['next', 'deny', 'allow'],
    rewrites: {
      fields: ['topic', 'payload', 'properties', 'qos', 'retain', 'throttleMs'],
      apply: (request: PublishRequest, changes: AllowPublish) => ({
        ...request,
        message: changedMessage(request.message, changes),
      }),
    },
  },
  onDeliver: {
    answers: ['next', 'deny', 'allow'],
    isSynchronous: true,
    rewrites: { fields: ['topic', 'payload', 'properties'], apply: changedMessage },
  },
  onUnsubscribe: {
    answers: ['next', 'allow'],
    mayBeSilent: true,
    rewrites: { fields: ['filter'], apply: (filter: string, changes: AllowUnsubscription) => changes.filter ?? filter },
  },
}

/** The names of all hooks that decide, in the order of a session's life. */
export const decisionHooks = Object.keys(points) as readonly HookName[]

/** One plugin or several, as a list. Throws SMQ_OPTION_INVALID for a hook that does not exist. */
export function pluginsOf(hooks: Hooks | readonly Hooks[] | undefined): readonly Hooks[] {
  const plugins: readonly Hooks[] = hooks === undefined ? [] : isList(hooks) ? hooks : [hooks]
  for (const plugin of plugins) {
    if (typeof plugin !== 'object' || plugin === null) throw invalid('hooks: expected a plugin or a list of them')
    for (const name of Object.keys(plugin)) {
      // Written wrongly it would never be called, and what it was to refuse would be let through.
      if (/^on[A-Z]/.test(name) && !(name in points) && !(name in observedEvents))
        throw invalid(`hooks: there is no hook ${JSON.stringify(name)}`)
    }
  }
  return plugins
}

function isList(hooks: Hooks | readonly Hooks[]): hooks is readonly Hooks[] {
  return Array.isArray(hooks)
}

/**
 * The decision hooks of a listener as one: its own plugins where they have the hook, else the
 * broker's. A hook that nobody has is not there, so that it costs nothing.
 */
export function decisionsOf(broker: readonly Hooks[], own: readonly Hooks[]): DecisionHooks {
  const chained: Partial<Record<HookName, unknown>> = {}
  for (const name of decisionHooks) {
    const having = (plugins: readonly Hooks[]): readonly Hooks[] => plugins.filter((plugin) => plugin[name])
    const ownOnes = having(own)
    const asked = ownOnes.length > 0 ? ownOnes : having(broker)
    if (asked.length > 0) chained[name] = (...question: unknown[]) => new Round(name, asked).ask(question)
  }
  return chained as DecisionHooks
}

/**
 * One question to all plugins that have the hook. As long as they answer at once the round does too.
 * The first verdict but `next` stands; one that allows with changes is kept, and the next plugin is
 * asked about the changed thing.
 */
class Round {
  readonly #name: HookName
  readonly #plugins: readonly Hooks[]
  #at = 0
  #changes: AnyAllow | undefined = undefined
  /** The plugin that it waits for: read where the time is over. */
  name: string | undefined = undefined

  constructor(name: HookName, plugins: readonly Hooks[]) {
    this.#name = name
    this.#plugins = plugins
  }

  ask(question: Question): AnyVerdict | Promise<AnyVerdict> {
    let asked = question
    for (;;) {
      const answer = this.#call(asked)
      if (isPromise(answer) && !points[this.#name].isSynchronous) {
        const verdict = this.#goOn(asked, answer)
        attributePending(verdict, this)
        return verdict
      }
      const verdict = this.#take(answer)
      if (verdict !== undefined) return verdict
      asked = this.#questionFor(asked)
    }
  }

  async #goOn(question: Question, pending: Promise<unknown>): Promise<AnyVerdict> {
    let asked = question
    for (let answer: unknown = pending; ; answer = this.#call(asked)) {
      const verdict = this.#take(await this.#settled(answer))
      if (verdict !== undefined) return verdict
      asked = this.#questionFor(asked)
    }
  }

  #call(question: Question): unknown {
    const plugin = this.#plugins[this.#at]!
    this.name = plugin.name
    try {
      return (plugin[this.#name] as (...args: unknown[]) => unknown).apply(plugin, [...question])
    } catch (error) {
      attribute(error, plugin.name)
      throw error
    }
  }

  async #settled(answer: unknown): Promise<unknown> {
    try {
      return await answer
    } catch (error) {
      attribute(error, this.name)
      throw error
    }
  }

  /** The verdict of the round, if this answer makes it one. */
  #take(answer: unknown): AnyVerdict | undefined {
    const verdict = this.#checked(answer)
    this.#at++
    const isLast = this.#at === this.#plugins.length
    if (verdict.type === 'deny') {
      attribute(verdict, this.name)
      return verdict
    }
    if (verdict.type === 'next') return isLast ? (this.#changes ?? verdict) : undefined
    if (!this.#isChange(verdict)) return this.#changes ?? verdict
    this.#changes = this.#changes === undefined ? verdict : merged(this.#name, this.#changes, verdict)
    return isLast ? this.#changes : undefined
  }

  #isChange(verdict: AnyAllow): boolean {
    const fields = points[this.#name].rewrites?.fields
    return fields?.some((field) => verdict[field as keyof AnyAllow] !== undefined) ?? false
  }

  /** Hooks are written in JavaScript too: an answer of another shape is none (semantics 7.12). */
  #checked(answer: unknown): AnyVerdict {
    const { answers, mayBeSilent } = points[this.#name]
    if (answer === undefined && mayBeSilent) return { type: 'next' }
    // A delivery does not wait: nobody hears of how it ends.
    if (isPromise(answer)) answer.catch(() => {})
    const verdict = answer as AnyVerdict | null | undefined
    try {
      if (!verdict || !answers.includes(verdict.type)) throw new TypeError(`${this.#name} gave no verdict`)
      if (verdict.type === 'allow') checkChanges(verdict as AllowPublish)
    } catch (error) {
      attribute(error, this.name)
      throw error
    }
    return verdict
  }

  #questionFor(question: Question): Question {
    const { rewrites } = points[this.#name]
    if (this.#changes === undefined || rewrites === undefined) return question
    const [subject, ...rest] = question
    return [rewrites.apply(subject as never, this.#changes as never), ...rest]
  }
}

/** What several plugins change: the last word counts, but a subscription's QoS is only lowered and a pause only lengthened. */
function merged(name: HookName, before: AnyAllow, after: AnyAllow): AnyAllow {
  const first: AllowPublish & AllowSubscription = before
  const both: AllowPublish & AllowSubscription = { ...first, ...after }
  const isLower = name === 'onSubscribe' && first.qos !== undefined && first.qos < (both.qos ?? 2)
  const isLonger = first.throttleMs !== undefined && first.throttleMs > (both.throttleMs ?? 0)
  return {
    ...both,
    ...(isLower ? { qos: first.qos } : {}),
    ...(isLonger ? { throttleMs: first.throttleMs } : {}),
  } as AnyAllow
}

function changedMessage(message: Message, { topic, payload, properties, qos, retain }: AllowPublish): Message {
  return {
    topic: topic ?? message.topic,
    payload: payload === undefined ? message.payload : Buffer.from(payload),
    qos: qos ?? message.qos,
    retain: retain ?? message.retain,
    properties: properties ?? message.properties,
    publisher: message.publisher,
  }
}

function invalid(detail: string): StatemqError {
  return new StatemqError('SMQ_OPTION_INVALID', detail)
}
