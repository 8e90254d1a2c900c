/** `$SYS` as mosquitto's own client reads it, from a broker of the command's. */
import { describe, expect, test } from 'vitest'

import { startCommand } from '../support/command.ts'
import { ExternalProcess } from '../support/external-process.ts'
import { startListeningBroker } from '../support/listening-broker.ts'

/** What the manual of mosquitto 2.0 lists and what a run of 2.0.11 publishes, but for bridges. */
const mosquittos = [
  'bytes/received',
  'bytes/sent',
  'clients/active',
  'clients/connected',
  'clients/disconnected',
  'clients/expired',
  'clients/inactive',
  'clients/maximum',
  'clients/total',
  'heap/current',
  'heap/maximum',
  ...['bytes/received', 'bytes/sent', 'connections', 'messages/received', 'messages/sent', 'publish/dropped']
    .concat(['publish/received', 'publish/sent', 'sockets'])
    .flatMap((name) => ['1min', '5min', '15min'].map((span) => `load/${name}/${span}`)),
  'messages/inflight',
  'messages/received',
  'messages/sent',
  'messages/stored',
  'publish/bytes/received',
  'publish/bytes/sent',
  'publish/messages/dropped',
  'publish/messages/received',
  'publish/messages/sent',
  'retained messages/count',
  'shared_subscriptions/count',
  'store/messages/bytes',
  'store/messages/count',
  'subscriptions/count',
  'uptime',
  'version',
].map((name) => `$SYS/broker/${name}`)

describe.each(['mqttv311', 'mqttv5'])('mosquitto_sub, %s', (version) => {
  test('gets every topic that mosquitto has, retained, and then what changes', async () => {
    const t = await startListeningBroker({ sysTopics: { intervalSeconds: 1 } })
    const to = ['-h', '127.0.0.1', '-p', `${t.ports.tcp}`, '-V', version]
    const others = new ExternalProcess('mosquitto_sub', [...to, '-t', '#', '-t', '+/broker/#', '-v'])
    const program = new ExternalProcess('mosquitto_sub', [...to, '-t', '$SYS/#', '-F', '%r %t\t%p'])
    const retained = new Map<string, string>()
    let line = await program.line()
    // A topic may have changed by the time that it is read; what is retained comes first for each of them.
    while (retained.size < mosquittos.length) {
      const [, flag, topic, value] = /^([01]) (.*)\t(.*)$/.exec(line)!
      if (flag === '1') retained.set(topic!, value!)
      line = await program.line()
    }
    expect([...retained.keys()].toSorted()).toEqual(mosquittos.toSorted())
    expect(retained.get('$SYS/broker/version')).toMatch(/^statemq version \d+\.\d+\.\d+$/)
    expect(retained.get('$SYS/broker/uptime')).toMatch(/^\d+ seconds$/)
    const pub = new ExternalProcess('mosquitto_pub', [...to, '-t', 'seen', '-m', 'last', '-r'])
    await pub.finished()
    while (!line.includes('$SYS/broker/retained messages/count\t1')) line = await program.line()
    // The first that those with wildcards get.
    expect(await others.line()).toBe('seen last')
  })
})

test('mosquitto_pub cannot publish there', async () => {
  const t = await startListeningBroker({ sysTopics: { intervalSeconds: 1 } })
  const to = ['-h', '127.0.0.1', '-p', `${t.ports.tcp}`, '-V', 'mqttv5', '-d']
  const pub = new ExternalProcess('mosquitto_pub', [...to, '-t', '$SYS/broker/uptime', '-m', 'never', '-q', '1', '-r'])
  await pub.status()
  expect(pub.describe()).toContain('RC:135')
  const program = new ExternalProcess('mosquitto_sub', [...to.slice(0, 6), '-t', '$SYS/broker/uptime', '-C', '1'])
  expect(await program.line()).toMatch(/^\d+ seconds$/)
})

describe('the command', () => {
  const reach = (port: number): string[] => ['-h', '127.0.0.1', '-p', `${port}`]

  test('publishes them unless it is told otherwise', async () => {
    const { port } = await startCommand(['--port', '0'])
    const program = new ExternalProcess('mosquitto_sub', [...reach(port), '-t', '$SYS/broker/version', '-C', '1'])
    expect(await program.finished()).toEqual([expect.stringMatching(/^statemq version \d/)])
  })

  test('does not with an interval of 0', async () => {
    const { port } = await startCommand(['--port', '0', '--set', 'sysTopics.intervalSeconds=0'])
    const to = reach(port)
    await new ExternalProcess('mosquitto_pub', [
      ...to,
      '-t',
      'last',
      '-m',
      'nothing before',
      '-r',
      '-q',
      '1',
    ]).finished()
    // Retained messages come in the order of the filters.
    const program = new ExternalProcess('mosquitto_sub', [...to, '-t', '$SYS/#', '-t', 'last', '-C', '1'])
    expect(await program.finished()).toEqual(['nothing before'])
  })
})
