import { hashSync } from '@node-rs/argon2'
import { expect } from 'vitest'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { send } from '../support/admin-api.ts'
import type { RunningCommand } from '../support/command.ts'
import { RawClient } from '../support/raw-client.ts'
import { tempFolder } from '../support/temp-files.ts'

const token = 'c'.repeat(40)
const endsAt = new Date(Date.now() + 86_400_000).toISOString()

/** Who there is, and what each may do. */
const users = {
  anna: { roles: ['operator', 'device'], properties: { site: 'north' }, expiresAt: endsAt },
  wil: { roles: [], properties: {} },
} as const

/**
 * Clients with names and passwords that are seen once, and whose sessions are kept: after each restart they must have the
 * rights that they were given. The admin API tells.
 */
export class CrashGrants {
  /** For the command line. */
  readonly config: string
  /** By client identifier, as the first process told them. */
  readonly #grants = new Map<string, unknown>()

  constructor() {
    const folder = tempFolder()
    const lines = Object.entries(users).map(([user, fields]) => {
      return JSON.stringify({ user, hash: hashSync(user, { memoryCost: 1_024, timeCost: 1 }), ...fields })
    })
    const passwords = ['{"format":"statemq-passwords","version":1}', ...lines, '']
    writeFileSync(join(folder, 'passwords'), passwords.join('\n'), { mode: 0o600 })
    this.config = join(folder, 'statemq.yaml')
    const yaml = `allowAnonymous: true
authenticators: [{ type: password-file, path: passwords }]
inspect: { port: 0, tokens: [{ name: checker, role: read, token: { file: token } }] }
`
    writeFileSync(join(folder, 'token'), token, { mode: 0o600 })
    writeFileSync(this.config, yaml)
  }

  /** They come, once, and go. */
  async begin(broker: RunningCommand): Promise<void> {
    for (const name of Object.keys(users)) {
      const client = await RawClient.tcp(broker.port)
      const properties = { sessionExpiryInterval: 3_600 }
      await client.connect({ clientId: `user-${name}`, username: name, password: name, cleanStart: false, properties })
      this.#grants.set(`user-${name}`, await grantOf(broker, `user-${name}`))
      client.drop()
    }
    const given = [...this.#grants.values()]
    expect(given).toMatchObject([
      { principal: 'anna', roles: ['operator', 'device'], expiresAtMs: Date.parse(endsAt) },
      { principal: 'wil', roles: [] },
    ])
    expect(JSON.stringify(given[0])).toContain('"site":"north"')
  }

  async problems(broker: RunningCommand): Promise<string[]> {
    const problems: string[] = []
    for (const [clientId, before] of this.#grants) {
      const [was, is] = [before, await grantOf(broker, clientId)].map((grant) => JSON.stringify(grant))
      if (was !== is) problems.push(`${clientId} has the grant ${is}, and had ${was}`)
    }
    return problems
  }
}

async function grantOf(broker: RunningCommand, clientId: string): Promise<unknown> {
  const { url } = (await broker.logged('the inspector is at')) as unknown as { url: string }
  const path = `/api/v1/session?clientId=${clientId}`
  const headers = { authorization: `Bearer ${token}` }
  const { status, body } = await send({ port: Number(new URL(url).port), method: 'GET', path, headers })
  return status === 200 ? (body as { grant: unknown }).grant : `none: ${status}`
}
