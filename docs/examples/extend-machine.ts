/** The session machine with a guard and an action of your own. */
import assert from 'node:assert/strict'

import { filter, firstValueFrom } from 'rxjs'
import { allow, createBroker, next, type Authenticator } from 'statemq'
import { sessionMachine, type SessionEvent } from 'statemq/machines'

const unused: SessionEvent['type'][] = []

const machine = sessionMachine.provide({
  guards: {
    // Only sessions of somebody are kept when their connection breaks, whatever the client asked for.
    outlivesConnection: ({ context }) =>
      context.grant?.principal !== undefined && context.sessionExpiryIntervalSeconds > 0,
  },
  actions: {
    // In place of the broker's own: `session.ignored` is no longer in events$.
    emitIgnored: ({ event }) => {
      unused.push(event.type)
    },
  },
})

const byName: Authenticator = {
  name: 'by-name',
  authenticate: ({ username }) => (username === undefined ? next() : allow({ principal: username })),
}
const broker = createBroker({ machine, authenticators: [byName], allowAnonymous: true })

const guest = await broker.client({ clientId: 'guest', sessionExpiryIntervalSeconds: 3600 })
const anna = await broker.client({ clientId: 'anna-1', username: 'anna', sessionExpiryIntervalSeconds: 3600 })

const ended = firstValueFrom(broker.events$.pipe(filter((event) => event.type === 'session.expired')))
guest.abort()
anna.abort()
assert.equal((await ended).clientId, 'guest')
assert.equal(broker.sessions.get('guest'), undefined)
assert.equal(broker.sessions.get('anna-1')?.state, 'offline')

// An event that the state has no use for reaches the action: offline, there is no keepalive to lose.
broker.sessions.get('anna-1')?.actorRef.send({ type: 'keepalive.lost' })
assert.deepEqual(unused, ['keepalive.lost'])
await broker.close()
