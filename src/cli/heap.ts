import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'

/** Size at which V8's young generation stays: two halves of 16 MiB. */
const YOUNG_BYTES = 32 * 1_048_576
const LOOK_MS = 50

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
}
