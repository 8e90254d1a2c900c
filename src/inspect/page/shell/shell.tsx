import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'

import { nowMs } from '../parts/now.ts'
import { Empty } from '../parts/states.tsx'
import { pages } from '../pages.ts'
import { account, logOut } from './api.ts'
import { liveState, lostRecords } from './live.ts'
import { Mark } from './mark.tsx'
import { href, place } from './router.ts'
import { chooseTheme, themeChoice, type ThemeChoice } from './theme.ts'

function liveText(): { readonly text: string; readonly detail: string } {
  const { value } = liveState
  switch (value.type) {
    case 'idle':
      return { text: '', detail: '' }
    case 'connecting':
      return { text: 'connecting', detail: 'The page is asking the broker for its stream.' }
    case 'live':
      return lostRecords.value > 0
        ? {
            text: `live, ${lostRecords.value} left out`,
            detail: 'The broker sent less than there was: this page reads too slowly.',
          }
        : { text: 'live', detail: 'What happens in the broker shows here as it happens.' }
    case 'waiting': {
      const seconds = Math.max(1, Math.ceil((value.untilMs - nowMs.value) / 1_000))
      return { text: `no connection, again in ${seconds} s`, detail: value.reason }
    }
    case 'hidden':
      return { text: 'paused', detail: 'Nobody looked.' }
  }
}

function LiveBadge(): JSX.Element {
  const { text, detail } = liveText()
  return (
    <span class="live" data-state={liveState.value.type} title={detail}>
      <span class="live-dot" aria-hidden="true" />
      {text}
      {/* Said only when it changes in kind: not every second of a countdown. */}
      <output class="sr-only">
        {liveState.value.type === 'waiting'
          ? 'connection to the broker lost'
          : liveState.value.type === 'live'
            ? 'live'
            : ''}
      </output>
    </span>
  )
}

const nextTheme: Readonly<Record<ThemeChoice, ThemeChoice>> = { system: 'light', light: 'dark', dark: 'system' }

function ThemeButton(): JSX.Element {
  const choice = themeChoice.value
  return (
    <button
      type="button"
      class="quiet-button"
      aria-label={`Theme: ${choice}. Change to ${nextTheme[choice]}`}
      title={`Theme: ${choice}`}
      onClick={() => chooseTheme(nextTheme[choice])}
    >
      <svg viewBox="0 0 20 20" width="16" height="16" aria-hidden="true" class={`theme-icon ${choice}`}>
        <circle cx="10" cy="10" r="7.2" fill="none" stroke="currentColor" stroke-width="1.6" />
        {choice === 'light' ? null : (
          <path
            d={
              choice === 'dark'
                ? 'M10 2.8a7.2 7.2 0 1 1 0 14.4a7.2 7.2 0 1 1 0-14.4'
                : 'M10 2.8v14.4a7.2 7.2 0 0 0 0-14.4'
            }
            fill="currentColor"
          />
        )}
      </svg>
    </button>
  )
}

function AccountNote(): JSX.Element | null {
  const { value } = account
  if (typeof value !== 'object') return null
  return (
    <span class="account">
      <span title={value.role === 'operate' ? 'You may change things.' : 'You may look, and change nothing.'}>
        {value.name} · {value.role}
      </span>
      <button type="button" class="link" onClick={() => void logOut()}>
        Log out
      </button>
    </span>
  )
}

/** What is around every page. */
export function Shell(): JSX.Element {
  const { page: path, names, search } = place.value
  const page = pages.find((one) => one.path === path)
  const main = useRef<HTMLElement>(null)
  const wanted = [path, ...names].join('/')
  const last = useRef(wanted)
  useEffect(() => {
    document.title = `${page?.title ?? 'Not found'} · statemq`
    // Who uses the keyboard or a screen reader is at the new page's beginning, but not at the first one's.
    if (last.current !== wanted) main.current?.focus()
    last.current = wanted
  }, [wanted])
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), main.current?.focus())}>
        Skip to the page
      </a>
      <header class="top">
        <a class="brand" href={href('')} aria-label="statemq, overview">
          <Mark /> statemq
        </a>
        <nav aria-label="Pages">
          {pages
            .filter(({ inNavigation }) => inNavigation)
            .map(({ path: target, title }) => (
              <a
                key={target}
                href={href(target)}
                aria-current={
                  target === path ? 'page' : target === 'sessions' && path === 'session' ? 'true' : undefined
                }
              >
                {title}
              </a>
            ))}
        </nav>
        <div class="tools">
          <LiveBadge />
          <AccountNote />
          <ThemeButton />
        </div>
      </header>
      <main id="main" ref={main} tabIndex={-1} key={wanted}>
        {page ? (
          <page.view names={names} search={search} />
        ) : (
          <Empty title="There is no such page">
            <a href={href('')}>To the overview</a>
          </Empty>
        )}
      </main>
    </>
  )
}
