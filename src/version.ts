import { createRequire } from 'node:module'

/** The package refers to itself by name, so the same line works in the sources and in the built files. */
export function packageVersion(): string {
  const { version } = createRequire(import.meta.url)('statemq/package.json') as { version: string }
  return version
}
