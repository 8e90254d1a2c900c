import type { SessionEmitted } from '../../machines/session.machine.ts'
import type { Session, SessionActor } from './session.ts'

type Subscribe = SessionActor['subscribe']
type Snapshot = ReturnType<SessionActor['getSnapshot']>

interface Observer {
  next?(snapshot: Snapshot): void
  error?(error: unknown): void
  complete?(): void
}

const guardedActors = new WeakMap<SessionActor, SessionActor>()

/**
 * The actor of a session as embedders get it: whatever it can do, and what they subscribe cannot hurt the
 * broker. XState reports what an observer throws as an uncaught exception, which ends the process, and so it
 * does with the failure of an actor whose observer has no listener for errors. Here the first is logged and
 * the observer unsubscribed; the second the broker has told of already.
 */
export function guardedActor({ actor, core }: Session): SessionActor {
  let guarded = guardedActors.get(actor)
  if (guarded === undefined) {
    const failed = (error: unknown): void =>
      core.logger.error({ err: error }, 'an observer of a session actor failed and was unsubscribed')
    const own = { subscribe: subscribeGuarded(actor, failed), on: onGuarded(actor, failed) }
    guarded = new Proxy(actor, {
      get: (target, name) => {
        if (name === 'subscribe' || name === 'on') return own[name]
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })
    guardedActors.set(actor, guarded)
  }
  return guarded
}

function guard<A extends unknown[]>(
  call: ((...args: A) => void) | undefined,
  unsubscribe: () => void,
  failed: (error: unknown) => void,
): (...args: A) => void {
  return (...args) => {
    try {
      call?.(...args)
    } catch (error) {
      unsubscribe()
      failed(error)
    }
  }
}

function subscribeGuarded(actor: SessionActor, failed: (error: unknown) => void): Subscribe {
  return ((
    observerOrNext: Observer | ((snapshot: Snapshot) => void),
    onError?: (error: unknown) => void,
    onComplete?: () => void,
  ) => {
    const given: Observer =
      typeof observerOrNext === 'function'
        ? { next: observerOrNext, ...(onError && { error: onError }), ...(onComplete && { complete: onComplete }) }
        : observerOrNext
    let subscription: ReturnType<Subscribe> | undefined = undefined
    const unsubscribe = (): void => subscription?.unsubscribe()
    subscription = actor.subscribe({
      next: guard(given.next?.bind(given), unsubscribe, failed),
      error: guard(given.error?.bind(given), unsubscribe, failed),
      complete: guard(given.complete?.bind(given), unsubscribe, failed),
    })
    return subscription
  }) as Subscribe
}

function onGuarded(actor: SessionActor, failed: (error: unknown) => void): SessionActor['on'] {
  return ((type: Parameters<SessionActor['on']>[0], handler: (event: SessionEmitted) => void) => {
    let subscription: ReturnType<SessionActor['on']> | undefined = undefined
    subscription = actor.on(
      type,
      guard(handler, () => subscription?.unsubscribe(), failed),
    )
    return subscription
  }) as SessionActor['on']
}
