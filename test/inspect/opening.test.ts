import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { generate } from 'mqtt-packet'
import { describe, expect, onTestFinished, test } from 'vitest'

import { createBroker, type InspectOptions } from '../../src/index.ts'
import { allTokens, send, startAdmin, tokens } from '../support/admin-api.ts'
import { localhostPair } from '../support/certificates.ts'
import { readFiles, repository } from '../support/source-files.ts'

const statusOf = async (port: number, path: string, token?: string): Promise<number> => {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
  return (await send({ port, method: 'GET', path, headers })).status
}

describe('createBroker({ inspect })', () => {
  test('listens on the loopback address, with a token of this run that may operate', async () => {
    const broker = createBroker({ inspect: { port: 0 } })
    onTestFinished(() => broker.close())
    expect(broker.inspector).toBeUndefined()
    await broker.ready
    const { address, url, token } = broker.inspector!
    expect(address.host).toBe('127.0.0.1')
    expect(url).toBe(`http://127.0.0.1:${address.port}/#token=${token}`)
    expect(token).toMatch(/^[\w-]{43}$/)
    expect(await statusOf(address.port, '/api/v1/login', token)).toBe(200)
    const other = createBroker({ inspect: { port: 0 } })
    onTestFinished(() => other.close())
    await other.ready
    expect(other.inspector!.token).not.toBe(token)
  })

  test.each<[string, InspectOptions, string]>([
    ['other machines without TLS', { host: '0.0.0.0', tokens: allTokens }, 'SMQ_INSPECT_UNPROTECTED'],
    ['other machines without users', { host: '::', allowPlaintext: true }, 'SMQ_INSPECT_UNPROTECTED'],
    ['a short token', { tokens: [{ name: 'a', role: 'read', token: 'x'.repeat(31) }] }, 'SMQ_INSPECT_UNPROTECTED'],
    [
      'a token that no header holds',
      { tokens: [{ name: 'a', role: 'read', token: 'é'.repeat(40) }] },
      'SMQ_OPTION_INVALID',
    ],
    [
      'a role of everybody',
      { tokens: [{ name: 'a', role: 'toString' as never, token: 'x'.repeat(40) }] },
      'SMQ_OPTION_INVALID',
    ],
    ['no hash', { users: [{ name: 'a', role: 'read', passwordHash: 'secret' }] }, 'SMQ_OPTION_INVALID'],
    ['a key that is none', { tls: { key: 'x', cert: 'y' } }, 'SMQ_TLS_INVALID'],
  ])('with %s rejects, and opens nothing', async (_what, inspect, code) => {
    const broker = createBroker({ inspect: { port: 0, ...inspect } })
    onTestFinished(() => broker.close())
    await expect(broker.ready).rejects.toMatchObject({ code })
    await expect(broker.listen({ transport: 'tcp', port: 0 })).rejects.toMatchObject({ code })
    expect(broker.inspector).toBeUndefined()
  })

  test('serves what was built after it was opened, by the names that are there and no others', async () => {
    const { port } = await startAdmin()
    const folder = join(repository, 'dist', 'inspect-page', 'assets')
    const name = `built-later-${process.pid}.js`
    const get = (path: string) => send({ port, method: 'GET', path, headers: {} })
    expect((await get(`/assets/${name}`)).status).toBe(404)
    writeFileSync(join(folder, name), 'export {}')
    onTestFinished(() => rmSync(join(folder, name), { force: true }))
    const { status, text, headers } = await get(`/assets/${name}`)
    expect([status, text, headers['content-type']]).toEqual([200, 'export {}', 'application/javascript; charset=utf-8'])
    expect(headers['content-security-policy']).toContain("default-src 'none'")
    for (const path of [
      '',
      '.',
      '..',
      '..%2findex.html',
      '%2e%2e/index.html',
      `x/../${name}`,
      `${name}%00`,
      `.%2f${name}`,
    ])
      expect([path, (await get(`/assets/${path}`)).status]).toEqual([path, 404])
    expect((await send({ port, method: 'POST', path: `/assets/${name}`, headers: {} })).status).not.toBe(200)
    rmSync(join(folder, name))
    expect((await get(`/assets/${name}`)).status).toBe(404)
  })

  test('a port that is taken rejects', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    onTestFinished(() => void server.close())
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const broker = createBroker({ inspect: { port } })
    onTestFinished(() => broker.close())
    await expect(broker.ready).rejects.toMatchObject({ code: 'SMQ_LISTEN_FAILED' })
  })

  test('costs nobody a module who does not ask for it', () => {
    const light = ['broker.ts', 'insight.ts', 'inspect/inspectors.ts', 'inspect/host.ts'].map((name) => `src/${name}`)
    const heavy = readFiles(...light).flatMap(({ path, text }) =>
      [...text.matchAll(/^import (?!type).*from '(fastify|zod.*|ws|.*\/server\.ts)'/gm)].map(
        ([line]) => `${path}: ${line}`,
      ),
    )
    expect(heavy).toEqual([])
  })
})

