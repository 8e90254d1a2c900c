import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

/** Where the page lies, seen from the sources and from the built package. */
const places = ['../../dist/inspect-page/', '../../inspect-page/']

/** The folder of the built page; undefined: it was not built, as in a fresh clone. */
export function pageFolder(): string | undefined {
  return places
    .map((place) => fileURLToPath(new URL(place, import.meta.url)))
    .find((folder) => existsSync(`${folder}index.html`))
}

/** What index.html asks for, as it is now; nothing while another page is put in its place. */
export async function assetsIn(folder: string): Promise<readonly string[]> {
  return readdir(`${folder}assets`).catch(() => [])
}
