import type { JSX } from 'preact'

/** The mark: two states, one of them lit, and the ways between them. */
export function Mark(): JSX.Element {
  return (
    <svg class="mark" viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
      <rect x="2" y="9" width="12" height="14" rx="4" class="mark-off" />
      <rect x="18" y="9" width="12" height="14" rx="4" class="mark-on" />
      <path d="M8 5.5V4.5h16v2.2M24 26.5v1H8v-2.2" class="mark-line" />
    </svg>
  )
}
