/** Which client identifiers a client may use. */
import { describe, expect, test } from 'vitest'

import { allow, createBroker, type BrokerOptions, type ClientIdRules } from '../../src/index.ts'
import { expectRefusal, staying, startOwnership, versions } from './ownership-scene.ts'

const as = (username: string) => ({ username, password: 'x' })

describe.each(versions)('MQTT version %i', (version) => {
  const cases: [rules: ClientIdRules, who: string | undefined, clientId: string, may: boolean][] = [
    [{ prefix: '%u-' }, 'anna', 'anna-1', true],
    [{ prefix: '%u-' }, 'anna', 'anna-', true],
    [{ prefix: '%u-' }, 'anna', 'anna', false],
    [{ prefix: '%u-' }, 'anna', 'annabel-1', false],
    [{ prefix: '%u-' }, 'anna', 'otto-1', false],
    [{ prefix: '%u-' }, undefined, 'anna-1', false],
    [{ prefix: '%u-' }, undefined, 'undefined-1', false],
    // As text, whatever a value looks like.
    [{ prefix: '%u-' }, '*', 'anna-1', false],
    [{ prefix: '%u-' }, '.*', 'anna-1', false],
    [{ prefix: '%u-' }, '%u', 'anna-1', false],
    [{ prefix: '%u-' }, '%u', '%u-1', true],
    [{ prefix: '%u-' }, '$&', '$&-1', true],
    // "a-" would begin the identifiers of "a" and those of "a-b".
    [{ prefix: '%u-' }, 'anna-lena', 'anna-lena-1', false],
    [{ prefix: '%u/' }, 'anna-lena', 'anna-lena/1', true],
    [{ prefix: 'site/%u/' }, 'anna', 'site/anna/1', true],
    [{ prefix: 'site/%u/' }, 'anna', 'anna/1', false],
    [{ prefix: 'dev-' }, undefined, 'dev-1', true],
    [{ prefix: 'dev-' }, 'anna', 'vip-1', false],
    [{ pattern: 'dev-??-*' }, undefined, 'dev-de-1', true],
    [{ pattern: 'dev-??-*' }, undefined, 'dev-d-1', false],
    [{ pattern: 'dev-*' }, undefined, 'xdev-1', false],
    [{ pattern: 'dev-*-end' }, undefined, 'dev-1-end2', false],
    [{ prefix: '%u-', pattern: '*-press' }, 'anna', 'anna-press', true],
    [{ prefix: '%u-', pattern: '*-press' }, 'anna', 'anna-saw', false],
  ]
  test.each(cases)('%j: %s as "%s": %s', async (clientIds, who, clientId, may) => {
    const t = startOwnership({ clientIds })
    const client = t.knock({ version, clientId, ...(who === undefined ? {} : as(who)) })
    if (may) {
      const { properties } = await client.expectPacket('connack', { reasonCode: 0 })
      expect(properties).not.toHaveProperty('assignedClientIdentifier')
      expect(t.state(clientId)).toBe('online')
      return
    }
    await expectRefusal(client, 0x85, 2)
    await t.settle()
    expect(t.refusals()).toEqual([0x85])
    expect([...t.broker.sessions.keys()]).toEqual([])
  })

  test.each(['whatever', ''])('fromPrincipal: the principal, where the client sent "%s"', async (clientId) => {
    const asked: string[] = []
    const t = startOwnership({
      clientIds: { fromPrincipal: true },
      hooks: {
        onRegister: (request) => {
          asked.push(request.clientId)
          return { type: 'next' }
        },
      },
    })
    const client = t.knock({ version, clientId, ...as('anna'), cleanStart: false })
    const { properties } = await client.expectPacket('connack', { reasonCode: 0 })
    expect(properties.assignedClientIdentifier).toBe(version === 5 ? 'anna' : undefined)
    expect([...t.broker.sessions.keys()]).toEqual(['anna'])
    expect(t.broker.sessions.get('anna')?.context.connect?.clientId).toBe('anna')
    expect(t.broker.sessions.get('anna')?.fixedProperties.$ClientId).toBe('anna')
    expect(asked).toEqual(['anna'])
  })

  test('fromPrincipal: comes back to the session, and throws out whoever else is the same principal', async () => {
    const t = startOwnership({ clientIds: { fromPrincipal: true } })
    const first = await t.connect({ version, clientId: 'one', ...as('anna'), ...staying })
    await first.subscribe(['t'])
    const second = await t.connect({ version, clientId: 'two', ...as('anna'), ...staying })
    expect(second.connack).toMatchObject({ sessionPresent: true })
    if (version === 5) expect(second.connack?.properties.assignedClientIdentifier).toBe('anna')
    await t.connect({ version, clientId: 'one', ...as('otto'), ...staying })
    expect([...t.broker.sessions.keys()].toSorted()).toEqual(['anna', 'otto'])
    expect(t.broker.sessions.get('anna')?.subscriptions).toEqual(['t'])
  })

  test('fromPrincipal: nobody has no identifier', async () => {
    const t = startOwnership({ clientIds: { fromPrincipal: true } })
    await expectRefusal(t.knock({ version, clientId: 'anna' }), 0x85, 2)
  })

  test.each([
    ['is longer than maxClientIdBytes', 'ä'.repeat(6), { maxClientIdBytes: 10 }, 0x85, 2],
    // The verdict cannot be used in the first place.
    ['holds what MQTT can’t carry', 'a\0b', {}, 0x87, 5],
    ['is empty', '', {}, 0x85, 2],
  ])('fromPrincipal: a principal that %s is no identifier', async (_, principal, limits, code, returnCode) => {
    const t = startOwnership({
      clientIds: { fromPrincipal: true },
      limits,
      authenticators: [{ name: 'a', authenticate: () => allow(principal === '' ? {} : { principal }) }],
    })
    await expectRefusal(t.knock({ version, clientId: 'x', username: '', password: 'x' }), code, returnCode)
  })

  test('an identifier that breaks a rule is refused before the session that lives there is looked at', async () => {
    let asked = 0
    const onTakeover = () => {
      asked += 1
      return allow()
    }
    const t = startOwnership({ clientIds: { prefix: '%u-' }, hooks: { onTakeover } })
    await t.connect({ version, clientId: 'anna-1', ...as('anna') })
    await expectRefusal(t.knock({ version, clientId: 'anna-1', ...as('otto') }), 0x85, 2)
    expect(asked).toBe(0)
    expect(t.state('anna-1')).toBe('online')
  })
})

