import type { Broker } from '../api.ts'
import type { Clock, Logger } from '../options.ts'

/** Passwords are `auth`'s trade: the broker hands it in, since this room imports no other. */
export interface PasswordCheck {
  /** What is wrong with a stored hash, in words; undefined: nothing. */
  hashFault(hash: string): string | undefined
  verifyPassword(hash: string, password: Uint8Array): Promise<boolean>
  /** A hash that no password has, and that costs as much to check. */
  fakeHash(like?: string): string
}

/** What the admin API is opened with. */
export interface InspectHost {
  readonly broker: Broker
  readonly clock: Clock
  readonly logger: Logger
  /** Loaded when it is needed. */
  readonly passwords: () => Promise<PasswordCheck>
  /** Every session of the store is back. */
  readonly isReady: () => boolean
  /** Clients are sent away, or the broker closes. */
  readonly isDraining: () => boolean
  /** Code of the error that keeps messages from being made durable just now. */
  readonly storeFault: () => string | null
}
