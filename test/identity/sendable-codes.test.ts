/** Hooks may refuse with any code; the client gets one that its packet can tell (MQTT 5 tables 3-1 to 3-10). */
import { describe, expect, test } from 'vitest'

import { allow, deny, ReasonCode, type BrokerEvent, type FailureReasonCode } from '../../src/index.ts'
import { startBroker } from '../support/test-broker.ts'
import { auth, connect } from '../support/wire.ts'
import { subackCodes } from './roles-scene.ts'

const { MessageRateTooHigh, BadUserNameOrPassword, Banned, QuotaExceeded, SessionTakenOver, UseAnotherServer } =
  ReasonCode

test.each([
  [SessionTakenOver, 0x80],
  [Banned, Banned],
  [UseAnotherServer, UseAnotherServer],
])('CONNACK: refused with %i, told %i', async (code, told) => {
  const t = startBroker({ authenticators: [{ name: 'no', authenticate: () => deny(code, 'no') }] })
  const refused: number[] = []
  // The operator hears what was meant.
  t.broker.events$.subscribe((event: BrokerEvent) => {
    if (event.type === 'session.refused') refused.push(event.reasonCode)
  })
  const client = t.attach()
  client.send(connect({ clientId: 'a' }))
  await client.expectRefused(told)
  await t.settle()
  expect(refused).toEqual([code])
})

describe.each([
  [MessageRateTooHigh, 0x80],
  [BadUserNameOrPassword, 0x87],
  [Banned, 0x87],
  [QuotaExceeded, QuotaExceeded],
] satisfies [FailureReasonCode, number][])('refused with %i, told %i', (code, told) => {
  const refuse = (reason = 'no') =>
    startBroker({ hooks: { onPublish: () => deny(code, reason), onSubscribe: () => deny(code, reason) } })

  test.each([1, 2] as const)('PUBACK and PUBREC: QoS %i', async (qos) => {
    const client = await refuse().connect({ clientId: 'a' })
    expect(await client.publish({ topic: 't', qos })).toMatchObject({ reasonCode: told })
  })

  test('SUBACK', async () => {
    const client = await refuse().connect({ clientId: 'a' })
    expect(await subackCodes(client, 't')).toEqual([told])
  })

  test('a reason that cannot be sent is left out', async () => {
    const client = await refuse('no\0').connect({ clientId: 'a' })
    expect(await client.publish({ topic: 't', qos: 1 })).toMatchObject({ reasonCode: told, properties: {} })
  })

  test('DISCONNECT: a re-authentication', async () => {
    let isNew = true
    const authenticate = () => {
      if (!isNew) return deny(code, 'no')
      isNew = false
      return allow()
    }
    const t = startBroker({ authenticators: [{ name: 'once', methods: ['M'], authenticate }] })
    const client = await t.connect({ clientId: 'a', properties: { authenticationMethod: 'M' } })
    client.send(auth(0x19, { authenticationMethod: 'M' }))
    await client.expectDisconnect(code === MessageRateTooHigh ? code : told)
  })
})
