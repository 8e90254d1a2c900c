import { Worker } from 'node:worker_threads'

import type { ChartLayout } from '../chart-layout.ts'
import type { ChartState } from './chart.ts'
import type { ChartDirection } from './layout.ts'

/**
 * Lays a chart out in a thread of its own, which ends with that: it takes some hundred milliseconds, in which a
 * broker would read no packet. Rejects with what the layout throws.
 */
export function layOutAside(chart: ChartState, direction: ChartDirection): Promise<ChartLayout> {
  const file = import.meta.url.endsWith('.ts') ? './layout-worker.ts' : './layout-worker.js'
  const worker = new Worker(new URL(file, import.meta.url), { workerData: { chart, direction } })
  return new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
    worker.once('exit', (code) => reject(new Error(`the layout thread ended with ${code}`)))
  })
}