test('an identifier of the broker’s making gets the prefix', async () => {
  const t = startOwnership({ clientIds: { prefix: '%u/' } })
  const client = await t.connect({ clientId: '', ...as('anna') })
  const assigned = client.connack!.properties.assignedClientIdentifier!
  expect(assigned).toMatch(/^anna\/auto-/)
  expect(t.state(assigned)).toBe('online')
})

test('a rule of a listener stands in place of the broker’s', async () => {
  const t = startOwnership({ clientIds: { prefix: 'dev-' } })
  const { port } = await t.listen({ transport: 'tcp', port: 0, clientIds: {} })
  const free = await t.tcp(port)
  await free.connect({ clientId: 'any' })
  await t.knock({ clientId: 'any2' }).expectRefused(0x85)
})

test('an in-process client that brings no identifier gets one that keeps the rules', async () => {
  const t = startOwnership({ clientIds: { prefix: 'dev-' } })
  const client = await t.broker.client()
  expect(client.clientId).toMatch(/^dev-auto-/)
  expect(t.state(client.clientId)).toBe('online')
})

test('an in-process client is told what it is called', async () => {
  const t = startOwnership({ clientIds: { fromPrincipal: true } })
  const client = await t.broker.client({ clientId: 'x', username: 'anna', password: 'x' })
  expect(client.clientId).toBe('anna')
})

test.each(['%u', 'x%u', '%u%u-'])('the prefix %s is refused: it would be that of other principals too', (prefix) => {
  const options: BrokerOptions = { clientIds: { prefix } }
  expect(() => createBroker(options)).toThrow(expect.objectContaining({ code: 'SMQ_OPTION_INVALID' }))
})

test('threat 87: a pattern takes linear time', async () => {
  const t = startOwnership({ clientIds: { pattern: `${'*a'.repeat(100)}b` } })
  const startedAt = process.cpuUsage().user
  await t.knock({ clientId: 'a'.repeat(250) }).expectRefused(0x85)
  expect(process.cpuUsage().user - startedAt).toBeLessThan(500_000)
})
