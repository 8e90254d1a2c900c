/** Who may take a session over, by a rule of your own: a guard of the session machine. */
import assert from 'node:assert/strict'

import { allow, createBroker, next, StatemqError, type Authenticator, type LocalClient } from 'statemq'
import { sessionMachine, type Takeover } from 'statemq/machines'

/** Principals are `team/name`. */
const teamOf = (principal: string | undefined): string | undefined => principal?.split('/')[0]

/** The owner may come back at any time, a colleague only once nobody is there; strangers and nobody never. */
function mayTakeOver({ previousPrincipal, nextPrincipal, previousState }: Takeover): boolean {
  if (nextPrincipal === previousPrincipal) return true
  return (
    nextPrincipal !== undefined && teamOf(nextPrincipal) === teamOf(previousPrincipal) && previousState === 'offline'
  )
}

// The parameters of a guard have the types of the chart: another name or another shape does not compile.
const machine = sessionMachine.provide({ guards: { mayTakeOver: (_, takeover) => mayTakeOver(takeover) } })

const byName: Authenticator = {
  name: 'by-name',
  authenticate: ({ username }) => (username === undefined ? next() : allow({ principal: username })),
}
const broker = createBroker({ machine, authenticators: [byName], allowAnonymous: true })

/** The desk is a client identifier whose session is kept for an hour. */
const atDesk = (username?: string): Promise<LocalClient> =>
  broker.client({
    clientId: 'desk',
    cleanStart: false,
    sessionExpiryIntervalSeconds: 3600,
    ...(username === undefined ? {} : { username }),
  })
const refused = (error: unknown): boolean => error instanceof StatemqError && error.code === 'SMQ_CLIENT_REFUSED'

const anna = await atDesk('plant/anna')
await anna.publish({ topic: 'shift', payload: 'early' })

// While Anna is there the desk is hers, and she does not notice who knocks.
for (const name of ['plant/otto', 'office/eve', undefined]) await assert.rejects(atDesk(name), refused)
assert.equal(broker.sessions.get('desk')?.context.grant?.principal, 'plant/anna')

// When she has left, a colleague takes over what was hers: the same session, under a grant of his own.
anna.abort()
await assert.rejects(atDesk('office/eve'), refused)
const otto = await atDesk('plant/otto')
assert.equal(otto.sessionPresent, true)
assert.equal(broker.sessions.get('desk')?.context.grant?.principal, 'plant/otto')

await broker.close()
