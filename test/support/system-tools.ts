import { spawnSync } from 'node:child_process'

/** A program that tests run besides Node: how to see that it is there, and the Debian package that has it. */
export interface SystemTool {
  readonly name: string
  readonly debianPackage: string
  isThere(): boolean
}

function succeeds(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0
}

function command(name: string, debianPackage: string): SystemTool {
  return { name, debianPackage, isThere: () => succeeds('sh', '-c', `command -v ${name}`) }
}

export const openssl = command('openssl', 'openssl')
/** The browser that the tests of the inspector drive. */
export const chromium = command('chromium', 'chromium')
export const systemd = command('systemd-analyze', 'systemd')
export const redisServer = command('redis-server', 'redis-server')
export const promtool = command('promtool', 'prometheus')
export const mosquittoClients = ['mosquitto_pub', 'mosquitto_sub', 'mosquitto_rr'].map((name) =>
  command(name, 'mosquitto-clients'),
)
export const pahoPython: SystemTool = {
  name: 'Paho for Python',
  debianPackage: 'python3-paho-mqtt',
  isThere: () => findPahoPython() !== undefined,
}

/**
 * The Python that has Paho: Debian's package serves Debian's own interpreter only, and another
 * `python3` may stand before it in the path.
 */
function findPahoPython(): string | undefined {
  return ['/usr/bin/python3', 'python3'].find((python) => succeeds(python, '-c', 'import paho.mqtt.client'))
}

/** Path of a Python with Paho; the `interop` project's setup has made sure that there is one. */
export function pythonWithPaho(): string {
  const python = findPahoPython()
  if (!python) throw new Error('no python3 has paho.mqtt: apt-get install python3-paho-mqtt')
  return python
}

/**
 * Makes sure that every tool is there: installs what is missing where that is possible (Debian, as
 * root) and says so; otherwise fails with the command that a person has to run.
 */
export function needTools(tools: readonly SystemTool[]): void {
  const missing = tools.filter((tool) => !tool.isThere())
  if (missing.length === 0) return
  const packages = [...new Set(missing.map((tool) => tool.debianPackage))]
  const names = missing.map((tool) => tool.name).join(', ')
  const install = `apt-get update && apt-get install -y --no-install-recommends ${packages.join(' ')}`
  if (process.getuid?.() !== 0 || !succeeds('sh', '-c', 'command -v apt-get')) {
    throw new Error(`these tests need ${names}; install them with: sudo sh -c '${install}'`)
  }
  console.log(`installing what the tests need (${names}): ${install}`)
  const run = spawnSync('sh', ['-c', install], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      ...process.env,
      DEBIAN_FRONTEND: 'noninteractive',
      // A package that brings a service must not start it: the tests use free ports of their own.
      RUNLEVEL: '1',
    },
  })
  const still = tools.filter((tool) => !tool.isThere())
  if (run.status !== 0 || still.length > 0) {
    throw new Error(`could not install ${names}; do it with: ${install}`)
  }
}
