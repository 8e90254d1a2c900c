/** Live views of sessions: what is there first, then what changes, with the values before. */
import { map } from 'rxjs'
import { describe, expect, test } from 'vitest'

import type { SessionChange } from '../../src/index.ts'
import { startScene } from './sessions-scene.ts'

/** A change in few words. */
function brief(change: SessionChange): unknown[] {
  const head = [change.type, change.session.clientId]
  if (change.type === 'changed') return [...head, change.changes]
  if (change.type !== 'removed') return head
  return change.reason === 'ended' ? [...head, 'ended', change.end] : [...head, 'no-match', change.changes]
}

function watched(t: ReturnType<typeof startScene>, filter: string) {
  const changes: SessionChange[] = []
  const subscription = t.sessions.watch(filter).subscribe((change) => changes.push(change))
  /** What was told since the last call. */
  const taken = async (): Promise<unknown[][]> => {
    await t.settle()
    return changes.splice(0).map(brief)
  }
  return { taken, subscription, changes }
}

describe('semantics 7.13', () => {
  test('a watch begins with what is there and goes on with changes and their previous values', async () => {
    const t = startScene()
    const a = await t.stay('a', { roles: ['r'], properties: { Floor: '1' } })
    await t.join('b')
    const { taken } = watched(t, `hasRoles ['r']`)
    expect(await taken()).toEqual([['initial', 'a']])

    t.view('a').setProperties({ Floor: '2', Room: '7' })
    t.view('a').setAttributes({ level: 1 }, { scope: 'session' })
    t.view('a').setAttributes({ seen: true }, { scope: 'connection' })
    t.view('b').setAttributes({ level: 1 }, { scope: 'session' })
    expect(await taken()).toEqual([
      [
        'changed',
        'a',
        { properties: { Floor: { value: '2', previous: '1' }, Room: { value: '7', previous: undefined } } },
      ],
      ['changed', 'a', { sessionAttributes: { level: { value: 1, previous: undefined } } }],
      ['changed', 'a', { connectionAttributes: { seen: { value: true, previous: undefined } } }],
    ])

    t.view('b').changeRoles({ add: ['r', 's'] })
    t.view('a').changeRoles({ add: ['s'] })
    expect(await taken()).toEqual([
      ['added', 'b'],
      ['changed', 'a', { roles: { value: ['r', 's'], previous: ['r'] } }],
    ])

    t.view('a').changeRoles({ remove: ['r'] })
    t.view('a').setProperties({ Floor: '3' })
    expect(await taken()).toEqual([['removed', 'a', 'no-match', { roles: { value: ['s'], previous: ['r', 's'] } }]])

    t.view('a').changeRoles({ add: ['r'] })
    expect(await taken()).toEqual([['added', 'a']])
    a.drop()
    expect(await taken()).toEqual([
      [
        'changed',
        'a',
        {
          state: { value: 'offline', previous: 'online' },
          connectionAttributes: { seen: { value: undefined, previous: true } },
        },
      ],
    ])
    await t.advance(61_000)
    expect(await taken()).toEqual([['removed', 'a', 'ended', 'session-expired']])
    t.view('b').expire()
    expect(await taken()).toEqual([['removed', 'b', 'ended', 'administrative']])
  })

  test('connections that come and go are told, also where another one takes over', async () => {
    const t = startScene({ takeover: 'anyone' })
    const { taken } = watched(t, `$Principal like 'a*'`)
    const a = await t.stay('a', { principal: 'ann' })
    await t.join('b', { principal: 'ben' })
    expect(await taken()).toEqual([['added', 'a']])
    a.drop()
    await t.settle()
    await t.stay('a', { principal: 'ann' })
    expect((await taken()).map(([type, , changes]) => [type, (changes as { state?: unknown }).state])).toEqual([
      ['changed', { value: 'offline', previous: 'online' }],
      ['changed', { value: 'online', previous: 'offline' }],
    ])
    await t.stay('a', { principal: 'amy' }, { version: 4, properties: {} })
    expect(await taken()).toEqual([
      [
        'changed',
        'a',
        {
          properties: {
            $Principal: { value: 'amy', previous: 'ann' },
            $ProtocolVersion: { value: '4', previous: '5' },
          },
        },
      ],
    ])
    await t.stay('a', { principal: 'ben' })
    expect((await taken()).map(([type, id, reason]) => [type, id, reason])).toEqual([['removed', 'a', 'no-match']])
  })

  test('a revoked grant is told', async () => {
    const t = startScene()
    await t.stay('a')
    const { taken } = watched(t, 'all')
    await taken()
    t.view('a').revoke()
    const [change] = await taken()
    expect(change?.[2]).toMatchObject({
      state: { value: 'offline', previous: 'online' },
      standing: { value: 'revoked', previous: 'valid' },
    })
  })

  test('what makes no difference is not told', async () => {
    const t = startScene()
    const a = await t.stay('a')
    const { taken } = watched(t, 'all')
    await taken()
    await a.subscribe(['x/#'])
    await a.publish({ topic: 'y', qos: 1 })
    // The same client over another connection, with the same rights.
    await t.stay('a')
    t.view('a').setAttributes({ none: null }, { scope: 'session' })
    expect(await taken()).toEqual([])
  })
})

