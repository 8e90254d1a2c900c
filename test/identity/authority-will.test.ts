/** Semantics 7.8: the will is captured with CONNECT and survives whatever happens to the grant. */
import { describe, expect, test } from 'vitest'

import { simulatedEpochMs } from '../support/simulated-clock.ts'
import { connect } from '../support/wire.ts'
import { authenticate, expectAuthenticated, startAuthority, ticketConnect } from './authority-scene.ts'

const will = { topic: 'gone', payload: 'farewell', qos: 1 } as const
const ending = { expiresAtMs: simulatedEpochMs + 10_000 }

describe('semantics 7.8: the will', () => {
  test('survives several rounds, a re-authentication and a change of roles, and is sent once', async () => {
    const t = startAuthority()
    const witness = await t.connect({ clientId: 'witness' })
    await witness.subscribe(['gone'])
    const client = t.first(connect(ticketConnect('challenge', { will })))
    await client.expectPacket('auth', { reasonCode: 0x18 })
    client.send(authenticate({ roles: ['reader'] }, 0x18))
    await client.expectPacket('connack', { reasonCode: 0 })
    client.send(authenticate({ roles: ['writer'] }))
    await expectAuthenticated(client)
    t.view().changeRoles({ add: ['auditor'] })
    client.drop()
    await witness.expectPublish({ topic: 'gone', payload: 'farewell' })
    await t.advance(120_000)
    await witness.expectNothing()
  })

  test('speaks for who the session is when it is sent: the hook sees the roles of that moment', async () => {
    const seen: unknown[] = []
    const t = startAuthority({
      hooks: {
        onPublish: ({ will: isWill }, { grant }) => {
          if (isWill) seen.push(grant.roles)
          return { type: 'next' }
        },
      },
    })
    const delayed = { ...will, properties: { willDelayInterval: 30 } }
    const client = await t.ticket({ roles: ['reader'] }, { will: delayed })
    client.send(authenticate({ roles: ['writer'] }))
    await expectAuthenticated(client)
    client.drop()
    await t.settle()
    t.view().changeRoles({ add: ['auditor'] })
    await t.advance(30_000)
    expect(seen).toEqual([['reader'], ['writer', 'auditor']])
  })

  test.each(['5', '3.1.1'])('MQTT %s: an expired grant still sends it', async (version) => {
    const t = startAuthority()
    const witness = await t.connect({ clientId: 'witness' })
    await witness.subscribe(['gone'])
    await (version === '5' ? t.ticket(ending, { will }) : t.old(ending, { will }))
    await t.advance(10_000)
    await witness.expectPublish({ topic: 'gone', payload: 'farewell' })
  })

  test('willPolicy unexpired-grant: it does not', async () => {
    const t = startAuthority({ willPolicy: 'unexpired-grant' })
    await t.ticket(ending, { will })
    await t.advance(10_000)
    expect(t.told('will.published')).toEqual([])
    expect(t.told('will.withheld')).toHaveLength(1)
  })

  test('a takeover by a fresh connection sends the old one, and the new one is another', async () => {
    const t = startAuthority()
    const witness = await t.connect({ clientId: 'witness' })
    await witness.subscribe(['gone'])
    await t.ticket({}, { will })
    const second = await t.ticket({}, { will: { ...will, payload: 'second' } })
    await witness.expectPublish({ topic: 'gone', payload: 'farewell' })
    second.drop()
    await witness.expectPublish({ topic: 'gone', payload: 'second' })
  })
})
