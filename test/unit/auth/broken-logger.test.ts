/** Threat 60: an authenticator whose logger throws goes on as if it had none. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hash } from '@node-rs/argon2'
import { expect, onTestFinished, test, vi } from 'vitest'

import { addScramUser, jwt, passwordFile, scram, type Authenticator, type Logger } from '../../../src/index.ts'
import { authenticationRequest } from '../../support/authentication-request.ts'
import { audience, issuer, jwksServer, seconds, signingKey } from '../../support/jwt-issuer.ts'
import { tempFolder } from '../../support/temp-files.ts'

/** Counts its lines, and can't write one of them. */
function brokenLogger(): { readonly logger: Logger; lines(): number } {
  let lines = 0
  const fail = (): never => {
    lines += 1
    throw new Error('the log is full')
  }
  return { logger: { debug: fail, info: fail, warn: fail, error: fail }, lines: () => lines }
}

function owned<A extends Authenticator>(authenticator: A): A {
  onTestFinished(() => authenticator.close?.())
  return authenticator
}

/** Real files are watched; nothing else says when that was. */
const soon = (check: () => unknown): Promise<unknown> => vi.waitFor(check, { timeout: 10_000, interval: 20 })

const header = '{"format":"statemq-passwords","version":1}'
const lineOf = async (user: string): Promise<string> =>
  JSON.stringify({ user, hash: await hash('hunter2', { memoryCost: 1_024, timeCost: 1 }) })

test('threat 60: a password file', async () => {
  const path = join(tempFolder(), 'passwords')
  const write = (...lines: string[]): void => writeFileSync(path, `${[header, ...lines].join('\n')}\n`)
  write(await lineOf('anna'))
  const { logger, lines } = brokenLogger()
  // Open to others, which is a line of the log as well.
  const file = owned(passwordFile({ path, logger }))
  expect(lines()).toBe(1)
  write('no user')
  await soon(() => expect(lines()).toBe(3))
  write(await lineOf('emil'))
  const ask = (username: string) => file.authenticate(authenticationRequest({ username, password: 'hunter2' }))
  await soon(async () => expect(await ask('emil')).toMatchObject({ type: 'allow' }))
  await expect(file.reload()).resolves.toBeUndefined()
})

test('threat 60: a file of SCRAM users', async () => {
  const path = join(tempFolder(), 'scram')
  await addScramUser(path, { user: 'anna', password: 'pencil' })
  const { logger, lines } = brokenLogger()
  const file = owned(scram({ users: path, logger }))
  writeFileSync(path, 'nothing of the kind\n')
  await soon(() => expect(lines()).toBe(1))
  const request = authenticationRequest({ authenticationMethod: 'SCRAM-SHA-256', authenticationData: '?' })
  expect(await file.authenticate(request)).toMatchObject({ type: 'deny', reasonCode: 0x87 })
  expect(lines()).toBe(2)
})

test('threat 60: keys of tokens in a file', async () => {
  const path = join(tempFolder(), 'keys.json')
  const [one, two] = [await signingKey('ES256', 'one'), await signingKey('ES256', 'two')]
  const write = (...keys: object[]): void => writeFileSync(path, JSON.stringify({ keys }))
  write(one.jwk)
  const { logger, lines } = brokenLogger()
  const tokens = owned(jwt({ issuer, audience, jwksFile: path, logger }))
  writeFileSync(path, '{')
  await soon(() => expect(lines()).toBe(1))
  write(two.jwk)
  await soon(async () => {
    const password = await two.sign({ exp: seconds(100) })
    expect(await tokens.authenticate(authenticationRequest({ password }))).toMatchObject({ type: 'allow' })
  })
})

test('threat 60: published keys that cannot be fetched again are used as long as they may be', async () => {
  let nowMs = Date.now()
  const key = await signingKey('ES256', 'one')
  const server = await jwksServer([key])
  const { logger, lines } = brokenLogger()
  const tokens = owned(jwt({ issuer, audience, jwks: { url: server.url }, clock: { nowMs: () => nowMs }, logger }))
  const ask = async () => {
    const password = await key.sign({ exp: seconds(100_000, nowMs) })
    return tokens.authenticate(authenticationRequest({ password }))
  }
  expect(await ask()).toMatchObject({ type: 'allow' })
  server.mode = 'error'
  nowMs += 700_000
  expect(await ask()).toMatchObject({ type: 'allow' })
  expect(lines()).toBe(1)
})
