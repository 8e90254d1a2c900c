import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'

import { createBroker, type BrokerEvent } from '../../src/index.ts'
import { startBroker } from '../support/test-broker.ts'
import { connect } from '../support/wire.ts'
import { runCommand, startCommand } from '../support/command.ts'
import { RawClient } from '../support/raw-client.ts'
import { tempFolder } from '../support/temp-files.ts'

const elsewhere = 'mqtt-2.example.org:8883'

async function crowd(t: ReturnType<typeof startBroker>, count: number): Promise<RawClient[]> {
  const clients: RawClient[] = []
  for (let index = 0; index < count; index += 1) clients.push(await t.connect({ clientId: `c${index}` }))
  return clients
}

const isGone = (t: ReturnType<typeof startBroker>, count: number): number =>
  Array.from({ length: count }, (_, index) => t.state(`c${index}`)).filter((state) => state !== 'online').length

describe('broker.drain', () => {
  test('sends clients away at its rate, with 0x9C and where to go; 3.1.1 clients are closed', async () => {
    const t = startBroker()
    const clients = await crowd(t, 50)
    const old = await t.connect({ clientId: 'c50', version: 4 })
    const drained = t.broker.drain({ serverReference: elsewhere, perSecond: 10 })
    await t.settle()
    expect(isGone(t, 51)).toBe(1)
    for (let step = 0; step < 10; step += 1) await t.advance(100)
    expect(isGone(t, 51)).toBe(11)
    // A process that stood still does not make up for it all at once.
    await t.advance(2_000)
    expect(isGone(t, 51)).toBeLessThan(15)
    for (let step = 0; step < 50; step += 1) await t.advance(100)
    expect(await drained).toBe(51)
    for (const client of clients) {
      const disconnect = await client.expectPacket('disconnect', { reasonCode: 0x9c })
      expect(disconnect.properties.serverReference).toBe(elsewhere)
      await client.expectClosed()
    }
    await old.expectClosed()
    expect(t.broker.state).toBe('running')
  })

  test('who connects meanwhile and afterwards is refused with the same, whoever it is', async () => {
    const t = startBroker()
    await t.broker.drain({ serverReference: elsewhere })
    const client = t.attach()
    client.send(connect({ clientId: 'late' }))
    const connack = await client.expectPacket('connack', { reasonCode: 0x9c })
    expect(connack.properties.serverReference).toBe(elsewhere)
    await client.expectClosed()
    const old = t.attach({ version: 4 })
    old.send(connect({ clientId: 'late', version: 4 }))
    await old.expectBytes('20 02 00 03')
    await old.expectClosed()
  })

  test('for good with 0x9D; without a reference 0x8B for those who are there and 0x88 for those who come', async () => {
    const moved = startBroker()
    const [client] = await crowd(moved, 1)
    await moved.broker.drain({ serverReference: elsewhere, permanent: true })
    await client!.expectDisconnect(0x9d)
    const t = startBroker()
    const [other] = await crowd(t, 1)
    await t.broker.drain()
    await other!.expectDisconnect(0x8b)
    const late = t.attach()
    late.send(connect({ clientId: 'late' }))
    await late.expectRefused(0x88)
  })

  test('sessions that outlive their connection stay, and what comes for them waits', async () => {
    const t = startBroker()
    const client = await t.connect({ clientId: 'c0', properties: { sessionExpiryInterval: 100 } })
    await client.subscribe([['t', { qos: 1 }]])
    await t.broker.drain({ serverReference: elsewhere })
    await t.broker.publish({ topic: 't', payload: 'x', qos: 1 })
    expect(t.broker.sessions.get('c0')).toMatchObject({ state: 'offline', queuedMessages: 1 })
  })

  test('what is left after timeoutMs is sent away at once', async () => {
    const t = startBroker()
    await crowd(t, 20)
    const drained = t.broker.drain({ perSecond: 1, timeoutMs: 3_000 })
    await t.advance(2_900)
    expect(isGone(t, 20)).toBeLessThan(5)
    await t.advance(100)
    expect(await drained).toBe(20)
    expect(isGone(t, 20)).toBe(20)
  })

  test('aborted, the broker takes connections again and sends nobody away any more', async () => {
    const t = startBroker()
    const events: BrokerEvent['type'][] = []
    t.broker.events$.subscribe(({ type }) => type.startsWith('drain.') && events.push(type))
    await crowd(t, 20)
    const controller = new AbortController()
    const drained = t.broker.drain({ perSecond: 1, signal: controller.signal })
    for (let step = 0; step < 2; step += 1) await t.advance(1_000)
    controller.abort()
    expect(await drained).toBe(3)
    await t.connect({ clientId: 'late' })
    await t.advance(10_000)
    expect(isGone(t, 20)).toBe(3)
    expect(events).toEqual(['drain.started', 'drain.ended'])
    expect(await t.broker.drain({ signal: AbortSignal.abort() })).toBe(0)
    await t.connect({ clientId: 'later' })
  })

  test('clients of this process stay', async () => {
    const t = startBroker()
    const client = await t.broker.client({ clientId: 'mine' })
    expect(await t.broker.drain()).toBe(0)
    expect(t.state('mine')).toBe('online')
    await client.close()
    const another = await t.broker.client({ clientId: 'mine too' })
    await another.close()
  })

  test('a client that is being decided on is refused when the decision is there', async () => {
    let decide = (): void => {}
    const t = startBroker({
      authenticators: [
        {
          name: 'slow',
          authenticate: () => new Promise((resolve) => (decide = () => resolve({ type: 'allow', principal: 'p' }))),
        },
      ],
    })
    const client = t.attach()
    client.send(connect({ clientId: 'a' }))
    await t.settle()
    await t.broker.drain({ serverReference: elsewhere })
    decide()
    await client.expectRefused(0x9c)
  })

  test('closing ends it', async () => {
    const t = startBroker()
    await crowd(t, 5)
    const drained = t.broker.drain({ perSecond: 1 })
    await t.settle()
    await t.broker.close({ drainTimeoutMs: 0 })
    expect(await drained).toBe(1)
    await expect(t.broker.drain()).rejects.toMatchObject({ code: 'SMQ_BROKER_CLOSED' })
  })

  test.each([
    [{ serverReference: '' }, 'serverReference'],
    [{ serverReference: 'a\0b' }, 'serverReference'],
    [{ serverReference: '\ud800' }, 'serverReference'],
    [{ serverReference: 'x'.repeat(65_536) }, 'serverReference'],
    [{ perSecond: 0 }, 'perSecond'],
    [{ timeoutMs: -1 }, 'timeoutMs'],
  ])('%o is refused, and nothing is drained', async (options, name) => {
    const broker = createBroker()
    onTestFinished(() => broker.close())
    await expect(broker.drain(options)).rejects.toMatchObject({
      code: 'SMQ_OPTION_INVALID',
      message: expect.stringContaining(`: ${name}: `),
    })
    const client = await broker.client()
    await client.close()
  })
})

