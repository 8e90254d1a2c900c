/**
 * What the inspector costs a broker under load: one without it, one with it and nobody looking, one with its page open
 * in a browser, in turn, each at so many messages a second.
 * `node test/bench/inspector.ts [messages per second] [rounds]` prints microseconds of processor time of the broker
 * for each message. Needs Chromium, a C compiler and the built page (`npm run build`).
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { join } from 'node:path'

import { chromium } from 'playwright-core'

import { createBroker } from '../../src/index.ts'
import { buildLoadGenerator } from './load-generator.ts'
import { median } from './statistics.ts'

const token = 'a-token-for-this-benchmark-only-0123456789'
const kinds = ['without', 'nobody looks', 'page open'] as const
type Kind = (typeof kinds)[number]

/** The broker under test, in a process of its own. */
async function serve(kind: Kind): Promise<void> {
  const inspect = { port: 0, tokens: [{ name: 'bench', role: 'operate', token }] } as const
  const broker = createBroker({ allowAnonymous: true, ...(kind === 'without' ? {} : { inspect }) })
  await broker.ready
  const { address } = await broker.listen({ transport: 'tcp', port: 0 })
  const port = 'port' in address ? address.port : 0
  process.stdout.write(`${JSON.stringify({ port, url: broker.inspector?.url })}\n`)
}

/** Microseconds of the broker's processor time for each message. */
async function costOf(kind: Kind, loadGenerator: string, rate: number): Promise<number> {
  const child = spawn(process.execPath, [import.meta.filename, 'serve', kind], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  const { port, url } = JSON.parse(line) as { readonly port: number; readonly url: string }
  const browser =
    kind === 'page open'
      ? await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] })
      : undefined
  try {
    const page = await browser?.newPage({ viewport: { width: 1280, height: 900 } })
    await page?.goto(`${new URL(url).origin}/#token=${token}`)
    await page?.getByRole('navigation').waitFor()
    const args = [
      '-m',
      'latency',
      '-q',
      '0',
      '-r',
      `${rate}`,
      '-W',
      '2',
      '-d',
      '6',
      '-p',
      `${port}`,
      '-b',
      `${child.pid}`,
    ]
    // Beside the browser, which must go on: the generator is not waited for synchronously.
    const load = spawn(loadGenerator, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const [result] = (await once(createInterface({ input: load.stdout }), 'line')) as [string]
    return (JSON.parse(result) as { readonly broker_us_per_msg: number }).broker_us_per_msg
  } finally {
    await browser?.close()
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
}

async function main(): Promise<void> {
  const rate = Number(process.argv[2] ?? 50_000)
  const rounds = Number(process.argv[3] ?? 5)
  const loadGenerator = buildLoadGenerator(join(import.meta.dirname, '..', '..', '.bench'))
  if (spawnSync(loadGenerator, ['-m', 'none']).error) throw new Error('the load generator does not run')
  const costs = new Map<Kind, number[]>(kinds.map((kind) => [kind, []]))
  for (let round = 0; round < rounds; round++) {
    for (const kind of kinds) costs.get(kind)!.push(await costOf(kind, loadGenerator, rate))
  }
  const base = median(costs.get('without')!) ?? 0
  for (const [kind, all] of costs) {
    const cost = median(all) ?? 0
    const each = all.map((one) => one.toFixed(2)).join(' ')
    console.log(`${kind}: ${cost.toFixed(2)} µs per message, ${(cost / base).toFixed(3)} of without (${each})`)
  }
}

await (process.argv[2] === 'serve' ? serve(process.argv[3] as Kind) : main())
