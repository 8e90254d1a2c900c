/** mosquitto_pub, mosquitto_sub and mosquitto_rr as they come with Debian. */
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

import { allow, next } from '../../src/index.ts'
import { localhostPair, testAuthority } from '../support/certificates.ts'
import { ExternalProcess } from '../support/external-process.ts'
import { mqttJs } from '../support/interop-clients.ts'
import { startListeningBroker, type ListeningBroker } from '../support/listening-broker.ts'
import { tempFolder } from '../support/temp-files.ts'

const versions = ['mqttv31', 'mqttv311', 'mqttv5'] as const
type Version = (typeof versions)[number]

/** A broker, and the three programs with the arguments that reach it. */
async function scene(...options: Parameters<typeof startListeningBroker>) {
  const t = await startListeningBroker(...options)
  const run = (program: string, version: Version, args: readonly string[]): ExternalProcess =>
    new ExternalProcess(program, [...(args.includes('--unix') ? [] : reach(t, args)), '-V', version, ...args])
  const pub = (version: Version, ...args: string[]): ExternalProcess => run('mosquitto_pub', version, args)
  const rr = (version: Version, ...args: string[]): ExternalProcess => run('mosquitto_rr', version, args)
  /** Subscribed already when this resolves. */
  const sub = async (version: Version, clientId: string, ...args: string[]): Promise<ExternalProcess> => {
    const process = run('mosquitto_sub', version, ['-i', clientId, ...args])
    await t.happened('subscription.added', clientId)
    return process
  }
  return { ...t, pub, sub, rr }
}

function reach(t: ListeningBroker, args: readonly string[]): string[] {
  if (args.includes('-p')) return ['-h', '127.0.0.1']
  return ['-h', '127.0.0.1', '-p', `${args.includes('--cafile') ? t.ports.tls : t.ports.tcp}`]
}

/** What `-F` prints of each message: topic, QoS, RETAIN, payload. */
const format = ['-F', '%t %q %r %p']

