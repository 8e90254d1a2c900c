import type { JSX } from 'preact'

import { ClientText } from '../parts/client-text.tsx'

export function SessionPage({ names }: { readonly names: readonly string[] }): JSX.Element {
  return (
    <h1>
      Session <ClientText value={names[0] ?? ''} />
    </h1>
  )
}
