import { needTools, systemd } from './system-tools.ts'

/** Global setup of projects whose tests ask systemd's own tools what they say to our unit. */
export default function setup(): void {
  needTools([systemd])
}
