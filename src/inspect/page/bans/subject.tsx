import type { JSX } from 'preact'

import { ClientText } from '../parts/client-text.tsx'

/** A ban as `GET /api/v1/bans` answers it. */
export interface BanRow {
  readonly id: string
  readonly clientId: string | null
  readonly principal: string | null
  readonly address: string | null
  readonly reason: string
  readonly by: 'operator' | 'configuration' | 'broker'
  readonly createdAtMs: number
  /** Null: until it is lifted. */
  readonly untilMs: number | null
}

/** Whom a ban is about: where it names several things, all of them have to be so. */
export function Subject({ ban, oneLine = false }: { readonly ban: BanRow; readonly oneLine?: boolean }): JSX.Element {
  const { clientId, principal, address } = ban
  const parts = [
    ['client', clientId],
    ['principal', principal],
    [clientId === null && principal === null ? 'everybody from' : 'from', address],
  ] as const
  return (
    <span class="ban-subject">
      {parts.map(([what, value]) =>
        value === null ? null : (
          <span key={what} class="ban-part">
            <span class="quiet">{what}</span> <ClientText value={value} oneLine={oneLine} />
          </span>
        ),
      )}
    </span>
  )
}
