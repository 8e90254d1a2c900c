/** How many sessions a principal may have (threat 52). */
import { describe, expect, test } from 'vitest'

import { allow, type Allow, type Verdict } from '../../src/index.ts'
import { connect } from '../support/wire.ts'
import { expectRefusal, staying, startOwnership, versions } from './ownership-scene.ts'

const as = (username: string) => ({ username, password: 'x' })

describe.each(versions)('MQTT version %i', (version) => {
  test.each(['online', 'offline'] as const)(
    'threat 52: one session more than a principal may have is refused, the others being %s',
    async (state) => {
      const t = startOwnership({ limits: { maxSessionsPerPrincipal: 2 } })
      const clients = [
        await t.connect({ version, clientId: 'a1', ...as('anna'), ...staying }),
        await t.connect({ version, clientId: 'a2', ...as('anna'), ...staying }),
      ]
      if (state === 'offline') for (const client of clients) client.drop()
      await t.settle()
      for (const cleanStart of [true, false])
        await expectRefusal(t.knock({ version, clientId: 'a3', ...as('anna'), cleanStart }), 0x97, 3)
      expect([...t.broker.sessions.keys()]).toEqual(['a1', 'a2'])
      // Others are not concerned, and nobody is no principal.
      await t.connect({ version, clientId: 'o1', ...as('otto') })
      for (const clientId of ['n1', 'n2', 'n3']) await t.connect({ version, clientId })
      // Who has a place keeps it, and one that was given up is free.
      expect((await t.connect({ version, clientId: 'a2', ...as('anna'), ...staying })).connack?.sessionPresent).toBe(
        true,
      )
      await t.connect({ version, clientId: 'a2', ...as('anna') })
      t.broker.sessions.get('a1')?.expire()
      await t.settle()
      await t.connect({ version, clientId: 'a3', ...as('anna') })
    },
  )
})

test('threat 52: a crowd that is decided on together does not get in together', async () => {
  const waiting: ((verdict: Verdict) => void)[] = []
  const t = startOwnership({
    limits: { maxSessionsPerPrincipal: 3 },
    authenticators: [{ name: 'later', authenticate: () => new Promise<Verdict>((resolve) => waiting.push(resolve)) }],
  })
  const crowd = Array.from({ length: 10 }, (_, index) => t.first(connect({ clientId: `c${index}` })))
  await t.settle()
  for (const answer of waiting) answer(allow({ principal: 'anna' }))
  await t.settle()
  expect([...t.broker.sessions.keys()]).toHaveLength(3)
  const codes = await Promise.all(crowd.map(async (client) => (await client.expectPacket('connack')).reasonCode))
  expect(codes.toSorted((a, b) => a - b)).toEqual([0, 0, 0, ...Array.from({ length: 7 }, () => 0x97)])
})

test('threat 52: a session that a hook gave to another principal counts as that one’s', async () => {
  const t = startOwnership({ limits: { maxSessionsPerPrincipal: 1 }, hooks: { onTakeover: () => allow() } })
  await t.connect({ clientId: 'a', ...as('anna') })
  await t.connect({ clientId: 'o', ...as('otto') })
  await t.knock({ clientId: 'a', ...as('otto') }).expectRefused(0x97)
  t.broker.sessions.get('o')?.expire()
  await t.connect({ clientId: 'a', ...as('otto') })
  await t.connect({ clientId: 'b', ...as('anna') })
  await t.knock({ clientId: 'c', ...as('otto') }).expectRefused(0x97)
})

test('an authenticator may set it for one principal', async () => {
  const limits = new Map<string, Allow['limits']>([['vip', { maxSessionsPerPrincipal: 2 }]])
  const t = startOwnership({
    limits: { maxSessionsPerPrincipal: 1 },
    authenticators: [
      {
        name: 'a',
        authenticate: ({ username = '' }) => {
          const own = limits.get(username)
          return allow(own ? { limits: own } : {})
        },
      },
    ],
  })
  await t.connect({ clientId: 'v1', ...as('vip') })
  await t.connect({ clientId: 'v2', ...as('vip') })
  await t.knock({ clientId: 'v3', ...as('vip') }).expectRefused(0x97)
  await t.connect({ clientId: 'u1', ...as('usual') })
  await t.knock({ clientId: 'u2', ...as('usual') }).expectRefused(0x97)
})
