import type { AllowPublish, Deny, Grant, Next } from '../hooks.ts'
import type { Message, WillPacket } from '../messages.ts'
import { Publication } from '../publication.ts'
import { ReasonCode } from '../reason-codes.ts'
import type { Decision } from '../auth/access.ts'
import type { DecidingPermission } from '../roles.ts'
import { accessOfGrant } from './access.ts'
import type { SessionCore } from './core.ts'
import { hookDenied, hookFailed, withTimeout } from './decide.ts'
import { checkChanges } from './message-check.ts'
import type { Session } from './session.ts'

/** Who a will is decided for: its session, or what is known of one that has ended. */
export type WillOwner = Pick<Session, 'core' | 'clientId' | 'policy' | 'hookClient'>

/** A denial, and the permission behind it. */
export type WillDenial = Deny & { readonly rule?: DecidingPermission | undefined }

/** What would become of a will if it fired now. */
export interface WillJudgement {
  readonly verdict: 'publish' | 'withhold'
  /** In words. */
  readonly reason: string
  /** The permission that decided; undefined: none did. */
  readonly rule: DecidingPermission | undefined
}

/** What roles say; undefined: none are configured. */
export function permissionFor(
  { core, clientId }: Pick<WillOwner, 'core' | 'clientId'>,
  grant: Grant | undefined,
  { topic, qos, retain }: Pick<WillPacket, 'topic' | 'qos' | 'retain'>,
): Decision | undefined {
  return accessOfGrant(core, clientId, grant)?.explainPublish(topic, qos, retain)
}

/** By the roles in force and the grant; the secret that was behind it is not asked about again (semantics 7.2). */
export function deniedByRoles(
  owner: Pick<WillOwner, 'core' | 'clientId'>,
  grant: Grant | undefined,
  will: Pick<WillPacket, 'topic' | 'qos' | 'retain'>,
): WillDenial | undefined {
  const decision = permissionFor(owner, grant, will)
  if (decision === undefined || decision.allowed) return undefined
  return { type: 'deny', reasonCode: ReasonCode.NotAuthorized, reason: 'not authorized', rule: decision.rule }
}

/** Asks roles and hook about a will: at CONNECT, and again when it is due. */
export async function decideWill(
  owner: WillOwner,
  grant: Grant | undefined,
  will: WillPacket,
): Promise<Next | WillDenial | AllowPublish> {
  const { core, clientId, policy } = owner
  const { onPublish } = policy.hooks
  const denial = deniedByRoles(owner, grant, will)
  if (denial) return denial
  if (!onPublish || !grant) return { type: 'next' }
  const message: Message = {
    topic: will.topic,
    payload: will.payload,
    qos: will.qos,
    retain: will.retain,
    properties: will.properties,
    publisher: clientId,
  }
  const asked = { ...owner.hookClient, grant }
  try {
    const decision = Promise.resolve(onPublish({ message, will: true }, asked))
    const verdict = await withTimeout(core.clock, policy.limits.decisionTimeoutMs, 'onPublish', decision)
    if (verdict?.type === 'allow') checkChanges(verdict)
    // It may have put another topic in place, and the roles may be others by now.
    if (verdict?.type === 'allow' || verdict?.type === 'next')
      return deniedByRoles(owner, grant, { ...will, ...changesOf(verdict) }) ?? verdict
    if (verdict?.type === 'deny') {
      hookDenied(core.events, 'onPublish', clientId, verdict)
      return verdict
    }
    throw new TypeError('onPublish gave no verdict')
  } catch (error) {
    hookFailed(core.events, 'onPublish', clientId, error)
    return { type: 'deny', reasonCode: ReasonCode.NotAuthorized, reason: 'the decision failed' }
  }
}

/** What a verdict changes of what permissions are about. */
export function changesOf(verdict: Next | AllowPublish): Partial<Pick<WillPacket, 'topic' | 'qos' | 'retain'>> {
  if (verdict.type === 'next') return {}
  const { topic, qos, retain } = verdict
  return {
    ...(topic === undefined ? {} : { topic }),
    ...(qos === undefined ? {} : { qos }),
    ...(retain === undefined ? {} : { retain }),
  }
}

export function willPublication(
  core: SessionCore,
  clientId: string,
  will: WillPacket,
  verdict: Next | AllowPublish,
): Publication {
  const changes = verdict.type === 'allow' ? verdict : undefined
  const payload = changes?.payload ? Buffer.from(changes.payload) : will.payload
  const publication = new Publication(
    changes?.topic ?? will.topic,
    changes?.qos ?? will.qos,
    changes?.retain ?? will.retain,
    false,
    0,
    payload,
    0,
    payload.length,
  )
  publication.properties = changes?.properties ?? will.properties
  publication.publisher = clientId
  publication.startExpiry(core.clock)
  return publication
}
