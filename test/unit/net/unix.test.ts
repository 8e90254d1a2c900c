import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, onTestFinished, test } from 'vitest'

import { openListener } from '../../../src/net/listen.ts'
import { connectRaw } from '../../support/net-clients.ts'
import { TestListenContext } from '../../support/net-context.ts'

function socketPath(): string {
  const directory = mkdtempSync(join(tmpdir(), 'statemq-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return join(directory, 'mqtt.sock')
}

async function open(path: string, options: { mode?: number } = {}) {
  const context = new TestListenContext()
  const listener = await openListener({ transport: 'unix', path, ...options }, context)
  onTestFinished(() => listener.close())
  return { context, listener }
}

test.each([
  [undefined, 0o600],
  [0o660, 0o660],
  [0o777, 0o777],
])('mode %s gives the socket mode %o', async (mode, expected) => {
  const path = socketPath()
  await open(path, mode === undefined ? {} : { mode })
  expect(statSync(path).mode & 0o777).toBe(expected)
})

test('a connection has no addresses', async () => {
  const path = socketPath()
  const { context, listener } = await open(path)
  const socket = await connectRaw({ path })
  expect([listener.name, listener.address]).toEqual([`unix:${path}`, { path }])
  expect((await context.accepted.next()).info).toEqual({
    listener: `unix:${path}`,
    transport: 'unix',
    remoteAddress: undefined,
    remotePort: undefined,
    localPort: undefined,
    proxyAddress: undefined,
    tls: undefined,
  })
  socket.destroy()
})

test('the file goes when the listener closes', async () => {
  const path = socketPath()
  const { listener } = await open(path)
  await listener.close()
  expect(existsSync(path)).toBe(false)
})

test('the file of a process that died is taken over', async () => {
  const path = socketPath()
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', script])
  expect(existsSync(path)).toBe(true)
  const { context } = await open(path)
  const socket = await connectRaw({ path })
  expect((await context.accepted.next()).info.transport).toBe('unix')
  socket.destroy()
})

test('the socket of a process that lives is left alone', async () => {
  const path = socketPath()
  const first = await open(path)
  await expect(open(path, { mode: 0o777 })).rejects.toMatchObject({
    code: 'SMQ_LISTEN_FAILED',
    message: `The listener could not be opened: unix ${path}: EADDRINUSE`,
  })
  expect(statSync(path).mode & 0o777).toBe(0o600)
  // The probe of the second one is a connection too; the one after it shows that the first still accepts.
  const socket = await connectRaw({ path })
  await first.context.accepted.next()
  expect((await first.context.accepted.next()).info.transport).toBe('unix')
  socket.destroy()
})

test('a plain file of this name is not removed', async () => {
  const path = socketPath()
  writeFileSync(path, 'precious')
  await expect(open(path)).rejects.toMatchObject({ code: 'SMQ_LISTEN_FAILED' })
  expect(existsSync(path)).toBe(true)
})

test('a directory that does not exist is a failure with a code', async () => {
  await expect(open('/nowhere/at/all.sock')).rejects.toMatchObject({ code: 'SMQ_LISTEN_FAILED' })
})
