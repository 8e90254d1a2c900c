import { expect, test } from 'vitest'

import { observedEvents } from '../../../src/observers.ts'
import { decisionHooks } from '../../../src/session/hook-chain.ts'
import { readFiles } from '../../support/source-files.ts'

const [page] = readFiles('docs/hooks.md')
const [eventSource] = readFiles('src/events.ts')
const [hookSource] = readFiles('src/hooks.ts')
const [observerSource] = readFiles('src/observers.ts')
const optionSource = readFiles('src/options.ts', 'src/limits.ts')
  .map(({ text }) => text)
  .join('\n')

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
    const fields = matches(member, /readonly (\w+)\??:/g).filter((field) => field !== 'type')
    const isOfSession = member.includes('& OfSession') ? 'yes' : ''
    return matches(types, /'([\w.-]+)'/g).map((type) => [type, isOfSession, fields.join(' ')])
  })
}

test('docs/hooks.md lists every event of broker.events$, with its fields', () => {
  const documented = tableBelow('Events').map((cells) => cells.slice(0, 3))
  expect(documented).toEqual(eventsOfSource())
  expect(documented).toHaveLength(42)
})

test('docs/hooks.md lists every reason of message.dropped', () => {
  const [, union = ''] = eventSource!.text.split('export type DropReason =')
  const reasons = matches(union.split('interface')[0]!, /^ {2}\| '([\w-]+)'/gm)
  expect(tableBelow('Reasons of `message.dropped`').map(([reason]) => reason)).toEqual(reasons)
})

/** Members of an interface that are hooks, with their signatures on one line. */
function signatures(source: string): Map<string, string> {
  const members = source.matchAll(/^ {2}(on\w+)\?\([\s\S]*?(?=\n {2}\/\*\*|\n\}|\n {2}on\w+\?\()/gm)
  return new Map([...members].map(([text, name]) => [name!, oneLine(text)]))
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim()
}

const deciding = signatures(hookSource!.text)
const observing = signatures(observerSource!.text)
const pages = new Map(
  readFiles('docs/hooks/*.md').map(({ path, text }) => [path.split('/').at(-1)!.slice(0, -3), text]),
)

test('docs/hooks.md lists the hooks in the order in which the code has them, each with its page', () => {
  const listed = (heading: string): string[] =>
    matches(page!.text.split(`### ${heading}\n`)[1]!.split(/^##/m)[0]!, /^\| \[`(on\w+)`\]\(hooks\/\1\.md\) \|/gm)
  expect(listed('Those that decide')).toEqual([...deciding.keys()])
  expect(listed('Those that decide')).toEqual(decisionHooks)
  expect(listed('Observers of plugins')).toEqual([...observing.keys()])
  expect(listed('Observers of plugins')).toEqual(Object.keys(observedEvents))
})

test('docs/hooks.md says of every hook how it may answer', () => {
  const rows = page!.text.matchAll(/^\| \[`(on\w+)`\][^|]*\| ((?:`\w+` ?)+)\|/gm)
  const documented = [...rows].map(([, name, answers]) => [name, matches(answers!, /`(\w+)`/g)])
  const ofSource = [...deciding].map(([name, signature]) => {
    const returned = signature.split('): ').at(-1)!
    return [name, ['Next', 'Deny', 'Allow'].filter((kind) => returned.includes(kind)).map((kind) => kind.toLowerCase())]
  })
  expect(documented).toEqual(ofSource)
})

test('docs/hooks has a page for every hook, with its signature and, for observers, its event', () => {
  expect([...pages.keys()].toSorted()).toEqual(['authenticate', ...deciding.keys(), ...observing.keys()].toSorted())
  for (const [name, signature] of [...deciding, ...observing]) {
    const text = pages.get(name)!
    expect(text.startsWith(`# ${name}\n`)).toBe(true)
    expect(oneLine(/^```ts signature\n([\s\S]*?)^```$/m.exec(text)?.[1] ?? '')).toBe(signature)
  }
  for (const [name, type] of Object.entries(observedEvents)) {
    expect(pages.get(name)).toContain(`Observes [\`${type}\`](../hooks.md#events).`)
    expect(tableBelow('Events').map(([event]) => event)).toContain(type)
  }
})

test('docs/hooks.md names every limit and feature that an authenticator may set', () => {
  const section = page!.text.split('### Limits and features of one session\n')[1]!.split(/^## /m)[0]!
  const inTables = new Set(matches(section.replace(/^[^|].*$/gm, ''), /`(\w+)`/g))
  const [, limits = ''] = /type GrantLimits = ([\s\S]*?)\n>\n/.exec(optionSource) ?? []
  const [, features = ''] = /interface GrantFeatures \{([\s\S]*?)\n\}/.exec(optionSource) ?? []
  const names = [...matches(limits, /\| '(\w+)'/g), ...matches(features, /readonly (\w+)\?:/g)]
  expect(names.length).toBeGreaterThan(25)
  for (const name of names) expect(inTables).toContain(name)
})
