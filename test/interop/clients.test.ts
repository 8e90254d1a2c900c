/** What every client does, on MQTT.js and Paho: each transport, each version, each quality of service. */
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

import { allow, next } from '../../src/index.ts'
import { testAuthority } from '../support/certificates.ts'
import {
  mqttJs,
  pahoPython,
  type InteropClientKind,
  type InteropMessage,
  type InteropOptions,
} from '../support/interop-clients.ts'
import { startListeningBroker, type ListeningBroker, type NetworkTransport } from '../support/listening-broker.ts'
import { tempFolder } from '../support/temp-files.ts'

const transports = ['tcp', 'tls', 'ws', 'wss'] as const
const levels = [0, 1, 2] as const

type Settings = Partial<InteropOptions> & Pick<InteropOptions, 'version' | 'clientId'>

function connectTo(t: ListeningBroker, kind: InteropClientKind, settings: Settings) {
  const transport: NetworkTransport = settings.transport ?? 'tcp'
  const secure = transport === 'tls' || transport === 'wss'
  return kind.connect({
    port: t.ports[transport],
    ...(secure ? { caFile: t.caFile } : {}),
    ...settings,
    transport,
  })
}

const message = (expected: Partial<InteropMessage>): InteropMessage => ({
  topic: 't',
  payload: '',
  qos: 0,
  retain: false,
  properties: {},
  ...expected,
})

