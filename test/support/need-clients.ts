import { mosquittoClients, needTools, openssl, pahoPython } from './system-tools.ts'

/** Global setup of the `interop` project: the clients of other people that our broker has to serve. */
export default function setup(): void {
  needTools([openssl, ...mosquittoClients, pahoPython])
}
