import { describe, expect, test } from 'vitest'

import { brokerMachine, sessionMachine, willMachine } from '../../../machines/index.ts'
import { describeChart, type ChartState } from '../../../src/inspect/chart.ts'
import { readFiles } from '../../support/source-files.ts'

const [page] = readFiles('docs/machines.md')

/** Rows of the table below a heading: its first cell without code marks, and the names in its second. */
function rowsBelow(heading: string): [name: string, names: string[]][] {
  const [, section = ''] = page!.text.split(`### ${heading}\n`)
  const rows = section.split(/^#/m)[0]!.matchAll(/^\| `([^`]+)` \| ([^|]*)\|/gm)
  return [...rows].map(([, name, cell]) => [name!, [...cell!.matchAll(/`([^`]+)`/g)].map((match) => match[1]!)])
}

function namesBelow(heading: string): string[] {
  return rowsBelow(heading).map(([name]) => name)
}

/** Paths of all states, `''` for the machine itself, with the events that they have transitions for. */
function eventsByState(state: ChartState, path = ''): [path: string, events: string[]][] {
  const inner = Object.entries(state.states ?? {})
  const own = Object.keys(state.on ?? {}).filter((event) => !event.startsWith('xstate.'))
  return [[path, own], ...inner.flatMap(([name, child]) => eventsByState(child, path ? `${path}.${name}` : name))]
}

const machines = { Session: sessionMachine, Will: willMachine, Broker: brokerMachine }

describe.each(Object.entries(machines))('docs/machines.md, %s', (title, machine) => {
  const states = eventsByState(describeChart(machine)).filter(([path]) => path !== '')

  test('names every state, in order', () => {
    expect(namesBelow(`${title}: states`)).toEqual(states.map(([path]) => path))
  })

  test('names every event, with the states that take it', () => {
    const events = new Set(states.flatMap(([, own]) => own).filter((event) => !event.includes('*')))
    const expected = [...events].map((event): [string, string[]] => {
      const takes = (own: string): boolean =>
        own === event || (own.endsWith('.*') && event.startsWith(own.slice(0, -1)))
      const taking = states.filter(([, own]) => own.some(takes)).map(([path]) => path.split('.')[0]!)
      return [event, [...new Set(taking)]]
    })
    expect(Object.fromEntries(rowsBelow(`${title}: events`))).toEqual(Object.fromEntries(expected))
  })

  test.each(['actions', 'guards', 'actors'] as const)('names all %s', (kind) => {
    const names = Object.keys(machine.implementations[kind])
    expect(namesBelow(`${title}: ${kind}`).toSorted()).toEqual(names.toSorted())
  })
})
