import { expect, test } from 'vitest'

import { readFiles } from '../../support/source-files.ts'

const [page] = readFiles('docs/hooks.md')
const [eventSource] = readFiles('src/events.ts')
const [hookSource] = readFiles('src/hooks.ts')

function matches(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map((match) => match[1]!)
}

/** Cells of the table below a heading, without code marks. */
function tableBelow(heading: string): string[][] {
  const [, section = ''] = page!.text.split(`### ${heading}\n`)
  return section
    .split(/^##/m)[0]!
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) =>
      line
        .split('|')
        .map((cell) => cell.replaceAll('`', '').trim())
        .slice(1, -1),
    )
}

/** The union of `BrokerEvent` in src/events.ts: type, whether it is of a session, fields. */
function eventsOfSource(): string[][] {
  const [, union = ''] = eventSource!.text.split('export type BrokerEvent =')
  const members = union
    .split('\n)\n')[0]!
    .replace(/\/\*\*[\s\S]*?\*\//g, '')
    // What is inside a field is not a field of the event.
    .replace(/Record<\s*string,\s*\{[^}]*\}\s*>/g, 'Record')
    .split(/^ {2}\| /m)
    .slice(1)
  return members.flatMap((member) => {
    const [, types = ''] = /readonly type:\s*([^\n;}]*)/.exec(member) ?? []
    const fields = matches(member, /readonly (\w+):/g).filter((field) => field !== 'type')
    const isOfSession = member.includes('& OfSession') ? 'yes' : ''
    return matches(types, /'([\w.-]+)'/g).map((type) => [type, isOfSession, fields.join(' ')])
  })
}

test('docs/hooks.md lists every event of broker.events$, with its fields', () => {
  const documented = tableBelow('Events').map((cells) => cells.slice(0, 3))
  expect(documented).toEqual(eventsOfSource())
  expect(documented).toHaveLength(33)
})

test('docs/hooks.md lists every reason of message.dropped', () => {
  const [, union = ''] = eventSource!.text.split('export type DropReason =')
  const reasons = matches(union.split('interface')[0]!, /^ {2}\| '([\w-]+)'/gm)
  expect(tableBelow('Reasons of `message.dropped`').map(([reason]) => reason)).toEqual(reasons)
})

test('docs/hooks.md has a section for every hook', () => {
  const hooks = matches(hookSource!.text, /^ {2}(on\w+)\?\(/gm)
  expect(matches(page!.text, /^### (on\w+)$/gm).toSorted()).toEqual(hooks.toSorted())
})
