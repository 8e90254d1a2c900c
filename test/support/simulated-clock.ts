import { SimulatedClock } from '../../src/testing/simulated-clock.ts'

// The clock is public, in `statemq/testing`; what only our own tests need of it is here.
export { SimulatedClock, simulatedEpochMs } from '../../src/testing/simulated-clock.ts'

/** What a system's timer takes; it fires at once for anything longer. */
const longestTimerMs = 2_147_483_647

/** A simulated clock with the fault of the real one: a delay that is too long for it has none. */
export class NodeLikeClock extends SimulatedClock {
  override setTimeout(callback: () => void, delayMs: number): unknown {
    return super.setTimeout(callback, delayMs > longestTimerMs ? 1 : delayMs)
  }
}
