/**
 * The engine's scenarios for clients that come with a JSON Web Token, under a hundred roles of twenty permissions, beside
 * the same broker without either.
 */
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { stringify } from 'yaml'

import { figure, scenarios, type Scenario, type Target } from './scenarios.ts'

const roleCount = 100
const permissionsPerRole = 20
const secret = randomBytes(32)

/** Of a client with five roles, one of which lets it do what the scenarios do. */
const token = await new SignJWT({ sub: 'bench', roles: ['bench', 'role-1', 'role-2', 'role-3', 'role-4'] })
  .setProtectedHeader({ alg: 'HS256' })
  .setIssuer('bench')
  .setAudience('statemq')
  .setExpirationTime('12h')
  .sign(secret)

const both = ['publish', 'subscribe']

/** Permissions of every kind, about topics that no scenario uses. */
function ordinary(role: number): object[] {
  return Array.from({ length: permissionsPerRole }, (_, n) => {
    const kinds = [
      { topic: `site/${role}/${n}/#`, allow: both },
      { topic: `site/${role}/+/secret-${n}`, deny: both },
      { topic: `site/${role}/${n}/%c/+`, allow: both },
      { topic: `people/%u/${role}/${n}/#`, allow: 'subscribe' },
      { topic: `+/${role}/${n}/state`, allow: 'subscribe' },
    ]
    return kinds[n % kinds.length]!
  })
}

function roles(): Record<string, object> {
  const others = Array.from({ length: roleCount - 1 }, (_, n) => [`role-${n}`, { permissions: ordinary(n) }] as const)
  const topics = ['bench/#', 's/#', 'r/#']
  const own = [...topics.map((topic) => ({ topic, allow: both })), ...ordinary(roleCount).slice(topics.length)]
  return { ...Object.fromEntries(others), bench: { permissions: own } }
}

/** Writes the configuration of a broker that asks for tokens and goes by roles; the result is its path. */
export function writeIdentityConfig(folder: string): string {
  const path = join(folder, 'identity.yaml')
  writeFileSync(join(folder, 'secret'), secret.toString('base64'), { mode: 0o600 })
  const keys = [{ secret: { file: 'secret' }, base64: true }]
  const settings = { authenticators: [{ type: 'jwt', issuer: 'bench', audience: 'statemq', keys }], roles: roles() }
  writeFileSync(path, stringify(settings, { aliasDuplicateObjects: false }))
  return path
}

const target: Target = { most: 1.15, aim: 1.05 }

/** Sent to the broker without authenticators too, which does not look at it. */
const withToken = (scenario: Scenario): Scenario => ({ ...scenario, args: [...scenario.args, '-t', token] })

/** Every figure of the engine's table that is CPU of a message; connects are measured and have no bound. */
export const identityScenarios: readonly Scenario[] = scenarios
  .filter(({ name }) => name !== 'wild1000000')
  .map(withToken)
  .map((scenario) => ({
    ...scenario,
    measures:
      scenario.name === 'conns10000'
        ? [
            {
              label: 'conns10000: connect and subscribe',
              unit: 'µs',
              of: (result) => figure(result, 'connect_broker_us_per_msg'),
              judged: 'ratio',
            },
          ]
        : scenario.measures.map((measure) => ({ ...measure, target })),
  }))
