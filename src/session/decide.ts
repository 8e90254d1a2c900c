import { StatemqError } from '../errors.ts'
import type { EventSink } from '../events.ts'
import type { Deny } from '../hooks.ts'
import type { Decision } from '../inspection.ts'
import type { Clock } from '../options.ts'
import type { ReasonCode } from '../reason-codes.ts'
import { decided } from './decided.ts'

/** Which plugin a verdict or an error came from, and which one a chain under way is waiting for. */
const plugins = new WeakMap<object, string>()
const asked = new WeakMap<Promise<unknown>, { readonly name: string | undefined }>()

/** Notes whose verdict or error this is. What is no object has nobody's name on it. */
export function attribute(thing: unknown, plugin: string | undefined): void {
  if (plugin !== undefined && typeof thing === 'object' && thing !== null) plugins.set(thing, plugin)
}

/** Notes whom a decision waits for; `who` may change as it goes on. */
export function attributePending(decision: Promise<unknown>, who: { readonly name: string | undefined }): void {
  asked.set(decision, who)
}

/**
 * Waits for a decision hook, no longer than `timeoutMs`. Rejects with SMQ_HOOK_TIMEOUT, or with
 * what the hook threw; the caller turns either into a refusal (semantics 7.11).
 */
export function withTimeout<T>(clock: Clock, timeoutMs: number, hook: string, decision: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const expire = (): void => {
      const error = new StatemqError('SMQ_HOOK_TIMEOUT', `${hook} took over ${timeoutMs} ms`)
      attribute(error, asked.get(decision)?.name)
      reject(error)
    }
    // A timer takes no more than 2^31 - 1 ms and would fire at once: so long is for ever (threat 98).
    const timer = timeoutMs > 0x7fff_ffff ? undefined : clock.setTimeout(expire, timeoutMs)
    decision.then(
      (value) => {
        clock.clearTimeout(timer)
        resolve(value)
      },
      (error: unknown) => {
        clock.clearTimeout(timer)
        reject(error instanceof Error ? error : new Error(String(error)))
      },
    )
  })
}

/** Tells that a decision failed, which counts as no. */
export function hookFailed(events: EventSink, hook: string, clientId: string, error: unknown): void {
  events.emit({ type: 'hook.failed', hook, ...pluginOf(error), clientId, error })
}

/** Tells that a decision is no. */
export function hookDenied(events: EventSink, hook: string, clientId: string, verdict: Deny): void {
  events.counters.hooksDenied++
  if (!events.observed) return
  const { reasonCode, reason } = verdict
  events.emit({ type: 'hook.denied', hook, ...pluginOf(verdict), clientId, reasonCode, reason })
}

/** The decision of a hook, with the plugin that gave this verdict or this error. */
export function decidedByHook(hook: string, given: unknown, reason: string, reasonCode: ReasonCode): Decision {
  const { plugin } = pluginOf(given)
  return decided('hook', plugin === undefined ? hook : `${plugin}.${hook}`, reason, reasonCode)
}

function pluginOf(thing: unknown): { readonly plugin?: string } {
  const plugin = typeof thing === 'object' && thing !== null ? plugins.get(thing) : undefined
  return plugin === undefined ? {} : { plugin }
}
