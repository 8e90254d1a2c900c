import type { QoS } from '../messages.ts'
import type { SubscriptionOptions } from '../router/router.ts'

/** A subscription as it was asked for, and what the session has of it. */
export interface SubscriptionFacts {
  /** As its client wrote it. */
  readonly name: string
  /** What the index was given, or would be. */
  readonly filter: string
  readonly group: string | undefined
  readonly wanted: QoS
  /** Undefined: it is withheld. */
  readonly granted: QoS | undefined
  readonly options: Omit<SubscriptionOptions, 'qos'>
}
