import { logText } from '../log-text.ts'
import type { Logger } from '../options.ts'
import type { Identity } from './credentials.ts'

const MAX_SHOWN = 200

/** Safe whatever the logger does (threat 95), and no longer than a line. */
function shown(text: string): string {
  return logText(text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text)
}

/** Who did what, and what came of it: a line in the log for every operation. */
export class Audit {
  readonly #logger: Logger
  readonly #who: { readonly name: string; readonly role: string; readonly address: string }

  constructor(logger: Logger, identity: Identity | undefined, address: string) {
    this.#logger = logger
    this.#who = { name: shown(identity?.name ?? ''), role: identity?.role ?? 'none', address: shown(address) }
  }

  /** `what` names the target, never a payload, a property's value or a secret. */
  done(operation: string, what: Readonly<Record<string, string | number | undefined>>, outcome: string): void {
    const details = Object.fromEntries(
      Object.entries(what).map(([name, value]) => [name, typeof value === 'string' ? shown(value) : value]),
    )
    this.#logger.info({ audit: { ...this.#who, operation, ...details, outcome: shown(outcome) } }, 'operator action')
  }
}
