import { setTimeout as elapsed } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'

/** What other threads are compiling at that moment has ended by then. */
const REST_MS = 50

/**
 * What a process waits for before it ends. Node waits then for the threads that compile functions, and such a thread
 * may wait for the main thread to make room in the heap: neither goes on any more (nodejs/node#54918, not
 * mended by version 24.21). So nothing more is compiled from here on; what is under way ends.
 */
export async function rest(): Promise<void> {
  setFlagsFromString('--no-maglev')
  setFlagsFromString('--no-turbofan')
  await elapsed(REST_MS)
}