describe('broker.inspect()', () => {
  test('opens as many as asked for, closed one by one', async () => {
    const { broker, port } = await startAdmin()
    const other = await broker.inspect({ port: 0, tokens: allTokens })
    expect(await statusOf(other.address.port, '/healthz')).toBe(200)
    await other.close()
    await expect(statusOf(other.address.port, '/healthz')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    expect(await statusOf(port, '/healthz')).toBe(200)
    await broker.close()
    await expect(statusOf(port, '/healthz')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    await expect(broker.inspect({ port: 0 })).rejects.toMatchObject({ code: 'SMQ_BROKER_CLOSED' })
  })

  test('takes other tokens and names, or none of them', async () => {
    const { broker, port, raw } = await startAdmin()
    const inspector = broker.inspector!
    const token = 'n'.repeat(40)
    const wrong = inspector.reload({ tokens: [{ name: 'a', role: 'read', token: 'short' }], hosts: ['new.example'] })
    await expect(wrong).rejects.toMatchObject({ code: 'SMQ_INSPECT_UNPROTECTED' })
    expect(await statusOf(port, '/api/v1/stats', tokens.read)).toBe(200)
    const hosted = async () => (await raw('GET', '/healthz', { headers: { host: 'new.example' } })).status
    expect(await hosted()).toBe(403)
    await inspector.reload({ tokens: [{ name: 'a', role: 'read', token }], hosts: ['New.Example'] })
    expect([await statusOf(port, '/api/v1/stats', tokens.read), await statusOf(port, '/api/v1/stats', token)]).toEqual([
      401, 200,
    ])
    expect(await hosted()).toBe(200)
    expect(() => inspector.setSecureContext(localhostPair())).toThrow(/it was opened without TLS/)
  })

  test('answers that it drains until the end', async () => {
    const { broker, ask } = await startAdmin()
    const { address } = await broker.listen({ transport: 'tcp', port: 0 })
    // This one hears that the broker goes, and stays: the drain lasts as long as it may.
    const socket = connect({ port: (address as { port: number }).port, host: '127.0.0.1', allowHalfOpen: true })
    onTestFinished(() => void socket.destroy())
    socket.write(generate({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clientId: 'a', clean: true }))
    await once(socket, 'data')
    const closing = broker.close({ drainTimeoutMs: 20_000 })
    const { status, body } = await ask('GET', '/readyz')
    expect([status, body]).toEqual([503, { status: 'draining' }])
    const refused = await ask('POST', '/api/v1/publish', { as: 'operate', body: { topic: 'a' } })
    expect([refused.status, (refused.body as { code: string }).code]).toEqual([503, 'SMQ_BROKER_CLOSED'])
    expect((await ask('GET', '/healthz')).status).toBe(200)
    socket.destroy()
    await closing
  })
})
