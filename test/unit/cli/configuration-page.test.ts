import { expect, test } from 'vitest'
import { z } from 'zod'

import { configSchema } from '../../../src/cli/config-schema.ts'
import { readFiles } from '../../support/source-files.ts'

interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly items?: JsonSchema
  readonly anyOf?: readonly JsonSchema[]
  readonly oneOf?: readonly JsonSchema[]
}

/** Keys of an object, limits aside, which have a page of their own; one level down where that is all there is. */
function keysOf(schema: JsonSchema): string[] {
  return Object.entries(schema.properties ?? {}).map(([key, value]) =>
    key === 'proxyProtocol' ? `${key}.${keysOf(value).join()}` : key,
  )
}

test('docs/configuration.md names every key of the file, in the table of its kind', () => {
  const schema = z.toJSONSchema(configSchema, { unrepresentable: 'any', io: 'input' }) as JsonSchema
  const listener = schema.properties?.['listeners']?.items
  const kinds = listener?.oneOf ?? listener?.anyOf ?? []
  expect(kinds).toHaveLength(5)

  const [page] = readFiles('docs/configuration.md')
  const tables = page!.text
    .split('| Key | Default | Meaning |')
    .slice(1)
    .map((table) => [...table.matchAll(/^\| `([\w.]+)` \|/gm)].map((match) => match[1]!))
  const [
    file = [],
    inspect = [],
    store = [],
    common = [],
    address = [],
    webSocket = [],
    tls = [],
    unix = [],
    ...authenticators
  ] = tables
  expect(tables).toHaveLength(13)

  expect(file.toSorted()).toEqual(keysOf(schema).toSorted())
  expect(inspect.toSorted()).toEqual(keysOf(schema.properties!['inspect']!).toSorted())
  // A word is read as a map before it is judged: only that side of it has keys.
  const judged = z.toJSONSchema(configSchema, { unrepresentable: 'any', io: 'output' }) as JsonSchema
  expect(store).toEqual(keysOf(judged.properties!['store']!))
  const documented = [
    [...common, ...address],
    [...common, ...address, ...tls],
    [...common, ...address, ...webSocket],
    [...common, ...address, ...webSocket, ...tls],
    [...common, ...unix],
  ]
  expect(documented.map((keys) => keys.toSorted())).toEqual(kinds.map((kind) => keysOf(kind).toSorted()))

  const schemas = schema.properties?.['authenticators']?.items
  const expected = (schemas?.oneOf ?? schemas?.anyOf ?? []).map((kind) => keysOf(kind).filter((key) => key !== 'type'))
  expect(authenticators.map((keys) => keys.toSorted())).toEqual(expected.map((keys) => keys.toSorted()))
})
