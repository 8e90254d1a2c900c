import { describe, expect, test } from 'vitest'

import { compileRoles } from '../../../src/auth/access-policy.ts'
import type { RoleDefinitions } from '../../../src/roles.ts'
import { explainAccess, type AccessQuestion } from '../../../src/session/explain-access.ts'
import type { Session } from '../../../src/session/session.ts'

const definitions: RoleDefinitions = {
  device: {
    permissions: [
      { topic: 'devices/%c/#', allow: ['publish', 'subscribe'] },
      { topic: 'devices/+/secret', deny: 'subscribe' },
      { topic: 'jobs', allow: 'subscribe', qos: [0, 1], group: 'workers' },
    ],
  },
  operator: { include: ['device'] },
}

/** What is needed of a session. */
function session(changes: { roles?: RoleDefinitions; refuses?: boolean; hasRights?: boolean } = {}): Session {
  const { roles = definitions, refuses = false, hasRights = true } = changes
  return {
    clientId: 'c1',
    hasRights,
    grant: { principal: 'ann', roles: ['operator', 'unknown'], properties: {} },
    policy: { limits: { maxTopicLevels: 10 } },
    core: {
      policyVersion: 7,
      roles: { policy: compileRoles(roles, 7), partialSubscriptions: refuses ? 'refuse' : 'filter' },
    },
  } as unknown as Session
}

const frame = { roles: ['device', 'operator'], policyVersion: 7 }
const rule = (index: number) => {
  const { topic, deny } = definitions['device']!.permissions![index]!
  return { role: 'device', index, effect: deny === undefined ? 'allow' : 'deny', topic }
}
const own = 'role "device", permissions[0] allows "devices/%c/#"'
const secret = 'role "device", permissions[1] denies "devices/+/secret"'

describe('explainAccess', () => {
  test.each<[AccessQuestion, string, number | undefined, number | undefined, string]>([
    [{ action: 'publish', topic: 'devices/c1/x' }, 'allow', undefined, 0, own],
    [{ action: 'publish', topic: 'devices/c2/x' }, 'deny', undefined, undefined, 'no permission allows it'],
    [{ action: 'deliver', topic: 'devices/c1/x', qos: 2 }, 'allow', 2, 0, own],
    [{ action: 'deliver', topic: 'devices/c1/secret' }, 'deny', undefined, 1, secret],
    [{ action: 'deliver', topic: 'jobs' }, 'deny', undefined, undefined, 'no permission allows it'],
    [
      { action: 'deliver', topic: 'jobs', qos: 2, group: 'workers' },
      'allow',
      1,
      2,
      'role "device", permissions[2] allows "jobs"',
    ],
    [{ action: 'subscribe', topic: 'devices/c1/x/+', qos: 1 }, 'allow', 1, 0, own],
    [
      { action: 'subscribe', topic: '$share/workers/jobs', qos: 2 },
      'allow',
      1,
      2,
      'role "device", permissions[2] allows "jobs"',
    ],
    [{ action: 'subscribe', topic: 'devices/c1/secret' }, 'deny', undefined, 1, secret],
    [
      { action: 'subscribe', topic: 'devices/c1/#', qos: 1 },
      'filter',
      1,
      1,
      `${secret}, which is about a part of what the filter matches`,
    ],
    [{ action: 'subscribe', topic: '$SYS/#' }, 'deny', undefined, undefined, 'no permission allows it'],
  ])('%j', (question, verdict, qos, index, reason) => {
    expect(explainAccess(session(), question)).toEqual({
      ...frame,
      verdict,
      qos,
      rule: index === undefined ? undefined : rule(index),
      reason,
    })
  })

  test('a partial subscription where such are refused', () => {
    const explained = explainAccess(session({ refuses: true }), { action: 'subscribe', topic: '#' })
    expect(explained).toMatchObject({ verdict: 'deny', qos: undefined, rule: rule(1) })
  })

  test.each<[AccessQuestion, string]>([
    [{ action: 'publish', topic: 'a/#' }, '"a/#" is not valid'],
    [{ action: 'subscribe', topic: 'a/#/b' }, '"a/#/b" is not valid'],
    [{ action: 'publish', topic: '$SYS/x' }, 'only the broker publishes to this topic'],
  ])('%j is no matter of roles', (question, reason) => {
    expect(explainAccess(session(), question)).toEqual({
      ...frame,
      verdict: 'deny',
      qos: undefined,
      rule: undefined,
      reason,
    })
  })

  test('a grant without rights, and a broker without roles', () => {
    const question = { action: 'publish', topic: 'devices/c1/x' } as const
    expect(explainAccess(session({ hasRights: false }), question)).toMatchObject({
      verdict: 'deny',
      reason: 'the grant gives no right any more',
    })
    const open = session()
    Object.assign(open.core, { roles: { policy: undefined } })
    expect(explainAccess(open, question)).toMatchObject({
      verdict: 'allow',
      roles: [],
      reason: 'no roles are configured',
    })
  })
})
