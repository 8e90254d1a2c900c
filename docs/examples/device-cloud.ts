/** A cloud of tenants: who a device is, and whose it is, comes from a token; roles keep the tenants apart. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'

import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { connectAsync, type MqttClient } from 'mqtt'
import { createBroker, jwt, ReasonCode } from 'statemq'

// The identity provider: it signs tokens and publishes its public keys.
const issuer = 'https://id.example'
const { publicKey, privateKey } = await generateKeyPair('ES256')
const keySet = { keys: [{ ...(await exportJWK(publicKey)), kid: '2026-08', alg: 'ES256', use: 'sig' }] }
const provider = createServer((_request, response) => response.end(JSON.stringify(keySet))).listen(0, '127.0.0.1')
await once(provider, 'listening')
const jwksAddress = provider.address()
assert(typeof jwksAddress === 'object' && jwksAddress !== null)

function tokenFor(tenant: string, name: string, role: string): Promise<string> {
  return (
    new SignJWT({ tenant, name, roles: [role] })
      .setProtectedHeader({ alg: 'ES256', kid: '2026-08' })
      .setIssuer(issuer)
      .setAudience('device-cloud')
      // Subjects are unique across tenants: whoever has the same one may take the session over.
      .setSubject(`${tenant}:${name}`)
      .setExpirationTime('1h')
      .sign(privateKey)
  )
}

const broker = createBroker({
  authenticators: [
    jwt({
      jwks: { url: `http://127.0.0.1:${jwksAddress.port}/jwks.json` },
      issuer,
      audience: 'device-cloud',
      requiredClaims: ['tenant', 'name'],
      properties: { tenant: 'tenant', name: 'name' },
    }),
  ],
  // One definition for all tenants: `%p{…}` stands for the session's own property.
  roles: {
    device: {
      permissions: [
        { allow: 'publish', topic: '%p{tenant}/devices/%p{name}/#' },
        { allow: 'subscribe', topic: '%p{tenant}/commands/%p{name}' },
      ],
    },
    operator: {
      permissions: [
        { allow: 'subscribe', topic: '%p{tenant}/devices/#' },
        { allow: 'publish', topic: '%p{tenant}/commands/+' },
        // What devices say in confidence is not for operators, though it is below what they may read.
        { deny: 'subscribe', topic: '%p{tenant}/devices/+/private/#' },
      ],
    },
  },
  // Whatever a client calls itself, its session is its principal's.
  clientIds: { fromPrincipal: true },
})
const { address } = await broker.listen({ transport: 'tcp', port: 0 })
assert('port' in address)
const url = `mqtt://127.0.0.1:${address.port}`

async function join(tenant: string, name: string, role: string): Promise<MqttClient> {
  const password = await tokenFor(tenant, name, role)
  return connectAsync(url, { protocolVersion: 5, reconnectPeriod: 0, username: 'jwt', password }, false)
}

function collect(client: MqttClient): string[] {
  const received: string[] = []
  client.on('message', (topic, payload) => void received.push(`${topic} ${payload.toString()}`))
  return received
}

const press = await join('acme', 'press-1', 'device')
const anna = await join('acme', 'anna', 'operator')
const bert = await join('globex', 'bert', 'operator')
const [forPress, forAnna, forBert] = [press, anna, bert].map(collect)

// Nobody reads what another tenant's devices say, not even with a wildcard over all tenants.
await anna.subscribeAsync('acme/devices/#', { qos: 1 })
await assert.rejects(bert.subscribeAsync('acme/devices/#', { qos: 1 }), /Not authorized/)
await bert.subscribeAsync('+/devices/#', { qos: 1 })
await press.subscribeAsync('acme/commands/press-1', { qos: 1 })

await press.publishAsync('acme/devices/press-1/temperature', '180', { qos: 1 })
await press.publishAsync('acme/devices/press-1/private/serial', '4711', { qos: 1 })
await anna.publishAsync('acme/commands/press-1', 'cool down', { qos: 1 })
const refused = { code: ReasonCode.NotAuthorized }
await assert.rejects(press.publishAsync('acme/devices/press-2/temperature', '0', { qos: 1 }), refused)
await assert.rejects(bert.publishAsync('acme/commands/press-1', 'melt', { qos: 1 }), refused)

// Devices of one tenant, by what their tokens said of them.
const devices = broker.sessions.select('tenant is "acme" and hasRoles ["device"]')
assert.deepEqual(
  [...devices].map(({ clientId }) => clientId),
  ['acme:press-1'],
)

await Promise.all([press, anna, bert].map((client) => client.endAsync()))
assert.deepEqual(forAnna, ['acme/devices/press-1/temperature 180'])
assert.deepEqual(forPress, ['acme/commands/press-1 cool down'])
assert.deepEqual(forBert, [])
await broker.close()
provider.close()
