/** A chat in which moderators change roles while people talk: what each may read and write follows at once. */
import assert from 'node:assert/strict'

import { firstValueFrom } from 'rxjs'
import { allow, createBroker, next, type Authenticator, type Hooks, type LocalClient } from 'statemq'

const byName: Authenticator = {
  name: 'by-name',
  authenticate: ({ username }) => (username === undefined ? next() : allow({ principal: username, roles: ['guest'] })),
}
const log: string[] = []
const notes: Hooks = {
  name: 'notes',
  onRolesChanged: ({ clientId, previous, roles }) =>
    void log.push(`${clientId}: ${previous.join()} -> ${roles.join()}`),
}
const broker = createBroker({
  authenticators: [byName],
  hooks: notes,
  roles: {
    guest: { permissions: [{ allow: 'subscribe', topic: 'room/+' }] },
    member: { include: ['guest'], permissions: [{ allow: 'publish', topic: 'room/lobby' }] },
    crew: {
      include: ['member'],
      permissions: [{ allow: ['publish', 'subscribe'], topic: 'crew/#' }],
    },
    muted: { permissions: [{ deny: 'publish', topic: 'room/#' }] },
  },
})

const join = (name: string): Promise<LocalClient> => broker.client({ clientId: name, username: name })
const [anna, otto] = [await join('anna'), await join('otto')]
const say = async (who: LocalClient, topic: string, payload: string): Promise<boolean> =>
  who.publish({ topic, payload, qos: 1 }).then(
    () => true,
    () => false,
  )
const { sessions } = broker

// A guest reads along and may not speak.
assert.equal(await say(anna, 'room/lobby', 'hello?'), false)
await sessions.changeRoles({ filter: 'hasRoles ["guest"]' }, { remove: ['guest'], add: ['member'] })
const heard = firstValueFrom(otto.messages('room/+'))
await new Promise((resolve) => setImmediate(resolve))
assert.equal(await say(anna, 'room/lobby', 'hello!'), true)
assert.equal(String((await heard).payload), 'hello!')

// Moderation is one role more, by filter: whoever has it is silent from this moment on.
await sessions.changeRoles({ filter: '$Principal is "anna"' }, { add: ['muted'] })
assert.equal(await say(anna, 'room/lobby', 'but…'), false)
await sessions.changeRoles({ clientId: 'anna' }, { remove: ['muted'] })

// Otto becomes crew. He has asked for its room already, and has it from now on.
const backstage: string[] = []
otto.messages('+/backstage').subscribe(({ payload }) => backstage.push(String(payload)))
await broker.publish({ topic: 'crew/backstage', payload: 'not for guests', qos: 1 })
await sessions.changeRoles({ clientId: 'otto' }, { add: ['crew'] })
await broker.publish({ topic: 'crew/backstage', payload: 'welcome', qos: 1 })
await new Promise((resolve) => setImmediate(resolve))
assert.deepEqual(backstage, ['welcome'])

await broker.close()
assert.deepEqual(log, [
  'anna: guest -> member',
  'otto: guest -> member',
  'anna: member -> member,muted',
  'anna: member,muted -> member',
  'otto: member -> member,crew',
])
