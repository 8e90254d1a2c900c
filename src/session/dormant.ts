import type { SessionContext } from '../../machines/session.machine.ts'
import { decodeContext, type SessionHead } from './session-record.ts'

/**
 * What is known of a session that an earlier process left, as long as nobody has to do with it: enough to route
 * to it, to find it and to let it expire. The rest of its chart is in its record; the actor is made when it is
 * first asked for. A hundred thousand sessions that nobody comes back to thus take neither the time nor the
 * memory of their actors.
 */
export class DormantChart {
  readonly head: SessionHead
  readonly #record: Buffer

  constructor(record: Buffer, head: SessionHead) {
    this.head = head
    this.#record = record
  }

  /** As the chart left it. Throws SMQ_STORE_DAMAGED. */
  context(): SessionContext {
    return decodeContext(this.#record, this.head)
  }
}
