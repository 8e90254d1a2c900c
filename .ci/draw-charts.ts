import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { sessionMachine } from '../machines/index.ts'
import { describeChart } from '../src/inspect/chart.ts'
import { drawPicture, pictureThemes } from '../src/inspect/svg.ts'
import { pictureTitles } from '../src/inspect/titles.ts'

/**
 * Draws docs/images/session.svg and session-dark.svg from the session machine: states, and which
 * events lead from one to another. Guards and actions are left to docs/machines.md. `--check` says
 * whether the pictures are the machine's own instead of writing them.
 */
const images = join(import.meta.dirname, '..', 'docs', 'images')

/** The pictures by file name. */
export async function drawCharts(): Promise<Map<string, string>> {
  const chart = describeChart(sessionMachine)
  const title = pictureTitles.session
  const pictures = pictureThemes.map(async (theme): Promise<[string, string]> => [
    theme === 'light' ? 'session.svg' : `session-${theme}.svg`,
    await drawPicture(chart, { theme, title }),
  ])
  return new Map(await Promise.all(pictures))
}

if (process.argv[1] === import.meta.filename) {
  for (const [name, text] of await drawCharts()) {
    const file = join(images, name)
    if (!process.argv.includes('--check')) writeFileSync(file, text)
    else if (readFileSync(file, 'utf8') !== text) {
      console.error(`docs/images/${name} is not the machine's own; renew it with: node .ci/draw-charts.ts`)
      process.exitCode = 1
    }
  }
}
