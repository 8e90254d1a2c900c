import { needTools, openssl } from './system-tools.ts'

/** Global setup of the projects whose tests make certificates. */
export default function setup(): void {
  needTools([openssl])
}
