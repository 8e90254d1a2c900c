import { needTools, redisServer } from './system-tools.ts'

/** Global setup of the projects whose tests start a Redis of their own. */
export default function setup(): void {
  needTools([redisServer])
}
