/**
 * What session filters and operations over many sessions cost: `node test/bench/identity.bench.ts
 * [sessions]`, 100,000 by default. A tenth of the sessions stay online over in-memory connections,
 * the others are offline. Of every hundred, ten have the role `operator`; each principal has ten.
 */
import { setImmediate as turn } from 'node:timers/promises'

import { allow, createBroker } from '../../src/index.ts'
import { memoryPair } from '../../src/net/memory.ts'
import { connect } from '../support/wire.ts'

const count = Number(process.argv[2] ?? 100_000)

const broker = createBroker({
  limits: { maxConnectsPerSecond: Infinity, maxOfflineSessions: Infinity, maxConnections: Infinity },
  authenticators: [
    {
      name: 'bench',
      authenticate: ({ username, clientId }) => {
        const n = Number(clientId.slice(1))
        const roles = n % 10 === 0 ? ['device', 'operator'] : ['device']
        const properties = { Department: `d${n % 7}`, Floor: String(n % 50) }
        return allow({ principal: username ?? 'nobody', roles, properties })
      },
    },
  ],
})

/** CPU time of this process in milliseconds: it stays comparable on a machine that does other things as well. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** Median and worst of seven, in CPU time. */
function measure(what: string, work: () => number, target: number): void {
  let found = 0
  const times = Array.from({ length: 7 }, () => {
    const startMs = cpuMs()
    found = work()
    return cpuMs() - startMs
  }).toSorted((a, b) => a - b)
  const [median, worst] = [times[3]!, times[6]!]
  console.log(`${what}: ${found} found, median ${median.toFixed(1)} ms, worst ${worst.toFixed(1)} ms (aim ${target})`)
}

/** Time of an operation over many sessions, and of the longest turn of the event loop meanwhile. */
async function measureOperation(what: string, work: () => Promise<readonly { outcome: string }[]>): Promise<void> {
  await turn()
  const longest = { cpu: 0, wall: 0 }
  let last = { cpu: cpuMs(), wall: performance.now() }
  let going = true
  const watch = (): void => {
    const now = { cpu: cpuMs(), wall: performance.now() }
    longest.cpu = Math.max(longest.cpu, now.cpu - last.cpu)
    longest.wall = Math.max(longest.wall, now.wall - last.wall)
    last = now
    if (going) setImmediate(watch)
  }
  setImmediate(watch)
  const start = { cpu: cpuMs(), wall: performance.now() }
  const outcomes = await work()
  const took = { cpu: cpuMs() - start.cpu, wall: performance.now() - start.wall }
  going = false
  await turn()
  const done = outcomes.filter(({ outcome }) => outcome === 'done').length
  const turns = `longest turn ${longest.wall.toFixed(1)} ms, ${longest.cpu.toFixed(1)} ms of CPU`
  console.log(`${what}: ${done} done in ${took.wall.toFixed(0)} ms, ${took.cpu.toFixed(0)} ms of CPU; ${turns}`)
}

const start = performance.now()
for (let n = 0; n < count; n++) {
  const [client, server] = memoryPair()
  broker.attach(server)
  client.on('error', () => {})
  client.resume()
  client.write(
    connect({
      clientId: `c${n}`,
      username: `p${Math.floor(n / 10)}`,
      cleanStart: false,
      properties: { sessionExpiryInterval: 3600 },
    }),
  )
  if (n % 10 !== 0) setImmediate(() => setImmediate(() => setImmediate(() => client.destroy())))
  if (n % 200 === 199) await turn()
}
while (broker.sessions.size < count) await turn()
for (let turns = 0; turns < 20; turns++) await turn()
const online = broker.sessions.count(`$State is 'online'`)
console.log(`${broker.sessions.size} sessions, ${online} online, made in ${(performance.now() - start).toFixed(0)} ms`)

const { sessions } = broker
measure('select by principal', () => sessions.select(`$Principal is 'p77'`).length, 50)
measure('select by role', () => sessions.select(`hasRoles ['operator']`).length, 50)
measure('select by role and property', () => sessions.select(`hasRoles ['operator'] and Floor is '10'`).length, 50)
measure('select by client ids', () => sessions.select(`$ClientId in ['c1' 'c2' 'c3']`).length, 50)
measure('scan by property', () => sessions.select(`Department is 'd3' and Floor in ['10' '11' '12']`).length, 300)
measure('scan by state', () => sessions.select(`$State is 'online'`).length, 300)
measure('scan by glob', () => sessions.select(`$ClientId like 'c*7?1'`).length, 300)
measure('scan by time', () => sessions.select('$StartTime < 2020-01-01').length, 300)
measure('scan, all of them', () => sessions.select('all').length, 300)
measure('scan, count only', () => sessions.count('not hasRoles ["x"]'), 300)

const operators = { filter: `hasRoles ['operator']` }
await measureOperation('change roles of a tenth', () => sessions.changeRoles(operators, { add: ['night'] }))
await measureOperation('the same, found by scan', () =>
  sessions.changeRoles({ filter: `not not hasRoles ['operator']` }, { remove: ['night'] }),
)
await measureOperation('set a property of a tenth', () => sessions.setProperties(operators, { Shift: 'late' }))
await measureOperation('set an attribute of a tenth', () =>
  sessions.setAttributes(operators, { level: 1 }, { scope: 'session' }),
)
let told = 0
for (let watches = 0; watches < 10; watches++) sessions.watch(`hasRoles ['night']`).subscribe(() => told++)
await measureOperation('change roles of a tenth, watched by ten', () =>
  sessions.changeRoles(operators, { add: ['night'] }),
)
while (told < 10 * sessions.count(`hasRoles ['night']`)) await turn()
console.log(`told ${told} changes`)
process.exit(0)
