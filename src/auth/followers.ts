import { createHash } from 'node:crypto'

import type { Grant, GrantVerdict } from '../hooks.ts'

/** Whom an authenticator tells that it may think differently of what it has granted: the brokers that use it. */
export class Followers {
  readonly #all = new Set<() => Promise<void>>()

  add(changed: () => Promise<void>): () => void {
    // One of its own for each broker, since two may give the same.
    const one = (): Promise<void> => changed()
    this.#all.add(one)
    return () => void this.#all.delete(one)
  }

  /** Resolves when all of them have looked at their sessions. */
  async tell(): Promise<void> {
    await Promise.allSettled(Array.from(this.#all, (changed) => changed()))
  }
}

/** Names what is stored to recognise a password, without being good for anything else. */
export function credentialOf(...stored: readonly (string | Buffer)[]): string {
  const hash = createHash('sha256')
  for (const part of stored) hash.update(part)
  return hash.digest('base64url')
}

/** Of a principal that is still known: by what its connection proved, where there is one, and what it would have to prove now. */
export function verdictOn(proved: string | undefined, present: string | undefined): GrantVerdict {
  return proved === undefined || proved === present ? 'holds' : 'outdated'
}

/** The account was given an end that is over, and that the grant knows nothing of. */
export function hasEnded(user: { readonly expiresAtMs?: number | undefined }, grant: Grant, nowMs: number): boolean {
  const endsAtMs = user.expiresAtMs ?? Infinity
  return endsAtMs <= nowMs && endsAtMs < (grant.expiresAtMs ?? Infinity)
}
