import type { Takeover } from '../../machines/session.machine.ts'
import { compileGlob } from '../auth/filter/glob.ts'
import { StatemqError } from '../errors.ts'
import type { Grant } from '../hooks.ts'
import type { ClientIdRules } from '../options.ts'
import type { Session } from './session.ts'

/** Which client identifiers a client may use, made ready. */
export interface ClientIdPolicy {
  readonly fromPrincipal: boolean
  readonly prefix: string | undefined
  readonly matches: ((clientId: string) => boolean) | undefined
}

/** Undefined: any identifier. Throws SMQ_OPTION_INVALID. */
export function clientIdPolicy(rules: ClientIdRules | undefined): ClientIdPolicy | undefined {
  const { fromPrincipal = false, prefix, pattern } = rules ?? {}
  if (!fromPrincipal && prefix === undefined && pattern === undefined) return undefined
  // Whatever begins with "a" would be everybody's whose name does.
  if (prefix !== undefined && /%u(%u|$)/.test(prefix))
    throw new StatemqError('SMQ_OPTION_INVALID', 'clientIds.prefix: something must follow %u')
  return { fromPrincipal, prefix, matches: pattern === undefined ? undefined : compileGlob(pattern) }
}

/**
 * Gives the newcomer the client identifier that it gets under the rules of its listener, now that it
 * is known who it is. Returns what speaks against it; then nothing has changed.
 */
export function settleClientId(session: Session, { principal }: Grant): string | undefined {
  const rules = session.policy.clientIds
  if (rules === undefined) return undefined
  if (rules.fromPrincipal && principal === undefined) return 'an anonymous client has no identifier'
  let clientId = rules.fromPrincipal ? principal! : session.clientId
  if (rules.prefix !== undefined) {
    const prefix = boundPrefix(rules.prefix, principal)
    if (prefix === undefined) return 'no client identifier is for this principal'
    // One of our making: asked for again after the registry changed, it has the prefix already.
    if (session.hasAssignedId && !rules.fromPrincipal && !clientId.startsWith(prefix)) clientId = prefix + clientId
    if (!clientId.startsWith(prefix)) return 'the client identifier has another prefix'
  }
  if (rules.matches?.(clientId) === false) return 'the client identifier does not match'
  // A principal may be longer than an identifier, and hold what MQTT can't carry.
  const isSendable = clientId.length > 0 && clientId.isWellFormed() && !clientId.includes('\0')
  if (!isSendable || Buffer.byteLength(clientId) > session.policy.limits.maxClientIdBytes)
    return 'the client identifier is not valid'
  if (clientId !== session.clientId) rename(session, clientId)
  return undefined
}

function rename(session: Session, clientId: string): void {
  session.clientId = clientId
  // Told in CONNACK as one that the client has not chosen.
  session.hasAssignedId = true
  if (session.request) session.request = { ...session.request, clientId }
  if (session.connectPacket) session.connectPacket = { ...session.connectPacket, clientId }
}

/** The prefix of this principal; undefined where it has none that is its own. */
function boundPrefix(prefix: string, principal: string | undefined): string | undefined {
  const [before, ...behind] = prefix.split('%u')
  if (behind.length === 0) return before
  if (principal === undefined || principal === '') return undefined
  // With "-" behind the name, "a-" begins the identifiers of "a" and those of "a-b".
  if (behind.some((text) => principal.includes(text))) return undefined
  return [before, ...behind].join(principal)
}

/** What is asked about a session that lives under the newcomer's client identifier; `owner` is whose it was then. */
export function takeoverOf(
  newcomer: Session,
  incumbent: Session,
  owner: Grant | undefined,
  { principal }: Grant,
  isAllowedByHook: boolean,
): Takeover {
  return {
    previousPrincipal: owner?.principal,
    nextPrincipal: principal,
    previousState: incumbent.state === 'online' ? 'online' : 'offline',
    policy: newcomer.policy.takeover,
    isAllowedByHook,
  }
}
