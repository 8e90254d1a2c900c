import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'

/** Size at which V8's young generation stays: two halves of 16 MiB. */
const YOUNG_BYTES = 32 * 1_048_576
const LOOK_MS = 50

/**
 * Keeps V8's young generation from growing as connections come in. It would go to well over 100 MB
 * (Node 24), more than ten thousand connections need themselves, and gain nothing: what a broker
 * allocates dies at once or stays for long. The size itself can only be set before the process
 * starts, but V8 reads the factor by which it grows each time.
 */
export function limitYoungGeneration(): void {
  const timer = setInterval(() => {
    const young = getHeapSpaceStatistics().find((space) => space.space_name === 'new_space')
    if (young !== undefined && young.space_size < YOUNG_BYTES) return
    setFlagsFromString('--semi-space-growth-factor=1')
    clearInterval(timer)
  }, LOOK_MS)
  timer.unref()
}
