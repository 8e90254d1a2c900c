/** A reload takes authenticators out of use: for whoever comes, and for whoever is there already. */
import { expect, test } from 'vitest'

import { allow, challenge, deny, type Authenticator, type Verdict } from '../../src/index.ts'
import { startBroker } from '../support/test-broker.ts'
import { auth, connect } from '../support/wire.ts'

const method = 'TICKET'
const properties = { authenticationMethod: method, sessionExpiryInterval: 60 }
const again = auth(0x19, { authenticationMethod: method })

function tickets(name: string, answer: () => Verdict): Authenticator {
  return { name, methods: [method], authenticate: answer }
}
const yes = (name: string): Authenticator => tickets(name, () => allow({ principal: 'alice', roles: [name] }))

test('semantics 7.6: who is online authenticates again with the authenticators of now', async () => {
  const t = startBroker({ authenticators: [yes('old')] })
  const client = await t.connect({ clientId: 'a', properties })
  await t.broker.reload({ authenticators: [yes('new')] })
  client.send(again)
  await client.expectPacket('auth', { reasonCode: 0x00 })
  expect(t.broker.sessions.get('a')?.grant).toMatchObject({ authenticator: 'new', roles: ['new'] })
})

test('an authenticator that was taken out lets nobody renew a grant', async () => {
  const t = startBroker({ authenticators: [yes('old')] })
  const client = await t.connect({ clientId: 'a', properties })
  await t.broker.reload({ authenticators: [tickets('new', () => deny(0x87, 'not any more'))] })
  client.send(again)
  await client.expectDisconnect(0x87)
})

test('so it is where an authenticator gave the session limits of its own, and on a listener', async () => {
  const strict = tickets('old', () => allow({ principal: 'alice', limits: { maxInflightMessages: 3 } }))
  const t = startBroker({ authenticators: [yes('others')] })
  const listener = await t.broker.listen({ transport: 'tcp', port: 0, authenticators: [strict] })
  if (!('port' in listener.address)) throw new Error('a listener without a port')
  const client = await t.tcp(listener.address.port)
  await client.connect({ clientId: 'a', properties })
  await listener.reload({ authenticators: [tickets('new', () => deny(0x87, 'not any more'))] })
  client.send(again)
  await client.expectDisconnect(0x87)
})

test('a CONNECT is decided by what holds when it comes, not when its connection did', async () => {
  const t = startBroker({ authenticators: [yes('old')] })
  const client = t.attach()
  await t.settle()
  await t.broker.reload({ authenticators: [yes('new')] })
  client.send(connect({ clientId: 'a', properties }))
  await client.expectPacket('connack', { reasonCode: 0x00 })
  expect(t.broker.sessions.get('a')?.grant).toMatchObject({ authenticator: 'new' })
})

test('an exchange under way goes on with the authenticators of now', async () => {
  const asks = tickets('old', () => challenge())
  const t = startBroker({ authenticators: [asks] })
  const client = t.attach()
  client.send(connect({ clientId: 'a', properties }))
  await client.expectPacket('auth', { reasonCode: 0x18 })
  await t.broker.reload({ authenticators: [] })
  client.send(auth(0x18, { authenticationMethod: method }))
  await client.expectPacket('connack', { reasonCode: 0x8c })
})

test('a listener that is closed takes its authenticators along: who came through it renews no grant by them', async () => {
  const asked: string[] = []
  const noted = (name: string): Authenticator => ({
    ...tickets(name, () => {
      asked.push(name)
      return allow({ principal: 'alice' })
    }),
    close: () => void asked.push(`${name} is closed`),
  })
  const shared = noted('shared')
  const t = startBroker({ authenticators: [shared] })
  const clients = []
  for (const authenticators of [[noted('own')], [shared]]) {
    const listener = await t.broker.listen({ transport: 'tcp', port: 0, authenticators })
    if (!('port' in listener.address)) throw new Error('a listener without a port')
    const client = await t.tcp(listener.address.port)
    await client.connect({ properties })
    await listener.close()
    clients.push(client)
  }
  for (const client of clients) client.send(again)
  await clients[0]!.expectDisconnect(0x8c)
  // Others still use this one.
  await clients[1]!.expectPacket('auth', { reasonCode: 0x00 })
  expect(asked).toEqual(['own', 'own is closed', 'shared', 'shared'])
})
