import type { JSX } from 'preact'

import { BansPage } from './bans/bans-page.tsx'
import { OverviewPage } from './overview/overview-page.tsx'
import { JobsPage } from './jobs/jobs-page.tsx'
import { SessionPage } from './session/session-page.tsx'
import { SessionsPage } from './sessions/sessions-page.tsx'
import { TopicsPage } from './topics/topics-page.tsx'

/** A page of the inspector; `path` is the first part of its address, see `href` in shell/router.ts. */
export interface PageDefinition {
  readonly path: string
  readonly title: string
  /** Whether the navigation names it; the page of one session is reached from others. */
  readonly inNavigation: boolean
  /** `names` are the other parts of the address, decoded; `search` what follows its question mark. */
  readonly view: (props: { readonly names: readonly string[]; readonly search: URLSearchParams }) => JSX.Element | null
}

/** In the order of the navigation. */
export const pages: readonly PageDefinition[] = [
  { path: '', title: 'Overview', inNavigation: true, view: OverviewPage },
  { path: 'sessions', title: 'Sessions', inNavigation: true, view: SessionsPage },
  { path: 'topics', title: 'Topics', inNavigation: true, view: TopicsPage },
  { path: 'jobs', title: 'Jobs', inNavigation: true, view: JobsPage },
  { path: 'bans', title: 'Bans', inNavigation: true, view: BansPage },
  { path: 'session', title: 'Session', inNavigation: false, view: SessionPage },
]
