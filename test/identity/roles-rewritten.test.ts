/** A message that `onDeliver` has given another topic is still judged by the one that it was published to. */
import { describe, expect, test } from 'vitest'

import { allow, next, type BrokerOptions } from '../../src/index.ts'
import { startBroker } from '../support/test-broker.ts'

/** Clients see the topics of their tenant without its name. */
function start(options: BrokerOptions = {}) {
  const t = startBroker({
    authenticators: [
      {
        name: 'names',
        authenticate: ({ username = '' }) =>
          allow({ principal: username, roles: [username === 'hub' ? 'hub' : 'member'] }),
      },
    ],
    roles: {
      hub: { permissions: [{ topic: '#', allow: 'publish' }] },
      member: { permissions: [{ topic: 'of/%u/#', allow: 'subscribe' }] },
      shown: { permissions: [{ topic: 'shown/#', allow: 'subscribe' }] },
    },
    hooks: {
      onDeliver: ({ topic }) =>
        topic.startsWith('of/') ? allow({ topic: topic.replace(/^of\/\w+/, 'shown') }) : next(),
    },
    ...options,
  })
  const member = () =>
    t.connect({ clientId: 'm', username: 'anna', cleanStart: false, properties: { sessionExpiryInterval: 60 } })
  const hub = () => t.connect({ clientId: 'h', username: 'hub' })
  return { ...t, member, hub }
}

describe.each([1, 2] as const)('QoS %i', (qos) => {
  test('one that waited is delivered when its client comes back', async () => {
    const t = start()
    const [client, hub] = [await t.member(), await t.hub()]
    await client.subscribe([['of/anna/#', { qos }]])
    client.drop()
    await t.settle()
    await hub.publish({ topic: 'of/anna/x', payload: '1', qos })
    await (await t.member()).expectPublish({ topic: 'shown/x', payload: '1', qos })
  })

  test('one that was not acknowledged is sent again', async () => {
    const t = start()
    const [client, hub] = [await t.member(), await t.hub()]
    await client.subscribe([['of/anna/#', { qos }]])
    await hub.publish({ topic: 'of/anna/x', payload: '1', qos })
    await client.expectPacket('publish', { topic: 'shown/x', dup: false })
    client.drop()
    await t.settle()
    await (await t.member()).expectPacket('publish', { topic: 'shown/x', dup: true })
  })

  test('threat 80: the right to the topic that it shows does not make up for the one that it had', async () => {
    const t = start()
    const [client, hub] = [await t.member(), await t.hub()]
    await client.subscribe([['of/anna/#', { qos }]])
    client.drop()
    await t.settle()
    await hub.publish({ topic: 'of/anna/x', payload: '1', qos })
    await t.broker.sessions.changeRoles({ clientId: 'm' }, { remove: ['member'], add: ['shown'] })
    expect(t.broker.sessions.get('m')?.queuedMessages).toBe(0)
  })
})

test('a message of a shared subscription that goes to another member goes there as it was published', async () => {
  const t = start({
    hooks: { onDeliver: ({ topic, payload }, { clientId }) => allow({ topic: `${clientId}/${topic}`, payload }) },
    roles: {
      hub: { permissions: [{ topic: '#', allow: 'publish' }] },
      member: { permissions: [{ topic: 'of/#', allow: 'subscribe' }] },
    },
  })
  const join = async (clientId: string, receiveMaximum: number) => {
    const client = await t.connect({ clientId, username: 'anna', properties: { receiveMaximum } })
    await client.subscribe([['$share/g/of/#', { qos: 1 }]])
    return client
  }
  const hub = await t.hub()
  const first = await join('one', 1)
  for (const payload of ['1', '2']) await hub.publish({ topic: 'of/anna/x', payload, qos: 1 })
  await first.expectPublish({ topic: 'one/of/anna/x', payload: '1', qos: 1 })
  // One is sent, one waits.
  const second = await join('two', 10)
  first.drop()
  for (const payload of ['1', '2']) await second.expectPublish({ topic: 'two/of/anna/x', payload, qos: 1 })
})
