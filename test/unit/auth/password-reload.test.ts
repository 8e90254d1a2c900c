/** Two reloads of a password file at once: the users are those of the one that read it last. */
import { writeFileSync } from 'node:fs'
import type * as files from 'node:fs/promises'
import { join } from 'node:path'
import { hash } from '@node-rs/argon2'
import { expect, onTestFinished, test, vi } from 'vitest'

import { passwordFile } from '../../../src/index.ts'
import { authenticationRequest } from '../../support/authentication-request.ts'
import { tempFolder } from '../../support/temp-files.ts'
import { settle } from '../../support/test-broker.ts'

/** Texts as they were read, which come to the reader when a test lets them. */
const held: (() => void)[] = []

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof files>()
  const readFile = async (path: string, encoding: 'utf8'): Promise<string> => {
    const text = await real.readFile(path, encoding)
    if (held.length === 0) await new Promise<void>((resolve) => held.push(resolve))
    return text
  }
  return { ...real, readFile }
})

test('a reload that began earlier does not bring back users who are gone', async () => {
  const path = join(tempFolder(), 'passwords')
  const stored = await hash('hunter2', { memoryCost: 1_024, timeCost: 1 })
  const write = (user: string): void =>
    writeFileSync(path, `{"format":"statemq-passwords","version":1}\n${JSON.stringify({ user, hash: stored })}\n`)
  write('anna')
  const file = passwordFile({ path, watch: false })
  onTestFinished(() => file.close())
  const first = file.reload()
  await vi.waitFor(() => expect(held).toHaveLength(1))
  write('emil')
  const second = file.reload()
  // Should it not wait for the first one, it is done by now.
  await Promise.race([second, settle(2_000)])
  held[0]!()
  await Promise.all([first, second])
  const ask = (username: string) => file.authenticate(authenticationRequest({ username, password: 'hunter2' }))
  expect(await ask('anna')).toMatchObject({ type: 'deny' })
  expect(await ask('emil')).toMatchObject({ type: 'allow' })
  // One that fails is its caller's to know of, and keeps nobody else from reading.
  writeFileSync(path, 'nothing of the kind\n')
  await expect(file.reload()).rejects.toMatchObject({ code: 'SMQ_PASSWORD_FILE_INVALID' })
  write('anna')
  await file.reload()
  expect(await ask('anna')).toMatchObject({ type: 'allow' })
})
