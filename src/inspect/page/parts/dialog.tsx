import type { ComponentChildren, JSX } from 'preact'
import { useId, useLayoutEffect, useRef } from 'preact/hooks'

export interface DialogProps {
  readonly title: string
  readonly onClose: () => void
  readonly children: ComponentChildren
}

/** A modal box: the browser's own, so that focus stays in it, Escape closes it, and focus returns afterwards. */
export function Dialog({ title, onClose, children }: DialogProps): JSX.Element {
  const box = useRef<HTMLDialogElement>(null)
  const titleId = useId()
  // At once, not after the next frame: whoever presses Escape right behind the click that opened it means this box.
  useLayoutEffect(() => {
    const { current } = box
    current?.showModal()
    return () => current?.close()
  }, [])
  return (
    <dialog ref={box} aria-labelledby={titleId} onClose={onClose}>
      <h2 id={titleId}>{title}</h2>
      {children}
    </dialog>
  )
}
