import type { Decision } from '../inspection.ts'
import type { ReasonCode } from '../reason-codes.ts'
import type { DecidingPermission } from '../roles.ts'

/** Authenticators and hooks write what they like into a reason; a history keeps many. */
const MAX_REASON_LENGTH = 256

/** Says who or what decided, and why. */
export function decided(
  by: Decision['by'],
  name: string,
  reason: string,
  reasonCode: ReasonCode | null = null,
  rule: DecidingPermission | null = null,
): Decision {
  return { by, name, reason: shortened(reason), reasonCode, rule }
}

/** No half of a character is left at the end. */
function shortened(text: string): string {
  if (text.length <= MAX_REASON_LENGTH) return text
  return `${text
    .slice(0, MAX_REASON_LENGTH - 1)
    .toWellFormed()
    .replace(/\uFFFD$/, '')}…`
}

/** The roles said no: by the permission that denied it, or because none allowed it. */
export function decidedByRoles(what: string, reasonCode: ReasonCode, rule: DecidingPermission | undefined): Decision {
  if (rule === undefined) return decided('role', '', `no permission of its roles allows ${what}`, reasonCode)
  return decided('role', rule.role, `a permission denies ${what}`, reasonCode, rule)
}

/** Where the client is sent instead is part of why it was sent away. */
export function withRedirect(reason: string, serverReference: string | undefined): string {
  return serverReference === undefined ? reason : `${reason}; sent to ${serverReference}`
}
