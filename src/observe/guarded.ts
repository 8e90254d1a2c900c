import { Observable, type Observer, type Operator, type Subscription } from 'rxjs'

type NextOrObserver<T> = Partial<Observer<T>> | ((value: T) => void) | null | undefined

/**
 * An Observable whose consumers cannot hurt the broker. RxJS reports what a consumer throws as an
 * uncaught exception, which ends the process, and so does Node with what an async one rejects with; here it
 * goes to `onError`, and the consumer is unsubscribed. Operators piped onto it give guarded observables too.
 */
export class GuardedObservable<T> extends Observable<T> {
  readonly #onError: (error: unknown) => void

  constructor(origin: Observable<T>, onError: (error: unknown) => void) {
    super()
    this.source = origin
    this.#onError = onError
  }

  override lift<R>(operator?: Operator<T, R>): Observable<R> {
    const lifted = new GuardedObservable<R>(this as unknown as Observable<R>, this.#onError)
    if (operator) lifted.operator = operator as unknown as Operator<unknown, R>
    return lifted
  }

  override subscribe(
    observerOrNext?: NextOrObserver<T>,
    error?: ((error: unknown) => void) | null,
    complete?: (() => void) | null,
  ): Subscription {
    // Operators subscribe with RxJS's own subscribers, which pass errors on by themselves.
    if (typeof observerOrNext === 'object' && observerOrNext !== null && 'closed' in observerOrNext) {
      return super.subscribe(observerOrNext)
    }
    const given: Partial<Observer<T>> =
      typeof observerOrNext === 'function' ? { next: observerOrNext } : (observerOrNext ?? {})
    let subscription: Subscription | undefined = undefined
    let failed = false
    const fail = (failure: unknown): void => {
      if (failed) return
      failed = true
      subscription?.unsubscribe()
      this.#onError(failure)
    }
    const guard =
      <A extends unknown[]>(call: (...args: A) => unknown) =>
      (...args: A): void => {
        if (failed) return
        try {
          const pending = call(...args)
          // An async function is a consumer like any other; nobody else would hear of its failure but the process.
          if (pending instanceof Promise) pending.catch(fail)
        } catch (failure) {
          fail(failure)
        }
      }
    subscription = super.subscribe({
      next: guard((value: T) => given.next?.(value)),
      error: guard((failure: unknown) => (error ?? given.error?.bind(given) ?? this.#onError)(failure)),
      complete: guard(() => (complete ?? given.complete?.bind(given))?.()),
    })
    if (failed) subscription.unsubscribe()
    return subscription
  }
}
