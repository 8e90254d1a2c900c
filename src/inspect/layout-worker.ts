import { parentPort, workerData } from 'node:worker_threads'

import type { ChartState } from './chart.ts'
import { layOutChart, type ChartDirection } from './layout.ts'

// Started by layout-thread.ts.
const { chart, direction } = workerData as { readonly chart: ChartState; readonly direction: ChartDirection }
parentPort?.postMessage(await layOutChart(chart, direction))
