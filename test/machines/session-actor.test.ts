import { assign, createActor, fromPromise, waitFor } from 'xstate'
import { describe, expect, it } from 'vitest'

import { sessionMachine } from '../../machines/index.ts'
import type { AdmissionOutcome, AuthenticationOutcome, SessionEmitted } from '../../machines/index.ts'
import type { Grant } from '../../src/hooks.ts'
import { admitted, connection, connectRequest, events, grant, input } from './session-model.ts'

/** A host that does nothing but note what it was asked to do. */
function recordingMachine(calls: string[], authenticate: () => Promise<AuthenticationOutcome>) {
  const note = (name: string) => () => {
    calls.push(name)
  }
  return sessionMachine.provide({
    actors: {
      authenticate: fromPromise(authenticate),
      admit: fromPromise<AdmissionOutcome, { sessionId: string; grant: Grant }>(() => Promise.resolve(admitted(60))),
    },
    guards: {
      incumbentChanged: () => false,
      takesOverTooOften: () => false,
      exceedsQuota: () => false,
      resumesIncumbent: () => false,
      nothingToWake: () => true,
    },
    actions: {
      armConnectDeadline: note('armConnectDeadline'),
      cancelDeadlines: note('cancelDeadlines'),
      refuse: (_, { reasonCode }) => void calls.push(`refuse ${reasonCode}`),
      sendChallenge: note('sendChallenge'),
      discardIncumbent: note('discardIncumbent'),
      register: note('register'),
      sendConnack: note('sendConnack'),
      openPackets: note('openPackets'),
      closePackets: note('closePackets'),
      armWill: note('armWill'),
      releaseWill: note('releaseWill'),
      fireWill: note('fireWill'),
      wakeDelivery: note('wakeDelivery'),
      startExpiry: assign({ expiresAtMs: 1 }),
      armSessionDeadline: note('armSessionDeadline'),
      closeConnection: note('closeConnection'),
      dropSession: note('dropSession'),
    },
  })
}

const allow = (): Promise<AuthenticationOutcome> => Promise.resolve({ type: 'allowed', grant })

describe('session machine: as an actor', () => {
  it('runs a whole life with the host, in this order', async () => {
    const calls: string[] = []
    const emitted: SessionEmitted[] = []
    const actor = createActor(recordingMachine(calls, allow), { input })
    actor.on('*', (event) => emitted.push(event))
    actor.start()
    actor.send(events['connect, lasting'])
    await waitFor(actor, (snapshot) => snapshot.matches('online'))
    actor.send(events['connection closed'])
    actor.send(events['session deadline'])
    expect(actor.getSnapshot().output).toEqual({ reason: 'session-expired', reasonCode: undefined })
    expect(calls).toEqual([
      'armConnectDeadline',
      'discardIncumbent',
      'register',
      'cancelDeadlines',
      'sendConnack',
      'openPackets',
      'armWill',
      'wakeDelivery',
      'closePackets',
      'releaseWill',
      'armSessionDeadline',
      'cancelDeadlines',
      'cancelDeadlines',
      'fireWill',
      'dropSession',
    ])
    expect(emitted).toEqual([
      { type: 'session.online', resumed: false, grant, protocolVersion: 5, connection },
      { type: 'session.offline', cause: 'connection.closed' },
    ])
  })

  it('says which implementation is missing when the chart runs bare', () => {
    const errors: unknown[] = []
    const actor = createActor(sessionMachine, { input })
    actor.subscribe({ error: (error) => errors.push(error) })
    actor.start()
    expect(errors).toEqual([new Error('sessionMachine: "armConnectDeadline" must be provided')])
  })

  it('an implementation that throws ends its own actor, and only the error observer hears of it', () => {
    const failure = new Error('the host broke')
    const errors: unknown[] = []
    const calls: string[] = []
    const broken = recordingMachine(calls, allow).provide({
      actions: {
        closeConnection: () => {
          throw failure
        },
      },
    })
    const actor = createActor(broken, { input })
    const neighbour = createActor(recordingMachine([], allow), { input })
    actor.subscribe({ error: (error) => errors.push(error) })
    for (const each of [actor, neighbour]) each.start()
    expect(() => actor.send(events['connect deadline'])).not.toThrow()
    expect(errors).toEqual([failure])
    expect([actor.getSnapshot().status, neighbour.getSnapshot().status]).toEqual(['error', 'active'])
    // Trap: what the broken transition had still to do never happens; the host must clean up itself.
    expect(calls).toEqual(['armConnectDeadline'])
    neighbour.stop()
  })

  it('an actor that answers something unknown ends the session, and never as admitted', async () => {
    const calls: string[] = []
    const errors: unknown[] = []
    const surprising = recordingMachine(calls, () => Promise.resolve({ type: 'next' } as never))
    const actor = createActor(surprising, { input })
    const ended = Promise.withResolvers<void>()
    actor.subscribe({
      error: (error) => {
        errors.push(error)
        ended.resolve()
      },
    })
    actor.start()
    actor.send(events.connect)
    await ended.promise
    expect(errors).toEqual([new Error('sessionMachine: an outcome "allowed" was due, not "next"')])
    expect(calls).toEqual(['armConnectDeadline'])
  })

  it('aborts a decision that nobody waits for any more', async () => {
    const asked = Promise.withResolvers<AbortSignal>()
    const machine = recordingMachine([], allow).provide({
      actors: {
        authenticate: fromPromise(({ signal }) => {
          asked.resolve(signal)
          return new Promise<never>(() => {})
        }),
      },
    })
    const actor = createActor(machine, { input })
    actor.start()
    actor.send(events.connect)
    const signal = await asked.promise
    expect(signal.aborted).toBe(false)
    actor.send(events['connection closed'])
    expect([signal.aborted, actor.getSnapshot().output?.reason]).toEqual([true, 'connection-lost'])
  })

  it('an event whose guards all fail is ignored in the open, not lost', async () => {
    const emitted: SessionEmitted[] = []
    const machine = recordingMachine([], allow).provide({ guards: { nothingToWake: () => false } })
    const actor = createActor(machine, { input })
    actor.start()
    actor.send({ ...events.connect, connect: connectRequest({ authenticationMethod: undefined }) })
    await waitFor(actor, (snapshot) => snapshot.matches('online'))
    actor.on('session.ignored', (event) => emitted.push(event))
    actor.send(events.drained)
    actor.send({ type: 'delivery.unheard' } as never)
    expect(emitted).toEqual([
      { type: 'session.ignored', event: 'delivery.drained' },
      { type: 'session.ignored', event: 'delivery.unheard' },
    ])
    actor.stop()
  })

  it('an event sent while another is dealt with waits its turn, so a will settled by a resumption stays quiet', async () => {
    const emitted: SessionEmitted[] = []
    const resumable = recordingMachine([], allow).provide({
      actions: {
        cancelWill: ({ self }) => self.send({ type: 'will.settled' }),
        adoptConnection: () => {},
        reauthorise: () => {},
      },
    })
    const actor = createActor(resumable, { input })
    actor.start()
    actor.send(events['connect, lasting'])
    await waitFor(actor, (snapshot) => snapshot.matches('online'))
    actor.send(events['connection closed'])
    actor.on('session.ignored', (event) => emitted.push(event))
    actor.send(events.resume)
    expect(actor.getSnapshot().context.will).toBe(events.resume.will)
    expect(emitted).toEqual([{ type: 'session.ignored', event: 'will.settled' }])
    actor.stop()
  })
})
