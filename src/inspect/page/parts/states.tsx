import type { ComponentChildren, JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'

import { ApiError } from '../shell/api.ts'

/** While something is fetched; it shows after a moment only, so that what comes at once does not flicker. */
export function Loading({ what }: { readonly what: string }): JSX.Element | null {
  const [isDue, setDue] = useState(false)
  useEffect(() => {
    const timer = setTimeout(() => setDue(true), 250)
    return () => clearTimeout(timer)
  }, [])
  return <output class="state loading">{isDue ? `Fetching ${what} …` : ''}</output>
}

/** Nothing is there, and that is all right: says so, and what would bring something. */
export function Empty({
  title,
  children,
}: {
  readonly title: string
  readonly children?: ComponentChildren
}): JSX.Element {
  return (
    <div class="state empty">
      <p class="state-title">{title}</p>
      {children === undefined ? null : <p>{children}</p>}
    </div>
  )
}

/** Something went wrong: what, its code, and what can be done. */
export function Failure({ error, retry }: { readonly error: unknown; readonly retry?: () => void }): JSX.Element {
  const { message, code } = error instanceof ApiError ? error : { message: String(error), code: '' }
  return (
    <div class="state failure" role="alert">
      <p class="state-title">That did not work: {message}</p>
      {code === '' ? null : <p class="mono quiet">{code}</p>}
      {retry === undefined ? null : (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  )
}
