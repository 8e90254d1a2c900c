import { needTools, promtool } from './system-tools.ts'

/** Global setup of the `inspect` project: Prometheus' own checker reads our metrics. */
export default function setup(): void {
  needTools([promtool])
}
