/** MQTT 5 enhanced authentication: the broker sends a nonce, the client answers with a keyed hash of it. */
import assert from 'node:assert/strict'
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

import { connect, type MqttClient } from 'mqtt'
import { allow, challenge, createBroker, deny, ReasonCode, type Authenticator } from 'statemq'

const keys = new Map([['meter-7', 'a key that both know']])
const answerTo = (nonce: Uint8Array, key: string): Buffer => createHmac('sha256', key).update(nonce).digest()

const hmac: Authenticator = {
  name: 'hmac',
  // Asked about CONNECTs with this method only; the others go to authenticators without methods.
  methods: ['HMAC-SHA-256'],
  authenticate({ round, username, authenticationData, exchange }) {
    if (round === 0) {
      const nonce = randomBytes(32)
      exchange.set('nonce', nonce)
      return challenge(nonce)
    }
    const key = keys.get(username ?? '')
    const due = answerTo(exchange.get('nonce') as Buffer, key ?? randomBytes(16).toString('hex'))
    const matches = authenticationData?.length === due.length && timingSafeEqual(authenticationData, due)
    // The exchange has proved who it is, so its result names the client.
    if (username !== undefined && key !== undefined && matches) return allow({ principal: username })
    return deny(ReasonCode.NotAuthorized, 'wrong answer')
  },
}

const broker = createBroker({ authenticators: [hmac] })
const { address } = await broker.listen({ transport: 'tcp', port: 0 })
assert('port' in address)
const { port } = address

function connectWith(key: string): Promise<MqttClient> {
  const client = connect(`mqtt://127.0.0.1:${port}`, {
    protocolVersion: 5,
    reconnectPeriod: 0,
    clientId: 'meter',
    username: 'meter-7',
    properties: { authenticationMethod: 'HMAC-SHA-256' },
  })
  client.handleAuth = (packet, callback) => {
    const nonce = packet.properties?.authenticationData ?? Buffer.alloc(0)
    const authenticationData = answerTo(nonce, key)
    callback(undefined, {
      cmd: 'auth',
      reasonCode: 0x18,
      properties: { authenticationMethod: 'HMAC-SHA-256', authenticationData },
    })
  }
  return new Promise((resolve, reject) => {
    client.once('connect', () => resolve(client))
    client.once('error', reject)
  })
}

await assert.rejects(connectWith('a guess'), { code: ReasonCode.NotAuthorized })

const client = await connectWith('a key that both know')
const grant = broker.sessions.get('meter')?.context.grant
assert.deepEqual([grant?.principal, grant?.authenticator, grant?.method], ['meter-7', 'hmac', 'HMAC-SHA-256'])
await client.endAsync()
await broker.close()