describe.each([mqttJs, pahoPython])('$name', (kind) => {
  describe.each([3, 4, 5] as const)('version %s', (version) => {
    test.each(transports)('publishes and receives with every quality of service over %s', async (transport) => {
      const t = await startListeningBroker()
      const client = await connectTo(t, kind, { version, clientId: 'c', transport })
      expect(t.broker.sessions.get('c')?.context.connect?.protocolVersion).toBe(version)
      for (const granted of levels) {
        expect(await client.subscribe(`of/${granted}/+`, granted)).toBe(granted)
        for (const qos of levels) {
          const payload = `ä ${granted} ${qos} ${'x'.repeat(20_000)}`
          await client.publish({ topic: `of/${granted}/${qos}`, payload, qos })
          const expected = message({ topic: `of/${granted}/${qos}`, payload, qos: qos < granted ? qos : granted })
          expect(await client.message()).toEqual(expected)
        }
        await client.unsubscribe(`of/${granted}/+`)
      }
      await client.end()
      await t.happened('session.expired', 'c')
    })

    test('a will is published when the network is lost, and not after a goodbye', async () => {
      const t = await startListeningBroker()
      const watcher = await connectTo(t, mqttJs, { version: 5, clientId: 'watcher' })
      await watcher.subscribe('w/#', 2)
      const polite = await connectTo(t, kind, {
        version,
        clientId: 'polite',
        will: { topic: 'w/polite', payload: 'no' },
      })
      await polite.end()
      await t.happened('will.cancelled', 'polite')
      for (const qos of levels) {
        const clientId = `lost${qos}`
        const lost = await connectTo(t, kind, {
          version,
          clientId,
          will: { topic: `w/${qos}`, payload: 'gone', qos, retain: true },
        })
        lost.drop()
        expect(await watcher.message()).toEqual(message({ topic: `w/${qos}`, payload: 'gone', qos }))
      }
    })

    test('retained messages are kept for it, replaced and removed', async () => {
      const t = await startListeningBroker()
      const client = await connectTo(t, kind, { version, clientId: 'c' })
      await client.publish({ topic: 'r', payload: 'old', qos: 1, retain: true })
      await client.publish({ topic: 'r', payload: 'new', qos: 1, retain: true })
      await client.subscribe('r', 1)
      expect(await client.message()).toEqual(message({ topic: 'r', payload: 'new', qos: 1, retain: true }))
      await client.publish({ topic: 'r', payload: '', qos: 1, retain: true })
      expect(await client.message()).toEqual(message({ topic: 'r', qos: 1 }))
      await client.unsubscribe('r')
      await client.subscribe('#', 1)
      await client.publish({ topic: 'end', qos: 0 })
      expect((await client.message()).topic).toBe('end')
    })

    test('a session goes on where its connection broke, with what came meanwhile', async () => {
      const t = await startListeningBroker()
      const settings = { version, clientId: 's', clean: false, sessionExpirySeconds: 3600 }
      const first = await connectTo(t, kind, settings)
      expect(first.sessionPresent).toBe(false)
      await first.subscribe('t/#', 2)
      first.drop()
      await t.happened('session.offline', 's')
      const sent: InteropMessage[] = []
      for (let count = 0; count < 30; count += 1) {
        const qos = count % 2 === 0 ? 1 : 2
        sent.push(message({ topic: `t/${count % 3}`, payload: `${count}`, qos }))
        await t.broker.publish({ topic: `t/${count % 3}`, payload: `${count}`, qos })
      }
      await t.broker.publish({ topic: 't/0', payload: 'QoS 0 does not wait', qos: 0 })
      const second = await connectTo(t, kind, settings)
      // MQTT 3.1 has no such flag.
      expect(second.sessionPresent).toBe(version > 3)
      const received: InteropMessage[] = []
      for (let count = 0; count < sent.length; count += 1) received.push(await second.message())
      // Clients may hand out a QoS 2 message at its PUBLISH or at its PUBREL: order is kept for each QoS.
      for (const qos of levels) {
        expect(received.filter((each) => each.qos === qos)).toEqual(sent.filter((each) => each.qos === qos))
      }
      // Paho hands a message out before it acknowledges it; by the time of a SUBACK it has done so.
      await second.subscribe('barrier', 0)
      await second.end()
      await t.happened('session.offline', 's', 2)
      expect(t.broker.sessions.get('s')).toMatchObject({ inflightMessages: 0, queuedMessages: 0 })
    })

    test('members of a shared subscription divide the messages', async () => {
      const t = await startListeningBroker()
      const members = await Promise.all(['m1', 'm2'].map((clientId) => connectTo(t, kind, { version, clientId })))
      for (const member of members) expect(await member.subscribe('$share/group/jobs/+', 1)).toBe(1)
      const publisher = await connectTo(t, mqttJs, { version: 4, clientId: 'publisher' })
      for (let count = 0; count < 10; count += 1) await publisher.publish({ topic: `jobs/${count}`, qos: 1 })
      const seen = await Promise.all(
        members.map(async (member) => {
          const topics: string[] = []
          for (let count = 0; count < 5; count += 1) topics.push((await member.message()).topic)
          return topics
        }),
      )
      expect(seen.flat().toSorted()).toEqual(Array.from({ length: 10 }, (_value, index) => `jobs/${index}`))
    })
  })

  test('the properties of MQTT 5 arrive as they were sent, in messages, retained messages and wills', async () => {
    const t = await startListeningBroker()
    const properties = {
      contentType: 'text/plain',
      responseTopic: 'answers/1',
      correlationData: 'id 7',
      userProperties: [
        ['a', '1'],
        ['b', '2'],
      ],
    } as const
    const client = await connectTo(t, kind, { version: 5, clientId: 'c' })
    await client.publish({ topic: 'p/retained', payload: 'x', qos: 1, retain: true, properties })
    await client.subscribe('p/#', 2)
    expect(await client.message()).toEqual(
      message({ topic: 'p/retained', payload: 'x', qos: 1, retain: true, properties }),
    )
    for (const qos of levels) {
      await client.publish({ topic: 'p/live', qos, properties })
      expect(await client.message()).toEqual(message({ topic: 'p/live', qos, properties }))
    }
    const will = { topic: 'p/will', payload: 'gone', properties: { ...properties, willDelayInterval: 1 } }
    const lost = await connectTo(t, kind, { version: 5, clientId: 'lost', sessionExpirySeconds: 60, will })
    lost.drop()
    expect(await client.message()).toEqual(message({ topic: 'p/will', payload: 'gone', properties }))
  })

  test.each(['tls', 'wss'] as const)(
    'client certificates over %s: known ones come in under their name, others do not',
    async (transport) => {
      const authority = testAuthority()
      const mine = authority.issue({ subject: '/CN=press-1/O=Plant' })
      const files = { 'client.crt': mine.cert, 'client.key': mine.key }
      const folder = tempFolder(files)
      const t = await startListeningBroker({
        authenticators: [
          {
            name: 'certificates',
            authenticate({ connection }) {
              const name = connection.tls?.clientCertificate?.commonName
              return name === undefined ? next() : allow({ principal: name })
            },
          },
        ],
      })
      const server = authority.issue({ subject: '/CN=localhost', subjectAltName: 'DNS:localhost,IP:127.0.0.1' })
      const port = await t.listen({ transport, port: 0, key: server.key, cert: server.cert, ca: authority.cert })
      const certificate = { certFile: join(folder, 'client.crt'), keyFile: join(folder, 'client.key') }
      const client = await connectTo(t, kind, { version: 4, clientId: 'c', transport, port, certificate })
      expect(t.broker.sessions.get('c')?.context.grant?.principal).toBe('press-1')
      await client.subscribe('t', 1)
      await client.publish({ topic: 't', payload: 'x', qos: 1 })
      expect(await client.message()).toEqual(message({ payload: 'x', qos: 1 }))
      await expect(connectTo(t, kind, { version: 4, clientId: 'nobody', transport, port })).rejects.toThrow(
        /certificate|alert|closed|reset|EPIPE|EOF/i,
      )
      expect(t.broker.sessions.has('nobody')).toBe(false)
    },
  )

  test('a wrong password is refused in words that it understands', async () => {
    const t = await startListeningBroker({
      authenticators: [
        {
          name: 'passwords',
          authenticate: ({ username, password }) =>
            username === 'u' && password?.toString() === 'right'
              ? allow()
              : { type: 'deny', reasonCode: 0x86, reason: 'no' },
        },
      ],
    })
    for (const version of [3, 4, 5] as const) {
      const client = await connectTo(t, kind, { version, clientId: 'c', username: 'u', password: 'right' })
      await client.end()
      const code = version === 5 ? /134|Bad User ?Name/i : /4|Bad username/i
      await expect(connectTo(t, kind, { version, clientId: 'd', username: 'u', password: 'wrong' })).rejects.toThrow(
        code,
      )
    }
  })
})
