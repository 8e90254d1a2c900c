import { parentPort, workerData } from 'node:worker_threads'

import { layOutChart } from './layout.ts'
import type { LayoutOrder } from './layout-thread.ts'
import { drawPicture } from './svg.ts'

// Started by layout-thread.ts.
const { chart, direction, picture } = workerData as LayoutOrder
parentPort?.postMessage(await (picture ? drawPicture(chart, picture) : layOutChart(chart, direction ?? 'right')))
