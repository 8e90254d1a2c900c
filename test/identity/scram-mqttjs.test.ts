/** SCRAM with a client of other people: MQTT.js with a handler for enhanced authentication. */
import { connect, type IClientOptions, type MqttClient } from 'mqtt'
import { describe, expect, test } from 'vitest'

import { scram } from '../../src/index.ts'
import { startListeningBroker } from '../support/listening-broker.ts'
import { ScramClient } from '../support/scram-client.ts'
import { bothCredentials } from '../support/scram-login.ts'

const credentials = await bothCredentials('pencil')

async function start() {
  const users = (name: string) => (name === 'anna' ? { credentials, roles: ['operator'] } : undefined)
  return startListeningBroker({ authenticators: [scram({ users })], allowAnonymous: false })
}

/** Connects; resolves with the client, or rejects with what MQTT.js was told. */
function logIn(port: number, method: string, client: ScramClient, options: IClientOptions = {}): Promise<MqttClient> {
  const mqtt = connect(`mqtt://127.0.0.1:${port}`, {
    protocolVersion: 5,
    reconnectPeriod: 0,
    clientId: 'meter',
    properties: { authenticationMethod: method, authenticationData: client.first() },
    ...options,
  })
  mqtt.handleAuth = (packet, callback) => {
    const authenticationData = client.final(packet.properties?.authenticationData)
    callback(undefined, {
      cmd: 'auth',
      reasonCode: 0x18,
      properties: { authenticationMethod: method, authenticationData },
    })
  }
  return new Promise((resolve, reject) => {
    mqtt.once('connect', ({ properties }) => {
      try {
        client.verify(properties?.authenticationData)
        resolve(mqtt)
      } catch (error) {
        reject(error as Error)
      }
    })
    mqtt.once('error', reject)
  })
}

describe.each(['SCRAM-SHA-256', 'SCRAM-SHA-512'])('%s', (method) => {
  test('in with the right password, and to work', async () => {
    const t = await start()
    const mqtt = await logIn(t.ports.tcp, method, new ScramClient(method, 'anna', 'pencil'), { username: 'anna' })
    expect(t.broker.sessions.get('meter')?.context.grant).toMatchObject({
      principal: 'anna',
      roles: ['operator'],
      method,
    })
    const came = new Promise((resolve) => {
      mqtt.once('message', (topic, payload) => resolve([topic, payload.toString()]))
    })
    await mqtt.subscribeAsync('t', { qos: 1 })
    await mqtt.publishAsync('t', 'x', { qos: 1 })
    expect(await came).toEqual(['t', 'x'])
    await mqtt.endAsync()
  })

  test.each([
    ['a wrong password', 'anna', 'pen', {}],
    ['nobody', 'nobody', 'pencil', {}],
    ['the user name of another', 'anna', 'pencil', { username: 'bob' }],
  ])('%s is refused', async (_name, user, password, options) => {
    const t = await start()
    await expect(logIn(t.ports.tcp, method, new ScramClient(method, user, password), options)).rejects.toMatchObject({
      code: 0x87,
    })
  })

  test('over WebSocket as well, where there is no channel binding', async () => {
    const t = await start()
    const client = new ScramClient(method, 'anna', 'pencil')
    const mqtt = await logIn(t.ports.ws, method, client, { protocol: 'ws', path: '/mqtt' })
    await mqtt.endAsync()
    const plus = `${method}-PLUS`
    const bound = new ScramClient(plus, 'anna', 'pencil', { header: 'p=tls-exporter,,' })
    const overTls = logIn(t.ports.wss, plus, bound, { protocol: 'wss', path: '/mqtt', rejectUnauthorized: false })
    await expect(overTls).rejects.toMatchObject({ code: 0x87 })
  })
})
