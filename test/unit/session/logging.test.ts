/** A pino logger fits as it is: what failed, and how, can be read in its lines. */
import { pino } from 'pino'
import { expect, test } from 'vitest'

import { startBroker } from '../../support/test-broker.ts'
import { connect } from '../../support/wire.ts'

interface Line {
  readonly msg: string
  readonly err?: { readonly message: string; readonly stack: string }
}

function startLogging(level: string) {
  const lines: Line[] = []
  const logger = pino({ level }, { write: (line: string) => void lines.push(JSON.parse(line) as Line) })
  const authenticate = (): never => {
    throw new Error('the directory is away')
  }
  const t = startBroker({ logger, authenticators: [{ name: 'directory', authenticate }] })
  return { ...t, lines }
}

test('a decision that failed', async () => {
  const t = startLogging('warn')
  await t.first(connect()).expectRefused(0x87)
  expect(t.lines.map(({ msg, err }) => [msg, err?.message])).toEqual([
    ['a hook failed; its verdict is no', 'the directory is away'],
  ])
})

test('the same as an event, where events are logged', async () => {
  const t = startLogging('debug')
  await t.first(connect()).expectRefused(0x87)
  await t.settle()
  const { err } = t.lines.find(({ msg }) => msg === 'hook.failed') ?? {}
  expect(err?.message).toBe('the directory is away')
})
