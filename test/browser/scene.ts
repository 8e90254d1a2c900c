import { connect, type IClientOptions, type MqttClient } from 'mqtt'
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { onTestFinished } from 'vitest'

import {
  allow,
  challenge,
  deny,
  ReasonCode,
  type Authenticator,
  type BrokerOptions,
  type InspectOptions,
  type RoleDefinitions,
} from '../../src/index.ts'
import { startListeningBroker } from '../support/listening-broker.ts'

export const operatorToken = 'operator'.repeat(5)
export const readerToken = 'reader--'.repeat(5)

const inspect: InspectOptions = {
  port: 0,
  tokens: [
    { name: 'olga', role: 'operate', token: operatorToken },
    { name: 'ron', role: 'read', token: readerToken },
  ],
}

/** Lets everybody in under their user name as a device, but for Mallory. */
const byName: Authenticator = {
  name: 'plant-users',
  authenticate: ({ username }) =>
    username === 'mallory'
      ? deny(ReasonCode.NotAuthorized, 'mallory is on the list')
      : allow({ principal: username ?? 'nobody', roles: ['device'], properties: { plant: 'north' } }),
}

const key = 'a key that both know'
const answerTo = (nonce: Uint8Array): Buffer => createHmac('sha256', key).update(nonce).digest()

/** Enhanced authentication in one round: the answer to a nonce. */
const byNonce: Authenticator = {
  name: 'by-nonce',
  methods: ['HMAC-SHA-256'],
  authenticate({ round, username, authenticationData, exchange }) {
    if (round === 0) {
      const nonce = randomBytes(32)
      exchange.set('nonce', nonce)
      return challenge(nonce)
    }
    const due = answerTo(exchange.get('nonce') as Buffer)
    const isRight = authenticationData?.length === due.length && timingSafeEqual(authenticationData, due)
    return isRight && username !== undefined ? allow({ principal: username }) : deny(ReasonCode.NotAuthorized, 'wrong')
  },
}

const roles: RoleDefinitions = {
  device: { permissions: [{ allow: ['publish', 'subscribe'], topic: 'site/#' }] },
  auditor: { permissions: [{ allow: 'subscribe', topic: 'audit/#' }] },
}

/** A broker with an inspector, on real sockets, for clients of other people. */
export async function startPlant(options: BrokerOptions = {}) {
  const t = await startListeningBroker({ inspect, authenticators: [byNonce, byName], roles, ...options })
  await t.broker.ready
  const { inspector } = t.broker
  if (!inspector) throw new Error('no inspector')
  const url = (token = operatorToken): string => `${new URL(inspector.url).origin}/#token=${token}`

  /** A client of MQTT.js that is let in. */
  function join(clientId: string, clientOptions: IClientOptions = {}): Promise<MqttClient> {
    const client = attempt(clientId, clientOptions)
    return new Promise((resolve, reject) => {
      client.once('connect', () => resolve(client))
      client.once('error', reject)
    })
  }

  /** One that may be refused: the test waits for what it is told. */
  function attempt(clientId: string, clientOptions: IClientOptions = {}): MqttClient {
    const client = connect(`mqtt://127.0.0.1:${t.ports.tcp}`, {
      protocolVersion: 5,
      reconnectPeriod: 0,
      clientId,
      username: 'anna',
      ...clientOptions,
    })
    client.handleAuth = (packet, callback) => {
      const authenticationData = answerTo(packet.properties?.authenticationData ?? Buffer.alloc(0))
      callback(undefined, {
        cmd: 'auth',
        reasonCode: 0x18,
        properties: { authenticationMethod: 'HMAC-SHA-256', authenticationData },
      })
    }
    onTestFinished(() => void client.end(true))
    return client
  }

  /** One that is refused; resolves with what it was told. */
  function refused(clientId: string, clientOptions: IClientOptions = {}): Promise<Error> {
    return new Promise((resolve) => {
      attempt(clientId, clientOptions).once('error', resolve)
    })
  }

  return { ...t, url, join, attempt, refused }
}

/** Kept for a minute after its connection. */
export const kept: IClientOptions = { clean: false, properties: { sessionExpiryInterval: 60 } }
