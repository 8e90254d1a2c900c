import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { generateApi } from 'swagger-typescript-api'
import { describe, expect, onTestFinished, test } from 'vitest'

import { StatemqError } from '../../src/errors.ts'
import { routes } from '../../src/inspect/server.ts'
import { EventReader, startAdmin, tokens } from '../support/admin-api.ts'
import { readFiles, repository } from '../support/source-files.ts'

describe('the OpenAPI document', () => {
  test('has every route of the server, each once, and no other', async () => {
    const { document } = await startAdmin()
    expect(document.openapi).toBe('3.1.0')
    const documented = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
    )
    const served = [...routes.map(({ method, path }) => `${method} ${path}`), 'GET /api/v1/openapi.json']
    expect(documented.toSorted()).toEqual(served.toSorted())
    const ids = Object.values(document.paths).flatMap((operations) =>
      Object.values(operations).map((one) => one.operationId),
    )
    expect(new Set(ids).size).toBe(ids.length)
  })

  test('and docs/admin-api.md name the same routes, with the same roles', async () => {
    const { document } = await startAdmin()
    const [page] = readFiles('docs/admin-api.md')
    const rows = [...page!.text.matchAll(/^\| `(GET|POST|PATCH|DELETE) (\/[^`]*)` \| (\w+) \|/gm)].flatMap(
      ([, method = '', path = '', role = '']) =>
        (path.includes('{') ? ['session', 'will', 'broker'] : ['']).map(
          (name) => [`${method} ${path.replace(/\{.*\}/, name)}`, role] as const,
        ),
    )
    const documented = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.entries(operations).map(
        ([method, { 'x-role': role }]) => [`${method.toUpperCase()} ${path}`, role] as const,
      ),
    )
    const others = ['GET /inspect/stately']
    expect(Object.fromEntries(rows.filter(([name]) => !others.includes(name)))).toEqual(Object.fromEntries(documented))
  })

  test('says what events of a stream hold', async () => {
    const { port, document, broker } = await startAdmin()
    const { 'x-events': events } = document.paths['/api/v1/tap']!['get']!
    expect(events).toEqual({
      message: { $ref: '#/components/schemas/TappedMessage' },
      lost: { $ref: '#/components/schemas/Lost' },
    })
    const reader = await EventReader.open(port, '/api/v1/tap?filter=a', tokens.read)
    await broker.publish({ topic: 'a' })
    const message = await reader.next<object>('message')
    const { properties } = document.components.schemas['TappedMessage'] as { properties: object }
    expect(Object.keys(message)).toEqual(Object.keys(properties))
  })
})

const use = `
import { Api } from './client.ts'
import type { BrokerStats, SessionPage, SessionOutcomes, Problem } from './client.ts'
export async function use(baseUrl: string, token: string) {
  const client = new Api({ baseUrl, baseApiParams: { headers: { authorization: \`Bearer \${token}\` } } })
  const stats: BrokerStats = (await client.api.getStats()).data
  const page: SessionPage = (await client.api.listSessions({ filter: "$State is 'online'", limit: 10, descending: true })).data
  const first: string | undefined = page.rows[0]?.clientId
  const reached: number = (await client.api.publish({ topic: 'a/b', payload: 'x', qos: 1, retain: true })).data.reached
  const outcomes: SessionOutcomes = (
    await client.api.actOnSessions({ target: { filter: 'all' }, action: { type: 'disconnect', reason: 'test' } })
  ).data
  const refused = await client.api.getSession({ clientId: 'nobody' }).catch((error: { error: Problem }) => error.error)
  return { state: stats.state, total: page.total, first, reached, done: outcomes.done, refused }
}
export async function misuse(client: Api<unknown>) {
  // @ts-expect-error -- a client identifier is needed
  await client.api.getSession({})
  // @ts-expect-error -- there is no such action
  await client.api.actOnSessions({ target: { filter: 'all' }, action: { type: 'destroy' } })
}
`

describe('a client that is generated from it', () => {
  test('is sound for TypeScript, and looks into a broker and steers it', { timeout: 120_000 }, async () => {
    const { broker, port, document } = await startAdmin()
    const folder = mkdtempSync(join(repository, 'node_modules', '.statemq-client-'))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    const { files } = await generateApi({
      spec: document as never,
      output: false,
      silent: true,
      generateUnionEnums: true,
      enumStyle: 'union',
    } as never)
    const text = (files as { fileContent: string }[]).map(({ fileContent }) => fileContent).join('\n')
    writeFileSync(join(folder, 'client.ts'), text)
    writeFileSync(join(folder, 'use.ts'), use)
    const compiler = {
      target: 'es2024',
      lib: ['es2024', 'dom', 'dom.iterable'],
      module: 'nodenext',
      strict: true,
      skipLibCheck: true,
      types: [],
      allowImportingTsExtensions: true,
    }
    const outDir = join(folder, 'out')
    const options = { ...compiler, outDir, rewriteRelativeImportExtensions: true }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, include: ['*.ts'] }))
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
    const tsc = join(repository, 'node_modules', 'typescript', 'bin', 'tsc')
    execFileSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8' })

    await broker.client({ clientId: 'press-1' })
    const { use: run } = (await import(pathToFileURL(join(outDir, 'use.js')).href)) as {
      use: (url: string, token: string) => Promise<object>
    }
    expect(await run(`http://127.0.0.1:${port}`, tokens.operate)).toEqual({
      state: 'running',
      total: 1,
      first: 'press-1',
      reached: 0,
      done: 1,
      refused: { code: 'SMQ_SESSION_UNKNOWN', message: new StatemqError('SMQ_SESSION_UNKNOWN', '"nobody"').message },
    })
  })
})
