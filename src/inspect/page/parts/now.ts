import { signal } from '@preact/signals'

/** The time, every second, for what shows ages; broker time is the process's own clock. */
export const nowMs = signal(Date.now())
setInterval(() => {
  if (!document.hidden) nowMs.value = Date.now()
}, 1_000)
