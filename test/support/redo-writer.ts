/**
 * Commits to a store, with segments that turn every few commits, until it is killed; prints the number of each
 * commit that is durable. What the store then has is a function of the last commit in it: see `recordsAfter`.
 *
 *     node redo-writer.ts <directory> <first commit>
 */
import { openEnvironment, type Step } from '../../src/store/lmdb-environment.ts'
import { packetKey } from '../../src/store/lmdb-keys.ts'
import { COUNTER_KEY, KEYS, keyOf, numberRecord } from './redo-commits.ts'

const [directory, first] = process.argv.slice(2)
const environment = await openEnvironment(directory!, 'disk', { redoBytes: 8_192 })
const { counters, received, batches } = environment.tables
for (let number = Number(first); ; number++) {
  const steps: Step[] = [
    { table: counters, key: COUNTER_KEY, record: numberRecord(number) },
    { table: batches, key: keyOf(number), record: Buffer.alloc(number % 900, number) },
    // One comes, the one before it goes.
    { table: received, key: packetKey(1, number % KEYS), record: numberRecord(number) },
    { table: received, key: packetKey(1, (number - 1 + KEYS) % KEYS), record: undefined },
  ]
  await environment.commit(steps)
  process.stdout.write(`${number}\n`)
}
