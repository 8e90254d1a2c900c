import { describe, expect, test } from 'vitest'
import { createMachine } from 'xstate'

import { sessionMachine } from '../../machines/index.ts'
import { describeChart, type ChartState } from '../../src/inspect/chart.ts'
import { drawPicture } from '../../src/inspect/svg.ts'
import { startAdmin } from '../support/admin-api.ts'
import { runCommand } from '../support/command.ts'
import { readFiles } from '../support/source-files.ts'

/** Text elements of a picture. */
function textsOf(svg: string): string[] {
  return [...svg.matchAll(/<text [^>]*>([^<]*)<\/text>|<tspan[^>]*>([^<]*)</g)].map(([, a, b]) => a ?? b ?? '')
}

function idsOf({ id, states = {} }: ChartState): string[] {
  return [id, ...Object.values(states).flatMap(idsOf)]
}

describe('pictures of machines', () => {
  test('the page, the command and docs/ have the same one', async () => {
    const { ask } = await startAdmin()
    const [documented] = readFiles('docs/images/session.svg')
    const served = await ask('GET', '/machines/session.svg', { as: 'read' })
    expect([served.status, served.headers['content-type']]).toEqual([200, 'image/svg+xml; charset=utf-8'])
    expect(served.text).toBe(documented!.text)
    expect(runCommand(['chart', '--format', 'svg']).out).toBe(documented!.text)
    const dark = await ask('GET', '/machines/session.svg?theme=dark', { as: 'read' })
    expect(dark.text).toBe(readFiles('docs/images/session-dark.svg')[0]!.text)
  })

  test('JSON and mermaid are what the command prints', async () => {
    const { ask } = await startAdmin()
    for (const machine of ['session', 'will', 'broker']) {
      const json = await ask('GET', `/machines/${machine}.json`, { as: 'read' })
      expect(json.body).toEqual(JSON.parse(runCommand(['chart', '--machine', machine, '--format', 'json']).out))
      const mermaid = await ask('GET', `/machines/${machine}.mermaid?detail=brief`, { as: 'read' })
      expect(mermaid.text).toBe(runCommand(['chart', '--machine', machine, '--brief']).out)
    }
  })

  test('every state of the layout is one of the machine, inside its parent', async () => {
    const { ask, broker } = await startAdmin()
    const { body } = await ask('GET', '/machines/session.layout.json?direction=down', { as: 'read' })
    const { states, width, height } = body as {
      states: { path: string; parent: string | null; x: number; y: number; width: number; height: number }[]
      width: number
      height: number
    }
    const ids = idsOf(describeChart(broker.machine))
      .map((id) => id.replace(/^session\.?/, ''))
      .filter((id) => id !== '')
    expect(states.map(({ path }) => path).toSorted()).toEqual(ids.toSorted())
    for (const { path, parent, ...box } of states) {
      const outer = states.find((one) => one.path === parent) ?? { x: 0, y: 0, width, height }
      const isInside =
        box.x >= outer.x &&
        box.y >= outer.y &&
        box.x + box.width <= outer.x + outer.width &&
        box.y + box.height <= outer.y + outer.height
      expect([path, isInside]).toEqual([path, true])
    }
  })

  test('a machine of any kind can be drawn: ids of its own, names that are markup', async () => {
    const machine = createMachine({
      id: 'a.b',
      initial: 'first',
      states: {
        first: { id: 'somewhere.else', on: { '<script>alert(1)</script>': { target: '#deep' } } },
        '"><img src=x onerror=alert(1)>': {
          initial: 'inner',
          states: { inner: { id: 'deep', on: { 'a & b': '#end' } } },
        },
        last: { id: 'end', type: 'final' },
      },
    })
    const svg = await drawPicture(describeChart(machine), { theme: 'light', title: '</title><script>' })
    expect(textsOf(svg)).toEqual([
      'first',
      '"&gt;&lt;img src=x onerror=alert(1)&gt;',
      'inner',
      'last',
      '&lt;script&gt;alert(1)&lt;/script&gt;',
      'a &amp; b',
    ])
    const elements = new Set([...svg.matchAll(/<([^/\s>]+)/g)].map(([, name]) => name))
    const expected = ['svg', 'title', 'defs', 'marker', 'path', 'rect', 'g', 'circle', 'text', 'tspan']
    expect(elements).toEqual(new Set(expected))
  })

  test('what an embedder has added stands out', async () => {
    const known = describeChart(sessionMachine)
    const options = { theme: 'light', title: 'own' } as const
    const extended = {
      ...known,
      states: { ...known.states, quarantine: { id: 'session.quarantine' } },
    }
    expect((await drawPicture(known, { ...options, known })).match(/#c2410c/g)).toBeNull()
    expect((await drawPicture(extended, { ...options, known })).match(/#c2410c/g)).toHaveLength(1)
  })
})
