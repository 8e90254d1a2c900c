import { createActor, fromPromise, waitFor } from 'xstate'
import { describe, expect, it } from 'vitest'

import { sessionMachine } from '../../machines/index.ts'
import type { AuthenticationOutcome, SessionContext, SessionEvent } from '../../machines/index.ts'
import { connection, connectRequest, events, input, leavesOf, modelMachine, reach, routes } from './session-model.ts'
import type { StateName } from './session-model.ts'

const states = Object.keys(routes) as StateName[]

/** What a client sends as a secret or a payload; the host holds these, and no event has a place for them. */
const canaries = {
  password: 'canary-password',
  authenticationData: 'canary-authentication-data',
  willPayload: 'canary-will-payload',
}

/** Its name is the type of the event, its value every field that the event may have. */
type Fields = { [E in SessionEvent as E['type']]: Exclude<keyof E, 'type'> }

const handoverFields = ['connection', 'connect', 'grant', 'will', 'sessionExpiryIntervalSeconds'] as const

// A field that is added to an event or to the context is a type error here until someone has looked at it.
const fieldsOfEvents: { [T in keyof Fields]: readonly Fields[T][] } = {
  'packet.connect': ['connect', 'will'],
  'packet.auth': ['reasonCode', 'authenticationMethod'],
  'packet.disconnect': ['reasonCode', 'sessionExpiryIntervalSeconds'],
  'connection.closed': [],
  'connection.failed': ['reasonCode', 'reason', 'silent'],
  'keepalive.lost': [],
  'deadline.connect': [],
  'deadline.authentication': [],
  'deadline.session': [],
  'session.resume': handoverFields,
  'session.takeover': handoverFields,
  'session.discard': [],
  'session.disconnect': ['reasonCode', 'reason', 'serverReference'],
  'session.expire': [],
  'session.revoke': ['reason'],
  'deadline.expiring': [],
  'deadline.grant': [],
  'deadline.connection': [],
  'grant.renewed': [],
  'reauthentication.failed': ['reasonCode', 'reason', 'serverReference'],
  'roles.change': ['roles'],
  'properties.change': ['properties', 'propertySources'],
  'attributes.change': ['scope', 'attributes'],
  'delivery.ready': [],
  'delivery.blocked': [],
  'delivery.drained': [],
  'will.settled': [],
  'broker.drain': [],
}
const fieldsOfContext = [
  'sessionId',
  'startedAtMs',
  'connection',
  'connect',
  'grant',
  'standing',
  'sessionAttributes',
  'connectionAttributes',
  'will',
  'sessionExpiryIntervalSeconds',
  'expiresAtMs',
  'epoch',
  'resumed',
  'end',
] as const satisfies readonly (keyof SessionContext)[]

type Missing<All, Listed> = Exclude<All, Listed>
const nothingMissing: Missing<keyof SessionContext, (typeof fieldsOfContext)[number]>[] = []

/** Every key that occurs anywhere inside a value. */
function keysWithin(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  const own = Array.isArray(value) ? [] : Object.keys(value)
  return [...own, ...Object.values(value).flatMap(keysWithin)]
}

const quiet = {
  actions: Object.fromEntries([...hostActions()].map((name) => [name, () => {}])),
  actors: {
    authenticate: fromPromise<never>(() => new Promise(() => {})),
    admit: fromPromise<never>(() => new Promise(() => {})),
  },
}

/** The actions that the bare machine leaves to its host: those that throw when they are run. */
function hostActions(): Set<string> {
  const own = sessionMachine.implementations.actions as Record<string, (() => void) | { resolve?: unknown }>
  return new Set(Object.keys(own).filter((name) => !('resolve' in (own[name] ?? {}))))
}

const restorable = modelMachine.provide(quiet as Parameters<typeof modelMachine.provide>[0])

describe('session machine: snapshots', () => {
  it('the context holds what is listed and nothing else', () => {
    expect(nothingMissing).toEqual([])
    for (const state of states) expect(Object.keys(reach(state).context)).toEqual([...fieldsOfContext])
  })

  it('the events hold what is listed and nothing else, and no list has a place for a secret', () => {
    for (const event of Object.values(events)) {
      const { type, ...fields } = event
      const listed: readonly string[] = fieldsOfEvents[type]
      expect([type, ...Object.keys(fields).filter((field) => !listed.includes(field))]).toEqual([type])
    }
    const everything = new Set([...Object.values(fieldsOfEvents).flat(), ...keysWithin(events)])
    const forbidden = /password|secret|token|payload$|authenticationData|socket|stream/i
    expect([...everything].filter((key) => forbidden.test(key))).toEqual([])
  })

  it.each(states)('%s: a snapshot is plain JSON, and an actor restored from it goes on', (state) => {
    const actor = createActor(restorable, { input, snapshot: reach(state) })
    const persisted = actor.getPersistedSnapshot()
    const stored = JSON.stringify(persisted)
    // Fields that are undefined are the only thing that JSON leaves out, and toEqual takes them for absent.
    expect(JSON.parse(stored)).toEqual(persisted)
    const restored = createActor(restorable, { input, snapshot: JSON.parse(stored) as ReturnType<typeof reach> })
    restored.start()
    expect(leavesOf(restored.getSnapshot().value)).toBe(leavesOf(reach(state).value))
    expect(JSON.stringify(restored.getPersistedSnapshot())).toBe(stored)
    if (state !== 'expired') restored.send({ type: 'broker.drain' })
    expect(restored.getSnapshot().status).toBe('done')
    restored.stop()
  })

  it('a host that holds secrets beside the actor finds none of them in snapshots or inspection', async () => {
    const seen: unknown[] = []
    const asked = Promise.withResolvers<typeof canaries>()
    const machine = restorable.provide({
      actors: {
        // The host's own closure is the only way to the secrets.
        authenticate: fromPromise<AuthenticationOutcome, { sessionId: string }>(async () => {
          asked.resolve({ ...canaries })
          return { type: 'challenged' }
        }),
      },
    })
    const actor = createActor(machine, {
      input,
      inspect: (event) => seen.push(event.type, 'event' in event && event.event),
    })
    actor.subscribe((snapshot) => seen.push(snapshot.toJSON(), actor.getPersistedSnapshot()))
    actor.start()
    actor.send({ type: 'packet.connect', connect: connectRequest({ connection }), will: undefined })
    expect(await asked.promise).toEqual(canaries)
    await waitFor(actor, (snapshot) => snapshot.matches('enhanced-auth'))
    actor.stop()
    const dump = JSON.stringify(seen)
    expect(dump).toContain('xstate.done.actor.0.session.authenticating.identity')
    expect(Object.values(canaries).filter((canary) => dump.includes(canary))).toEqual([])
  })
})
