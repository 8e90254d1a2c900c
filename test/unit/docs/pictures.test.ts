import { expect, test } from 'vitest'

import { drawCharts } from '../../../.ci/draw-charts.ts'
import { readFiles } from '../../support/source-files.ts'

test("the pictures are the session machine's own: renew them with node .ci/draw-charts.ts", async () => {
  const drawn = [...(await drawCharts())].map(([name, text]) => ({ path: `docs/images/${name}`, text }))
  expect(drawn.map(({ path }) => readFiles(path)[0])).toEqual(drawn)
})