describe('observers', () => {
  test('one that throws is unsubscribed and logged, and hurts nobody', async () => {
    const errors: object[] = []
    const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: (details: object) => errors.push(details) }
    const t = startScene({ logger })
    await t.join('a')
    await t.join('b')
    let calls = 0
    t.sessions.watch('all').subscribe(() => {
      calls++
      throw new Error('planted')
    })
    t.sessions
      .watch('all')
      .pipe(
        map(() => {
          calls++
          throw new Error('planted in an operator')
        }),
      )
      .subscribe()
    const { taken } = watched(t, 'all')
    expect(await taken()).toEqual([
      ['initial', 'a'],
      ['initial', 'b'],
    ])
    t.view('a').setAttributes({ x: 1 }, { scope: 'session' })
    expect(await taken()).toHaveLength(1)
    expect(calls).toBe(2)
    expect(errors).toHaveLength(2)
    expect(t.state('a')).toBe('online')
  })

  test('a slow one delays itself only: others have their turns between its calls', async () => {
    const t = startScene()
    for (let i = 0; i < 50; i++) await t.join(`c${i}`)
    let told = 0
    let turns = 0
    const finished = new Promise<void>((resolve) => {
      t.sessions.watch('all').subscribe(() => {
        const end = performance.now() + 2
        while (performance.now() < end);
        if (++told === 50) resolve()
      })
    })
    const count = (): void => {
      turns++
      if (told < 50) setImmediate(count)
    }
    setImmediate(count)
    await finished
    expect(turns).toBeGreaterThan(10)
  })

  test('it may change sessions, and hears of that in its turn', async () => {
    const t = startScene()
    await t.join('a')
    const seen: unknown[][] = []
    t.sessions.watch('all').subscribe((change) => {
      seen.push(brief(change))
      if (change.type === 'initial') change.session.changeRoles({ add: ['r'] })
    })
    await t.settle()
    expect(seen).toEqual([
      ['initial', 'a'],
      ['changed', 'a', { roles: { value: ['r'], previous: [] } }],
    ])
  })

  test('each subscription is a watch of its own, and unsubscribing ends it', async () => {
    const t = startScene()
    await t.join('a')
    const watch = t.sessions.watch('all')
    const seen: string[] = []
    const one = watch.subscribe(({ type }) => seen.push(`one ${type}`))
    await t.settle()
    watch.subscribe(({ type }) => seen.push(`two ${type}`))
    one.unsubscribe()
    await t.join('b')
    await t.settle()
    expect(seen).toEqual(['one initial', 'two initial', 'two added'])
  })

  test('completes when the broker has stopped, behind what it still had to tell', async () => {
    const t = startScene()
    await t.join('a')
    const seen: string[] = []
    t.sessions.watch('all').subscribe({
      next: (change) => seen.push(brief(change).join(' ')),
      complete: () => seen.push('complete'),
    })
    await t.broker.close()
    expect(seen).toEqual(['initial a', 'removed a ended shutdown', 'complete'])
  })
})
