import { initialTransition } from 'xstate'
import { describe, expect, it } from 'vitest'

import {
  answers,
  connectRequest,
  effectsOf,
  events,
  grant,
  input,
  leavesOf,
  modelMachine,
  outcomeOf,
  reach,
  routes,
} from './session-model.ts'
import type { Outcome, StateName, StepName } from './session-model.ts'

const states = Object.keys(routes) as StateName[]
const live = states.filter((state) => state !== 'expired')
const clientSteps = Object.keys(events) as (keyof typeof events)[]
const steps = [...clientSteps, ...Object.keys(answers)] as StepName[]
const online = live.filter((state) => state.startsWith('online'))
const unanswered = ['authenticating.identity', 'authenticating.admission', 'enhanced-auth'] as const

function rows(state: StateName): { step: StepName; outcome: Outcome }[] {
  const snapshot = reach(state)
  return steps.map((step) => ({ step, outcome: outcomeOf(snapshot, step) }))
}

/** Every outcome of one of these states that is not "ignored". */
function heard(among: readonly StateName[], which: (step: StepName) => boolean = () => true): Outcome[] {
  return among.flatMap((state) =>
    rows(state)
      .filter(({ step, outcome }) => which(step) && !outcome.ignored)
      .map(({ outcome }) => outcome),
  )
}

/** One state of the table: events with the same outcome share its lines; `:` marks changes of the context. */
function section(state: StateName): string {
  const said: string[] = []
  const stepsByOutcome = new Map<string, StepName[]>()
  for (const { step, outcome } of rows(state)) {
    const lines = [...outcome.changes.map((change) => `: ${change}`), ...outcome.effects]
    const key = [`-> ${outcome.leaves}`, ...lines].join('\n    ')
    if (outcome.ignored) said.push(step)
    else stepsByOutcome.set(key, [...(stepsByOutcome.get(key) ?? []), step])
  }
  return [
    `## ${state}: ${leavesOf(reach(state).value)}`,
    `after ${routes[state].join(' > ') || 'a connection'}`,
    '',
    ...[...stepsByOutcome].map(([outcome, together]) => `${together.join(' | ')}\n    ${outcome}`),
    `${said.join(' | ')}\n    ignored, and said so`,
    '',
  ].join('\n')
}

describe('session machine: every state and every event', () => {
  it('is the table in session-table.txt', async () => {
    await expect(states.map(section).join('\n')).toMatchFileSnapshot('./session-table.txt')
  })

  it('begins in connecting with its deadline armed', () => {
    const [snapshot, actions] = initialTransition(modelMachine, input)
    expect([leavesOf(snapshot.value), ...effectsOf(actions)]).toEqual(['connecting', 'armConnectDeadline'])
  })

  it.each(live)('%s answers every event, or says that it ignores it', (state) => {
    const silent = rows(state).filter(
      ({ outcome }) => outcome.effects.length === 0 && outcome.leaves === leavesOf(reach(state).value),
    )
    // A will that has settled is forgotten, which only the context shows.
    expect(silent.map(({ step }) => step)).toEqual(state.startsWith('offline') ? ['will settled'] : [])
  })

  it('never answers an event after the end', () => {
    const expired = reach('expired')
    expect(rows('expired').map(({ outcome }) => [outcome.next.status, outcome.next.output])).toEqual(
      steps.map(() => ['done', expired.context.end]),
    )
  })
})

