import type { JSX } from 'preact'

import { piecesOf, plainOf } from './hostile.ts'

export interface ClientTextProps {
  readonly value: string
  /** One line, cut where it gets too long; the title has all of it. Default: wraps. */
  readonly oneLine?: boolean
  /** Shown where the text is empty. Default: `empty`. */
  readonly empty?: string
  readonly class?: string
}

/** Text that a client chose: always in this element, so that its direction and its length stay its own. */
export function ClientText({
  value,
  oneLine = false,
  empty = 'empty',
  class: className = '',
}: ClientTextProps): JSX.Element {
  const pieces = piecesOf(value)
  const classes = `client-text ${oneLine ? 'one-line' : ''} ${className}`
  return (
    <bdi class={classes} {...(oneLine ? { title: plainOf(value) } : {})}>
      {pieces.length === 0 ? <i class="quiet">{empty}</i> : null}
      {pieces.map(({ text, named }, index) =>
        named === undefined ? (
          text
        ) : (
          <span key={index} class="odd-character" data-name={named}>
            {named}
          </span>
        ),
      )}
    </bdi>
  )
}
