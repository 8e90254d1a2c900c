import { Worker } from 'node:worker_threads'

import type { ChartLayout } from '../chart-layout.ts'
import type { ChartState } from './chart.ts'
import type { ChartDirection } from './layout.ts'
import type { PictureOptions } from './svg.ts'

/** What the thread is to do: a layout, or with `picture` a whole picture. */
export interface LayoutOrder {
  readonly chart: ChartState
  readonly direction?: ChartDirection
  readonly picture?: PictureOptions
}

/** Pictures that were asked for last: the brokers of a process mostly run the same machine. */
const known = new Map<string, Promise<unknown>>()
const maxKnown = 16

/**
 * Lays a chart out in a thread of its own, which ends with that: it takes some hundred milliseconds, in which a
 * broker would read no packet. Rejects with what the layout throws.
 */
export function layOutAside(chart: ChartState, direction: ChartDirection): Promise<ChartLayout> {
  return inThread({ chart, direction })
}

/** Draws a chart in the same way; see `svg.ts`. */
export function drawAside(chart: ChartState, picture: PictureOptions): Promise<string> {
  return inThread({ chart, picture })
}

function inThread<Made>(order: LayoutOrder): Promise<Made> {
  const key = JSON.stringify(order)
  const picture = (known.get(key) as Promise<Made> | undefined) ?? inNewThread<Made>(order)
  known.set(key, picture)
  // What failed once is tried again by whoever asks next.
  picture.catch(() => known.delete(key))
  const [oldest] = known.keys()
  if (known.size > maxKnown && oldest !== undefined) known.delete(oldest)
  return picture
}

function inNewThread<Made>(order: LayoutOrder): Promise<Made> {
  const file = import.meta.url.endsWith('.ts') ? './layout-worker.ts' : './layout-worker.js'
  const worker = new Worker(new URL(file, import.meta.url), { workerData: order })
  return new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
    worker.once('exit', (code) => reject(new Error(`the layout thread ended with ${code}`)))
  })
}
