import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const PREFIX = 'statemq-run-'

/**
 * Gives a run of the tests a temporary folder of its own, which goes with it: whatever a test that was killed leaves there,
 * or a browser, a server, a tool that it had started. A run that was killed itself leaves its folder to the next
 * one. What is to outlast a run is found under `STATEMQ_LASTING_TMP`.
 */
export function useOwnTemp(): void {
  const outer = (process.env['STATEMQ_LASTING_TMP'] ??= tmpdir())
  for (const name of readdirSync(outer)) {
    if (name.startsWith(PREFIX) && !isAlive(Number(name.slice(PREFIX.length)))) remove(join(outer, name))
  }
  const folder = join(outer, `${PREFIX}${process.pid}`)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  process.env['TMPDIR'] = folder
  process.once('exit', () => remove(folder))
}

/** Somebody else's is as good as alive. */
function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** What still writes there, a browser that is just ending, may win; then the next run has it. */
function remove(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  } catch {
    // Tests have not failed by it.
  }
}
