import { existsSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { delimiter, join } from 'node:path'

import { parseProcessorList } from './statistics.ts'

/** The full path of a program; system folders count too, since mosquitto is in one that users' paths leave out. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path))
}

/** Who runs where: without it the scheduler may put both on one processor, which is cheaper per message and slower. */
export interface Pinning {
  readonly about: string
  broker(command: readonly string[]): readonly string[]
  generator(command: readonly string[]): readonly string[]
}

export function choosePinning(): Pinning {
  const taskset = findProgram('taskset')
  const allowed = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
  const processors = parseProcessorList(allowed)
  const generator = processors[0]
  const broker = processors[1]
  if (taskset === undefined || generator === undefined || broker === undefined) {
    const why = taskset === undefined ? 'there is no taskset' : 'there is one processor only'
    return { about: `nothing pinned (${why})`, broker: (command) => command, generator: (command) => command }
  }
  const on = (processor: number, command: readonly string[]): string[] => [taskset, '-c', `${processor}`, ...command]
  return {
    about: 'broker pinned to one and load generator to the other',
    broker: (command) => on(broker, command),
    generator: (command) => on(generator, command),
  }
}

export function processorModel(): string {
  return cpus()[0]?.model.trim() || 'unknown processor'
}

/** File descriptors that a child may open. Node raises its own soft limit to the hard one, and children inherit it. */
export function openFilesLimit(): number {
  const found = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
  return found === undefined || found === 'unlimited' ? Infinity : Number(found)
}
