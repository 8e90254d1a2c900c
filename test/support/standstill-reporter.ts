import type { Reporter, TestCase, TestModule } from 'vitest/node'

/** Longer than the longest test takes on a busy machine. */
const STILL_MS = 150_000

/**
 * Says what is running as soon as no test has ended for a while, and again after each such while: a test that hangs
 * a worker is never reported by the other reporters, for its file doesn't end.
 */
export default class StandstillReporter implements Reporter {
  /** Files that are running, and the test that each is at. */
  readonly #running = new Map<string, string>()
  #timer: NodeJS.Timeout | undefined

  onTestRunStart(): void {
    this.#timer = setInterval(() => this.#say(), STILL_MS).unref()
  }

  onTestModuleStart({ moduleId }: TestModule): void {
    this.#running.set(moduleId, 'no test yet')
    this.#timer?.refresh()
  }

  onTestCaseReady({ module, fullName }: TestCase): void {
    this.#running.set(module.moduleId, fullName)
  }

  onTestCaseResult(): void {
    this.#timer?.refresh()
  }

  onTestModuleEnd({ moduleId }: TestModule): void {
    this.#running.delete(moduleId)
  }

  onTestRunEnd(): void {
    clearInterval(this.#timer)
  }

  #say(): void {
    const places = [...this.#running].map(([file, test]) => `\n  ${file}: ${test}`)
    console.log(`No test has ended for ${STILL_MS / 1000} s. Running are:${places.join('') || ' none'}`)
  }
}
