import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { TestCase, TestModule } from 'vitest/node'

import StandstillReporter from '../../support/standstill-reporter.ts'

const file = { moduleId: '/test/a.test.ts' } as TestModule
const testOf = (fullName: string): TestCase => ({ module: file, fullName }) as TestCase

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

test('what runs is said when nothing has ended for a while, and not before', () => {
  const said = vi.spyOn(console, 'log').mockImplementation(() => {})
  const reporter = new StandstillReporter()
  reporter.onTestRunStart()
  reporter.onTestModuleStart(file)
  reporter.onTestCaseReady(testOf('first'))
  vi.advanceTimersByTime(149_000)
  reporter.onTestCaseResult()
  reporter.onTestCaseReady(testOf('hangs'))
  vi.advanceTimersByTime(149_000)
  expect(said).not.toHaveBeenCalled()
  vi.advanceTimersByTime(1_000)
  expect(said.mock.calls).toEqual([['No test has ended for 150 s. Running are:\n  /test/a.test.ts: hangs']])
  vi.advanceTimersByTime(150_000)
  expect(said).toHaveBeenCalledTimes(2)
  reporter.onTestModuleEnd(file)
  vi.advanceTimersByTime(150_000)
  expect(said).toHaveBeenLastCalledWith('No test has ended for 150 s. Running are: none')
  reporter.onTestRunEnd()
  vi.advanceTimersByTime(600_000)
  expect(said).toHaveBeenCalledTimes(3)
})
