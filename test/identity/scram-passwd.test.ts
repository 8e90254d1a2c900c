/** `statemq passwd --scram`. */
import { spawnSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { scram } from '../../src/index.ts'
import { ScramClient } from '../support/scram-client.ts'
import { logIn } from '../support/scram-login.ts'
import { repository } from '../support/source-files.ts'
import { tempFolder } from '../support/temp-files.ts'
import { startBroker } from '../support/test-broker.ts'

const main = join(repository, 'src', 'cli', 'main.ts')

function passwd(words: readonly string[], input: string | Buffer = '') {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'passwd', ...words], {
    input,
    encoding: 'utf8',
  })
  return { status, out: stdout, err: stderr }
}

test('adds, changes and deletes users that can log in', async () => {
  const file = join(tempFolder(), 'scram.users')
  const said = [
    passwd([file, 'anna', '--scram', '--stdin', '--roles', 'operator'], 'brush\n'),
    passwd([file, 'anna', '--scram', '--stdin'], 'pencil\n'),
    passwd([file, 'bob', '--scram', '--stdin'], 'x\n'),
    passwd([file, 'bob', '--scram', '--delete']),
  ]
  expect(said.map(({ status, out }) => [status, out])).toEqual([
    [0, `anna was added to ${file}\n`],
    [0, `anna has a new password in ${file}\n`],
    [0, `bob was added to ${file}\n`],
    [0, `bob was deleted from ${file}\n`],
  ])
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(readFileSync(file, 'utf8')).not.toMatch(/pencil|brush|bob/)
  const t = startBroker({ authenticators: [scram({ users: file })] })
  await logIn(t.attach(), 'SCRAM-SHA-512', new ScramClient('SCRAM-SHA-512', 'anna', 'pencil'))
  expect(t.broker.sessions.get('a')?.context.grant?.roles).toEqual(['operator'])
})

test.each<[string, readonly string[], string | Buffer]>([
  ['a password that is no UTF-8', ['--stdin'], Buffer.from('ff0a', 'hex')],
  ['a password with a control character', ['--stdin'], 'a\u0007b\n'],
  ['many at once', ['--batch'], 'anna:pencil\n'],
  ['a user who is not there', ['--delete'], ''],
])('%s: refused, and no file is made', (_name, words, input) => {
  const file = join(tempFolder(), 'scram.users')
  const user = words.includes('--batch') ? [] : ['anna']
  const { status, err } = passwd([file, ...user, '--scram', ...words], input)
  expect([status === 0, err]).toEqual([false, expect.stringMatching(/./)])
  expect(() => statSync(file)).toThrow('ENOENT')
})
