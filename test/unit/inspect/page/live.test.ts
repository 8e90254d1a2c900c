/** What the page makes of the broker's streams: events, counts on the chart, steps shown one by one, and sentences. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { sessionMachine } from '../../../../machines/index.ts'
import { describeChart, type ChartState } from '../../../../src/inspect/chart.ts'
import { layOutChart } from '../../../../src/inspect/layout.ts'
import {
  arrowKey,
  countsOf,
  familyOf,
  isOwn,
  keysOfStep,
  litBy,
  ratesBetween,
} from '../../../../src/inspect/page/chart/chart-model.ts'
import { Playback, type Frame } from '../../../../src/inspect/page/session/playback.ts'
import { stepInWords, storyOf } from '../../../../src/inspect/page/session/story.ts'
import { EventStreamParser } from '../../../../src/inspect/page/shell/event-stream.ts'
import type { Decision, TransitionRecord } from '../../../../src/inspection.ts'

describe('an event stream', () => {
  const text =
    'event: stats\ndata: {"a":1}\n\n: a comment\n\ndata: one\r\ndata:two\r\n\r\nevent: empty\n\nid: 4\nevent: last\ndata: x: y\n\n'
  const events = [
    { type: 'stats', data: '{"a":1}' },
    { type: 'message', data: 'one\ntwo' },
    { type: 'last', data: 'x: y' },
  ]

  test.each([1, 2, 3, 7, text.length])('in pieces of %d characters', (size) => {
    const parser = new EventStreamParser()
    const pieces = text.match(new RegExp(`[\\s\\S]{1,${size}}`, 'g')) ?? []
    expect(pieces.flatMap((piece) => parser.push(piece))).toEqual(events)
  })
})

describe('the chart', () => {
  const online = ['online.authority.valid', 'online.reauthentication.idle', 'online.delivery.flowing']

  test('knows every state of the machine that comes with statemq, and takes no other for one of them', () => {
    const pathsOf = ({ states = {} }: ChartState, path: readonly string[] = []): string[] =>
      Object.entries(states).flatMap(([name, state]) => [[...path, name].join('.'), ...pathsOf(state, [...path, name])])
    expect(pathsOf(describeChart(sessionMachine)).filter(isOwn)).toEqual([])
    expect(['online.quarantine', 'online.delivery.paused', 'banned', ''].filter((path) => !isOwn(path))).toEqual([])
    expect(familyOf('online.quarantine')).toBe('own')
  })

  test('counts each session once in every box that it is in', async () => {
    const layout = await layOutChart(describeChart(sessionMachine), 'right')
    const counts = countsOf(layout, {
      'authenticating.identity': 2,
      'authenticating.admission': 1,
      'online.authority.valid': 4,
      'online.authority.expiring': 1,
      'online.reauthentication.idle': 4,
      'online.reauthentication.underway.challenged': 1,
      'online.delivery.flowing': 5,
      offline: 7,
    })
    const shown = Object.fromEntries([...counts].filter(([, count]) => count > 0))
    expect(shown).toEqual({
      authenticating: 3,
      'authenticating.identity': 2,
      'authenticating.admission': 1,
      online: 5,
      'online.authority': 5,
      'online.authority.valid': 4,
      'online.authority.expiring': 1,
      'online.reauthentication': 5,
      'online.reauthentication.idle': 4,
      'online.reauthentication.underway': 1,
      'online.reauthentication.underway.challenged': 1,
      'online.delivery': 5,
      'online.delivery.flowing': 5,
      offline: 7,
    })
  })

  test('puts every flow that the machine can have on an arrow that is drawn, a loop, or a start', async () => {
    const layout = await layOutChart(describeChart(sessionMachine), 'right')
    const drawn = new Set(layout.arrows.map(({ from, to }) => `${from}>${to}`))
    const astray: string[] = []
    const walk = (state: ChartState, path: string): void => {
      const transitions = [...(state.always ?? []), ...Object.values(state.on ?? {}).flat()]
      for (const { target } of transitions) {
        const to = target?.[0]?.replace('#session.', '')
        if (to === undefined || path === '') continue
        const key = arrowKey(path, to)
        const [from, end] = key.split('>')
        if (from !== end && !drawn.has(key)) astray.push(`${path} → ${to}: ${key}`)
      }
      for (const [name, inner] of Object.entries(state.states ?? {}))
        walk(inner, path === '' ? name : `${path}.${name}`)
    }
    walk(describeChart(sessionMachine), '')
    expect(astray).toEqual([])
  })

  test('tells steps per second from two readings; what came anew counts from nothing, a restart from nothing too', () => {
    const flow = (from: string, to: string, count: number, event = 'x') => ({ from, event, to, count })
    const rates = ratesBetween(
      [flow('online', 'offline', 10), flow('offline', 'online', 5)],
      [
        flow('online', 'offline', 30),
        flow('offline', 'online', 5),
        flow('authenticating.claiming', 'online', 4),
        flow('', 'connecting', 8),
      ],
      4,
    )
    expect(Object.fromEntries(rates)).toEqual({ 'online>offline': 5, 'authenticating>online': 1, '>connecting': 2 })
    expect(ratesBetween([flow('online', 'offline', 10)], [flow('online', 'offline', 3)], 1).size).toBe(0)
  })

  test('lights a state with all that it is in, and finds the arrows of a step', () => {
    expect([...litBy(['online.delivery.flowing'])]).toEqual(['online', 'online.delivery', 'online.delivery.flowing'])
    expect(keysOfStep(['authenticating.claiming'], online)).toEqual(['authenticating>online'])
    expect(keysOfStep(online, ['offline'])).toEqual(['online>offline'])
    expect(keysOfStep(online, [...online.slice(0, 2), 'online.delivery.throttled'])).toEqual([
      'online.delivery.flowing>online.delivery.throttled',
    ])
  })
})

let sequence = 0
function record(
  sessionId: string,
  from: readonly string[],
  to: readonly string[],
  rest: Partial<TransitionRecord> = {},
): TransitionRecord {
  sequence += 1
  return {
    sequence,
    atMs: 1_000 * sequence,
    sessionId,
    clientId: 'press',
    event: 'x',
    from,
    to,
    decision: null,
    ...rest,
  }
}

describe('playback', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  function played() {
    const frames: Frame[] = []
    const playback = new Playback((frame) => frames.push(frame))
    return {
      playback,
      lit: () => frames.map(({ lit, ghost }) => [...lit, ...ghost.map((path) => `(${path})`)].join('+')),
      frames,
    }
  }

  test('shows steps that came at once one after the other', () => {
    const { playback, lit } = played()
    playback.add(record('s1', ['connecting'], ['authenticating.identity']))
    playback.add(record('s1', ['authenticating.identity'], ['online.a']))
    expect(lit()).toEqual(['connecting'])
    vi.advanceTimersByTime(450)
    expect(lit()).toEqual(['connecting', 'authenticating.identity'])
    vi.runAllTimers()
    expect(lit()).toEqual(['connecting', 'authenticating.identity', 'online.a'])
  })

  test('keeps the living session lit while another connection passes by, and hands over where that one comes in', () => {
    const { playback, lit } = played()
    playback.settle('s1', ['online.a'], true)
    playback.add(record('s2', ['connecting'], ['authenticating.identity']))
    playback.add(record('s2', ['authenticating.identity'], ['expired']))
    vi.runAllTimers()
    expect(lit()).toEqual(['online.a', 'online.a+(authenticating.identity)', 'online.a'])
    playback.add(record('s1', ['online.a'], ['expired']))
    playback.add(record('s3', ['authenticating.claiming'], ['online.a']))
    vi.runAllTimers()
    expect(lit().slice(3)).toEqual(['expired', 'authenticating.claiming', 'online.a'])
  })

  test('takes a reading for granted only where no step came after it', () => {
    const { playback, lit } = played()
    playback.settle('s1', ['online.a'], true)
    playback.add(record('s1', ['online.a'], ['offline']))
    playback.settle('s1', ['offline'], true)
    vi.runAllTimers()
    expect(lit()).toEqual(['online.a', 'offline'])
    playback.settle('s1', ['online.a'], true)
    expect(lit()).toEqual(['online.a', 'offline', 'online.a'])
  })

  test('hurries when much waits, and forgets what nobody could follow', () => {
    const { playback, frames } = played()
    for (let i = 0; i < 200; i++) playback.add(record('s1', [`online.${i}`], [`online.${i + 1}`]))
    vi.advanceTimersByTime(60_000)
    expect(frames.length).toBeLessThan(50)
    expect(frames.at(-1)?.lit).toEqual(['online.200'])
  })
})

describe('the story of a session that is gone', () => {
  const said = (
    by: Decision['by'],
    name: string,
    reason: string,
    reasonCode: Decision['reasonCode'] = null,
  ): Decision => ({
    by,
    name,
    reason,
    reasonCode,
    rule: null,
  })

  test('says how it ended, and how another connection was refused', () => {
    const records = [
      record('s1', ['offline'], ['expired'], {
        atMs: 10_000,
        decision: said('deadline', 'session expiry', '60 s without a connection'),
      }),
      record('s2', ['authenticating.identity'], ['expired'], {
        atMs: 20_000,
        decision: said('authenticator', 'users', 'wrong password', 0x86),
      }),
    ]
    expect(storyOf(undefined, records, 30_000)).toEqual([
      {
        kind: 'state',
        text: expect.stringMatching(
          /^No session lives under this client identifier\. The last one ended 20 s ago, at /,
        ),
        said: '60 s without a connection',
        by: 'deadline session expiry',
      },
      {
        kind: 'refusal',
        text: expect.stringMatching(/^A connection under this client identifier was refused 10 s ago, at [\d:]+\.$/),
        said: 'wrong password',
        by: 'authenticator users · 0x86 bad user name or password',
      },
    ])
  })

  test('does not take a connection that was handed over for one that was refused', () => {
    const handedOver = record('s2', ['authenticating.claiming'], ['expired'], {
      decision: said('guard', 'resumesIncumbent', 'goes on', 0x8e),
    })
    expect(storyOf(undefined, [handedOver], 30_000)).toEqual([
      { kind: 'state', text: 'No session lives under this client identifier.' },
    ])
  })

  test('tells a step without what stayed', () => {
    const online = ['online.authority.valid', 'online.delivery.flowing']
    expect([
      stepInWords({ from: ['connecting'], to: ['authenticating.identity'] }),
      stepInWords({ from: ['authenticating.claiming'], to: online }),
      stepInWords({ from: online, to: ['online.authority.valid', 'online.delivery.throttled'] }),
      stepInWords({ from: [], to: ['connecting'] }),
    ]).toEqual([
      { left: 'connecting', entered: 'authenticating.identity' },
      { left: 'authenticating.claiming', entered: 'online' },
      { left: 'online.delivery.flowing', entered: 'online.delivery.throttled' },
      { left: '', entered: 'connecting' },
    ])
  })
})
