import { getHeapSpaceStatistics, getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Size at which V8's young generation stays: two halves of 16 MiB. */
const YOUNG_BYTES = 32 * 1_048_576
const LOOK_MS = 50

/** Buffers of sockets that may gather before the young generation is swept. */
const BUFFER_BYTES = 8 * 1_048_576
/** How often that is looked at while little comes in, and while much does. */
const CALM_MS = 100
const BUSY_MS = 10
const BUSY_LOOKS = 50

/**
 * Suits V8's heap to a broker, by flags that V8 reads while it runs.
 *
 * Its young generation would grow to well over 100 MB (Node 24) as connections come in, more than
 * ten thousand of them need themselves, and gain nothing: what a broker allocates dies at once or
 * stays for long. The size itself can only be set before the process starts, but not the factor by
 * which it grows.
 *
 * Every 64 MB that come in from sockets would make V8 mark the whole heap, since it counts the
 * memory of buffers apart; counted with the heap, it waits until that has grown.
 */
export function tuneHeap(): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit')
  const timer = setInterval(() => {
    const young = getHeapSpaceStatistics().find((space) => space.space_name === 'new_space')
    if (young !== undefined && young.space_size < YOUNG_BYTES) return
    setFlagsFromString('--semi-space-growth-factor=1')
    clearInterval(timer)
  }, LOOK_MS)
  timer.unref()
  sweepBuffers()
}

/**
 * What is read from a socket lies in buffers outside of the heap, and the objects that they hang on are small: at
 * a gigabyte a second V8 sees no reason to sweep its young generation, where they die, and marks the whole heap
 * again and again instead, for a third of the processor's time. Sweeping takes half a millisecond.
 */
function sweepBuffers(): void {
  setFlagsFromString('--expose-gc')
  const sweep = runInNewContext('gc') as (options: { readonly type: 'minor' }) => void
  setFlagsFromString('--no-expose-gc')
  let swept = getHeapStatistics().external_memory
  let busyLooks = 0
  const look = (): void => {
    const bytes = getHeapStatistics().external_memory
    if (bytes - swept > BUFFER_BYTES) {
      sweep({ type: 'minor' })
      swept = getHeapStatistics().external_memory
      busyLooks = BUSY_LOOKS
    } else {
      // What V8 has swept by itself need not be swept again.
      swept = Math.min(swept, bytes)
      busyLooks = Math.max(0, busyLooks - 1)
    }
    setTimeout(look, busyLooks > 0 ? BUSY_MS : CALM_MS).unref()
  }
  look()
}
