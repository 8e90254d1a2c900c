import { expect, test } from 'vitest'

import { defaultLimits } from '../../../src/limits.ts'
import { readFiles } from '../../support/source-files.ts'

test('docs/architecture.md says of every limit where it is checked, and the file is there', () => {
  const [page] = readFiles('docs/architecture.md')
  const [, section = ''] = page!.text.split('## Where limits are checked\n')
  const rows = [...section.split(/^## /m)[0]!.matchAll(/^\| `([\w.]+)`[^|]*\| ([^|]*)\|/gm)]
  const documented = rows.flatMap(([, room, cell]) =>
    [...cell!.matchAll(/`(\w+)`/g)].map(([, limit]) => {
      // broker.ts hands some limits of the whole broker to the room that checks them.
      const sources = readFiles('src/broker.ts', `src/${room}/**/*.ts`)
      return { limit, isReadThere: sources.some(({ text }) => new RegExp(`\\b${limit}\\b`).test(text)) }
    }),
  )
  const expected = Object.keys(defaultLimits).map((limit) => ({ limit, isReadThere: true }))
  const byName = (a: { limit?: string | undefined }, b: { limit?: string | undefined }): number =>
    (a.limit ?? '') < (b.limit ?? '') ? -1 : 1
  expect(documented.toSorted(byName)).toEqual(expected.toSorted(byName))
})