describe.each(versions)('%s', (version) => {
  test.each(['tcp', 'tls', 'unix'] as const)(
    'publishes and receives with every quality of service over %s',
    async (transport) => {
      const t = await scene()
      const socket = join(tempFolder(), 'mqtt.sock')
      if (transport === 'unix') await t.listen({ transport: 'unix', path: socket })
      const to = { tcp: [], tls: ['--cafile', t.caFile], unix: ['--unix', socket] }[transport]
      for (const granted of ['0', '1', '2']) {
        const subscriber = await t.sub(
          version,
          `sub${granted}`,
          ...to,
          '-t',
          'a/+',
          '-q',
          granted,
          '-C',
          '3',
          ...format,
        )
        for (const qos of ['0', '1', '2']) {
          await t.pub(version, ...to, '-t', `a/${qos}`, '-m', `hällo ${qos}`, '-q', qos).finished()
          expect(await subscriber.line()).toBe(`a/${qos} ${qos < granted ? qos : granted} 0 hällo ${qos}`)
        }
        expect(await subscriber.finished()).toEqual([])
        await t.happened('session.expired', `sub${granted}`)
      }
    },
  )

  test('a will is published when the program is killed, and not when it leaves', async () => {
    const t = await scene()
    const watcher = await t.sub(version, 'watcher', '-t', 'w/#', '-q', '2', ...format)
    const will = (name: string): string[] => [
      '--will-topic',
      `w/${name}`,
      '--will-payload',
      'gone',
      '--will-qos',
      '1',
      '--will-retain',
    ]
    const polite = await t.sub(version, 'polite', '-t', 'x', '-C', '1', ...will('polite'))
    await t.pub(version, '-t', 'x', '-m', 'bye').finished()
    await polite.finished()
    const lost = await t.sub(version, 'lost', '-t', 'x', ...will('lost'))
    lost.kill()
    expect(await watcher.line()).toBe('w/lost 1 0 gone')
    const late = await t.sub(version, 'late', '-t', 'w/#', '-C', '1', ...format)
    expect(await late.finished()).toEqual(['w/lost 0 1 gone'])
  })

  test('retained messages are kept, replaced and removed', async () => {
    const t = await scene()
    for (const payload of ['old', 'new']) await t.pub(version, '-t', 'r/1', '-m', payload, '-q', '1', '-r').finished()
    await t.pub(version, '-t', 'r/2', '-m', 'two', '-q', '2', '-r').finished()
    const first = await t.sub(version, 'first', '-t', 'r/+', '-q', '1', '-C', '2', ...format)
    expect((await first.finished()).toSorted()).toEqual(['r/1 1 1 new', 'r/2 1 1 two'])
    await t.pub(version, '-t', 'r/1', '-n', '-q', '1', '-r').finished()
    const second = await t.sub(version, 'second', '-t', 'r/+', '-C', '1', ...format)
    expect(await second.finished()).toEqual(['r/2 0 1 two'])
  })

  test('a session goes on with the messages that came meanwhile, in order', async () => {
    const t = await scene()
    const keep = ['-c', ...(version === 'mqttv5' ? ['-x', '3600'] : []), '-t', 'q/#', '-q', '2']
    // -E: leaves as soon as the subscription is acknowledged.
    await (await t.sub(version, 'kept', ...keep, '-E')).finished()
    await t.happened('session.offline', 'kept')
    const lines: string[] = []
    for (let count = 0; count < 30; count += 1) {
      await t.broker.publish({ topic: `q/${count}`, payload: `m${count}`, qos: 2 })
      lines.push(`q/${count} 2 0 m${count}`)
    }
    const again = await t.sub(version, 'kept', ...keep, '-C', '30', ...format)
    expect(await again.finished()).toEqual(lines)
  })

  test('members of a shared subscription divide the messages', async () => {
    const t = await scene()
    const members = [
      await t.sub(version, 'm1', '-t', '$share/g/jobs', '-q', '1', '-C', '5'),
      await t.sub(version, 'm2', '-t', '$share/g/jobs', '-q', '1', '-C', '5'),
    ]
    const publisher = t.pub(version, '-t', 'jobs', '-q', '1', '-l')
    for (let count = 0; count < 10; count += 1) publisher.write(`job ${count}`)
    const seen = await Promise.all(members.map((member) => member.finished()))
    expect(seen.flat().toSorted()).toEqual(Array.from({ length: 10 }, (_value, index) => `job ${index}`))
  })

  test('mosquitto_rr gets its answer', async () => {
    const t = await scene()
    const responder = await mqttJs.connect({ transport: 'tcp', port: t.ports.tcp, version: 5, clientId: 'responder' })
    await responder.subscribe('questions', 1)
    const properties = version === 'mqttv5' ? ['-D', 'publish', 'correlation-data', 'id 7'] : []
    const asker = t.rr(
      version,
      '-i',
      'asker',
      '-t',
      'questions',
      '-e',
      'answers/asker',
      '-m',
      'how much',
      '-q',
      '1',
      ...properties,
      ...format,
    )
    const question = await responder.message()
    expect(question).toEqual({
      topic: 'questions',
      payload: 'how much',
      qos: 1,
      retain: false,
      properties: version === 'mqttv5' ? { responseTopic: 'answers/asker', correlationData: 'id 7' } : {},
    })
    const { correlationData } = question.properties
    await responder.publish({
      topic: question.properties.responseTopic ?? 'answers/asker',
      payload: '42',
      qos: 1,
      ...(correlationData === undefined ? {} : { properties: { correlationData } }),
    })
    expect(await asker.finished()).toEqual(['answers/asker 1 0 42'])
  })

  test('a client certificate lets it in, and none keeps it out', async () => {
    const t = await scene({
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
    const authority = testAuthority()
    const mine = authority.issue({ subject: '/CN=press-1/O=Plant' })
    const folder = tempFolder({ 'client.crt': mine.cert, 'client.key': mine.key })
    const port = `${await t.listen({ transport: 'tls', port: 0, ...localhostPair(), ca: authority.cert })}`
    const tls = ['-p', port, '--cafile', t.caFile]
    const identity = ['--cert', join(folder, 'client.crt'), '--key', join(folder, 'client.key')]
    const subscriber = await t.sub(version, 'mine', ...tls, ...identity, '-t', 't', '-C', '1')
    expect(t.broker.sessions.get('mine')?.context.grant?.principal).toBe('press-1')
    await t.pub(version, ...tls, ...identity, '-t', 't', '-m', 'x', '-q', '1').finished()
    expect(await subscriber.finished()).toEqual(['x'])
    const nobody = t.pub(version, ...tls, '-i', 'nobody', '-t', 't', '-m', 'x', '-q', '1')
    expect(await nobody.status()).not.toBe(0)
    expect(t.events.filter((event) => 'clientId' in event && event.clientId === 'nobody')).toEqual([])
  })

  test('a wrong password is refused in words that it understands', async () => {
    const t = await scene({
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
    await t.pub(version, '-u', 'u', '-P', 'right', '-t', 't', '-m', 'x').finished()
    const refused = t.pub(version, '-u', 'u', '-P', 'wrong', '-t', 't', '-m', 'x')
    expect(await refused.status()).not.toBe(0)
    expect(refused.describe()).toMatch(/bad user ?name or password/i)
  })
})

describe('MQTT 5', () => {
  test('properties arrive as they were sent', async () => {
    const t = await scene()
    const subscriber = await t.sub('mqttv5', 'sub', '-t', 'p', '-q', '2', '-C', '1', '-F', '%C|%R|%D|%P|%F|%p')
    const properties = [
      ['content-type', 'text/plain'],
      ['response-topic', 'answers'],
      ['correlation-data', 'id 7'],
      ['user-property', 'a', '1'],
      ['user-property', 'b', '2'],
      ['payload-format-indicator', '1'],
    ].flatMap((property) => ['-D', 'publish', ...property])
    await t.pub('mqttv5', '-t', 'p', '-m', 'x', '-q', '2', ...properties).finished()
    expect(await subscriber.finished()).toEqual(['text/plain|answers|id 7|a:1 b:2|1|x'])
  })

  test('a topic alias stands for its topic, and a subscription identifier comes back', async () => {
    const t = await scene()
    const subscriber = await t.sub(
      'mqttv5',
      'sub',
      '-t',
      'long/topic',
      '-C',
      '3',
      '-D',
      'subscribe',
      'subscription-identifier',
      '9',
      '-F',
      '%t %S %p',
    )
    const publisher = t.pub('mqttv5', '-t', 'long/topic', '-D', 'publish', 'topic-alias', '3', '-l')
    for (const line of ['1', '2', '3']) publisher.write(line)
    expect(await subscriber.finished()).toEqual(['long/topic 9 1', 'long/topic 9 2', 'long/topic 9 3'])
  })

  test('a message that nobody wants and one that is not allowed are told apart', async () => {
    const t = await scene({
      hooks: {
        onPublish: ({ message }) =>
          message.topic === 'secret' ? { type: 'deny', reasonCode: 0x87, reason: 'no' } : next(),
      },
    })
    const unwanted = t.pub('mqttv5', '-t', 'nobody', '-m', 'x', '-q', '1', '-d')
    await unwanted.finished()
    expect(unwanted.describe()).toMatch(/No matching subscribers|RC:16/i)
    const denied = t.pub('mqttv5', '-t', 'secret', '-m', 'x', '-q', '1', '-d')
    await denied.status()
    expect(denied.describe()).toMatch(/Not authorized|RC:135/i)
  })

  test('a file of half a megabyte arrives whole', async () => {
    const t = await scene()
    const text = 'all work and no play\n'.repeat(25_000)
    const folder = tempFolder({ big: text })
    const client = await mqttJs.connect({ transport: 'ws', port: t.ports.ws, version: 4, clientId: 'c' })
    await client.subscribe('big', 2)
    await t.pub('mqttv5', '-t', 'big', '-q', '2', '-f', join(folder, 'big')).finished()
    expect((await client.message()).payload).toBe(text)
  })
})
