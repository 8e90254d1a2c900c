import { buildPage } from '../../.ci/build-page.ts'
import { chromium, needTools } from './system-tools.ts'

/** Global setup of the project that looks at the inspector's page in a browser: there is one, and the page is that of its sources. */
export default async function setup(): Promise<void> {
  needTools([chromium])
  await buildPage()
}
