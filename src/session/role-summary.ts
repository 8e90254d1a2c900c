import type { PermissionSummary, RoleSummary } from '../inspection.ts'
import type { Permission, RoleDefinitions } from '../roles.ts'
import type { SessionIndex } from './session-index.ts'

/** Role definitions for those who look into a broker. */
export function summariseRoles(definitions: RoleDefinitions, index: SessionIndex): readonly RoleSummary[] {
  return Object.entries(definitions).map(([name, { include = [], permissions = [] }]) => ({
    name,
    include,
    permissions: permissions.map(summarisePermission),
    sessions: index.sizeOf('role', name),
  }))
}

function summarisePermission({ allow, deny, topic, qos, retain, shared, group }: Permission): PermissionSummary {
  return {
    effect: deny === undefined ? 'allow' : 'deny',
    actions: [allow ?? deny ?? []].flat(),
    topic,
    qos: qos ?? null,
    retain: retain ?? null,
    shared: shared ?? null,
    group: group ?? null,
  }
}
