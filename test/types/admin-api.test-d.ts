import { expectTypeOf, test } from 'vitest'
import type { z } from 'zod'

import type { ChartLayout } from '../../src/chart-layout.ts'
import type * as schemas from '../../src/inspect/schemas.ts'
import type * as ofSessions from '../../src/inspect/schemas-session.ts'
import type {
  BrokerStats,
  JobPage,
  RetainedMessage,
  RetainedPage,
  RoleSummary,
  SessionPage,
  SlowSubscriber,
  StatsSample,
  TransitionFlow,
  TransitionRecord,
} from '../../src/inspection.ts'

/** Every name at every depth, without what makes them readonly. */
type Plain<T> = T extends string | number | boolean | null | undefined
  ? T
  : T extends readonly (infer Item)[]
    ? Plain<Item>[]
    : { -readonly [Name in keyof T]: Plain<T[Name]> }

/** The schemas of the admin API are the types of src/inspection.ts: a field that is new in one is missed in the other. */
test('the admin API answers with what src/inspection.ts names', () => {
  expectTypeOf<Plain<z.input<typeof schemas.brokerStats>>>().toEqualTypeOf<Plain<BrokerStats>>()
  expectTypeOf<Plain<z.input<typeof schemas.statsSample>>>().toEqualTypeOf<Plain<StatsSample>>()
  expectTypeOf<Plain<z.input<typeof schemas.flow>>>().toEqualTypeOf<Plain<TransitionFlow>>()
  expectTypeOf<keyof z.input<typeof schemas.transitionRecord>>().toEqualTypeOf<keyof TransitionRecord>()
  expectTypeOf<Plain<z.input<typeof ofSessions.sessionPage>>>().toEqualTypeOf<Plain<SessionPage>>()
  expectTypeOf<Plain<z.input<typeof schemas.slowSubscriber>>>().toEqualTypeOf<Plain<SlowSubscriber>>()
  expectTypeOf<Plain<z.input<typeof schemas.retainedPage>>>().toEqualTypeOf<Plain<RetainedPage>>()
  expectTypeOf<Plain<z.input<typeof schemas.retainedMessage>>['topic']>().toEqualTypeOf<RetainedMessage['topic']>()
  expectTypeOf<keyof z.input<typeof schemas.retainedMessage>>().toEqualTypeOf<keyof RetainedMessage>()
  expectTypeOf<Plain<z.input<typeof schemas.jobPage>>>().toEqualTypeOf<Plain<JobPage>>()
  expectTypeOf<Plain<z.input<typeof schemas.role>>>().toEqualTypeOf<Plain<RoleSummary>>()
  expectTypeOf<Plain<z.input<typeof schemas.chartLayout>>>().toEqualTypeOf<Plain<ChartLayout>>()
})