describe('session machine: what the table must hold whatever its rows say', () => {
  it('every end says why, sends what will there is and leaves the registry, last', () => {
    const ends = heard(live).filter(({ leaves }) => leaves === 'expired')
    expect(ends.length).toBeGreaterThan(live.length)
    for (const { next, effects, changes } of ends) {
      expect(effects.slice(-3)).toEqual(['cancelDeadlines', 'fireWill', 'dropSession'])
      expect(changes.filter((change) => change.startsWith('end = '))).toEqual([`end = ${JSON.stringify(next.output)}`])
      expect(next.output).toBe(next.context.end)
    }
  })

  it('MQTT-3.14.0-1: the server sends no DISCONNECT before it has accepted the CONNECT', () => {
    const sent = heard(['connecting', ...unanswered]).flatMap(({ effects }) => effects)
    expect(sent.filter((effect) => effect.startsWith('disconnect '))).toEqual([])
  })

  it('MQTT-3.2.0-1: CONNACK comes before the stream of packets opens, once per connection', () => {
    for (const { effects, leaves } of heard([...unanswered, ...online, 'offline'])) {
      const order = effects.filter((effect) => effect === 'sendConnack' || effect === 'openPackets')
      const accepted = leaves.startsWith('online') && order.length > 0
      expect(order).toEqual(accepted ? ['sendConnack', 'openPackets'] : [])
    }
  })

  it('MQTT-3.1.4-6: a refused CONNECT is answered once and touches no session', () => {
    for (const { effects, leaves, next } of heard(unanswered)) {
      if (leaves !== 'expired' || next.output?.reason === 'handed-over') continue
      expect(effects.filter((effect) => /^(refuse |closeConnection)/.test(effect)).length).toBeLessThanOrEqual(1)
      expect(effects.filter((effect) => /^(register|handOver|discardIncumbent|sendConnack)$/.test(effect))).toEqual([])
    }
  })

  it('every way out of online closes the stream of packets first', () => {
    for (const { effects, leaves } of heard(online)) {
      const leavesOnline = !leaves.startsWith('online') || effects.includes('sendConnack')
      const closes = effects.indexOf('closePackets')
      expect(closes >= 0).toBe(leavesOnline)
      const speaksBefore = effects.slice(0, Math.max(closes, 0))
      expect(speaksBefore.filter((effect) => /^(disconnect |closeConnection|adoptConnection)/.test(effect))).toEqual([])
    }
  })

  it('MQTT-3.14.4-3: DISCONNECT 0x00 takes the will back, and only that', () => {
    for (const state of online) {
      for (const step of clientSteps.filter((name) => name.startsWith('disconnect '))) {
        const { effects, next } = outcomeOf(reach(state), step)
        const wanted = step.startsWith('disconnect 0x00') && next.context.end?.reason !== 'protocol-error'
        const accused = effects.some((effect) => effect.startsWith('raises '))
        expect([state, step, effects.includes('cancelWill')]).toEqual([state, step, wanted && !accused])
      }
    }
  })

  it('MQTT-3.1.2-8: every other end of a connection that the session outlives releases the will', () => {
    for (const { effects, next } of heard(online)) {
      if (next.value !== 'offline') continue
      expect(effects.filter((effect) => /^(releaseWill|cancelWill|withholdWill)$/.test(effect))).toHaveLength(1)
    }
  })

  it('semantics 7.10: an AUTH that no state asked for is answered with 0x82 or 0x8C', () => {
    for (const state of [...unanswered, ...online]) {
      for (const step of clientSteps.filter((name) => name.startsWith('auth '))) {
        const { effects, leaves } = outcomeOf(reach(state), step)
        const asked = leaves.startsWith('authenticating') || leaves.includes('deciding')
        const answer = effects.find((effect) => /^(refuse|disconnect) \{"reasonCode":(130|140),/.test(effect))
        expect([state, step, answer !== undefined]).toEqual([state, step, !asked])
      }
    }
  })

  it.each(['online', 'online, lasting', 'online.waking', 'online.throttled'] as const)(
    'MQTT-4.12.0-7: %s: AUTH from a client that named no method is a protocol error',
    (state) => {
      const snapshot = reach(state)
      const connect = connectRequest({ authenticationMethod: undefined })
      const plain = Object.assign(reach(state), { context: { ...snapshot.context, connect } })
      const { effects } = outcomeOf(plain, 'auth 0x19')
      expect(effects.filter((effect) => /^(refuse|disconnect) /.test(effect))).toEqual([
        'disconnect {"reasonCode":130,"reason":"AUTH out of turn","silent":false}',
      ])
    },
  )

  it('semantics 7.6: a re-authentication that does not succeed leaves the grant as it was', () => {
    for (const step of ['denied', 'fails', 'challenged'] as const) {
      const before = reach('online.deciding')
      expect(outcomeOf(before, `re-authentication: ${step}`).next.context.grant).toBe(before.context.grant)
    }
  })

  it('semantics 7.6: a re-authentication that succeeds changes grant and standing, in every state of the old one', () => {
    for (const state of ['online.deciding', 'online.lapsed, deciding'] as const) {
      const { next, changes, leaves, effects } = outcomeOf(reach(state), 're-authentication: allowed')
      expect(leaves).toBe('online(valid, flowing)')
      expect([next.context.grant?.authenticatedAtMs, next.context.standing]).toEqual([
        grant.authenticatedAtMs + 1,
        'valid',
      ])
      expect(changes).toHaveLength(state === 'online.deciding' ? 1 : 2)
      expect(effects.at(-1)).toBe('armGrantDeadline {"until":"warning"}')
    }
  })

  it('semantics 7.14: properties that nobody gave anew are those of the moment in which the grant changes', () => {
    const changed = outcomeOf(reach('online.deciding'), 'change properties').next
    const { grant: kept } = outcomeOf(changed, 're-authentication: allowed').next.context
    expect([kept?.authenticatedAtMs, kept?.properties, kept?.propertySources]).toEqual([
      grant.authenticatedAtMs + 1,
      { department: 'sales' },
      { department: 'server' },
    ])
    expect(Object.isFrozen(kept)).toBe(true)
  })

  it('semantics 7.1: what the server changes is another grant, and frozen', () => {
    for (const step of ['change roles', 'change properties'] as const) {
      const before = reach('online')
      const { grant: after } = outcomeOf(before, step).next.context
      expect([before.context.grant, after === before.context.grant]).toEqual([grant, false])
      const changed = step === 'change roles' ? after?.roles : after?.properties
      expect([Object.isFrozen(after), Object.isFrozen(changed)]).toEqual([true, true])
    }
    const { sessionAttributes } = outcomeOf(reach('online'), 'change attributes').next.context
    expect([Object.isFrozen(sessionAttributes), Object.getPrototypeOf(sessionAttributes)]).toEqual([true, null])
  })

  it('semantics 7.2: a revoked session has no will to send, whatever state it was in', () => {
    for (const state of live) {
      const { effects, leaves, next } = outcomeOf(reach(state), 'revoke')
      const hadGrant = state.startsWith('online') || state.startsWith('offline')
      expect([state, effects.includes('withholdWill'), next.context.standing]).toEqual(
        hadGrant ? [state, true, 'revoked'] : [state, false, 'valid'],
      )
      expect(effects.filter((effect) => /^(releaseWill|supersedeWill)$/.test(effect))).toEqual([])
      expect([state, leaves === 'expired' || leaves === 'offline']).toEqual([state, true])
    }
  })

  it('attributes of a connection end with it, those of the session stay', () => {
    const steps = ['change attributes', 'change attributes of the connection'] as const
    for (const end of ['connection closed', 'takeover', 'server disconnect'] as const) {
      let at = reach('online, lasting')
      for (const step of steps) at = outcomeOf(at, step).next
      expect(at.context.connectionAttributes).toEqual({ tries: 3 })
      const { context } = outcomeOf(at, end).next
      expect([context.sessionAttributes, context.connectionAttributes]).toEqual([{ trusted: true }, {}])
    }
  })

  it('a connection that continues the session brings a grant that is valid', () => {
    for (const state of ['online.lapsed', 'offline, revoked'] as const) {
      const { next, leaves } = outcomeOf(reach(state), 'resume')
      expect([leaves.startsWith('online(valid'), next.context.standing]).toEqual([true, 'valid'])
    }
  })

  it('a refusal is the only thing that emits session.refused, with the code the client gets', () => {
    for (const { effects } of heard(live)) {
      const emitted = effects.find((effect) => effect.startsWith('emits {"type":"session.refused"'))
      if (emitted === undefined) continue
      const code = /"reasonCode":(\d+)/.exec(emitted)?.[1]
      expect(effects.filter((effect) => effect.startsWith(`refuse {"reasonCode":${code},`))).toHaveLength(1)
    }
  })
})