describe('the command', () => {
  test('SIGTERM sends clients where the configuration says, and then ends with status 0', async () => {
    const config = join(
      tempFolder({ 'broker.yaml': `drain: { serverReference: '${elsewhere}', perSecond: 1000 }\n` }),
      'broker.yaml',
    )
    const broker = await startCommand(['--config', config, '--port', '0', '--store', 'memory'])
    const client = await RawClient.tcp(broker.port)
    onTestFinished(() => client.drop())
    await client.connect({ clientId: 'a' })
    broker.child.kill('SIGTERM')
    const disconnect = await client.expectPacket('disconnect', { reasonCode: 0x9c })
    expect(disconnect.properties.serverReference).toBe(elsewhere)
    expect(await broker.ended).toEqual([0, null])
  })

  test('a ban that is none is told with its place in the file', () => {
    const folder = tempFolder({
      'broker.yaml': 'allowAnonymous: true\nbans:\n  - { clientId: a }\n  - { address: 10.0.0.0/99 }\n',
    })
    const { status, err } = runCommand(['check', '--config', join(folder, 'broker.yaml')])
    expect({ status, err: err.replace(folder, '') }).toEqual({
      status: 2,
      err: '/broker.yaml:4:16: bans.1.address: "10.0.0.0/99" is neither an address nor a range\n',
    })
  })
})
