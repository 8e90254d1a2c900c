import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { hash } from '@node-rs/argon2'
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'

import { describeSettings } from '../../../src/cli/check.ts'
import { problemLine, type ConfigurationError } from '../../../src/cli/config-problems.ts'
import { prepare, type Prepared } from '../../../src/cli/prepare.ts'
import { resolveSettings } from '../../../src/cli/settings.ts'
import { localhostPair, testAuthority } from '../../support/certificates.ts'
import { tempFolder } from '../../support/temp-files.ts'

const header = '{"format":"statemq-passwords","version":1}\n'
const scramHeader = JSON.stringify({ format: 'statemq-scram', version: 1, secret: 'A'.repeat(43) + '=' })

afterEach(() => {
  vi.unstubAllEnvs()
})

function write(text: string, files: Record<string, string>): string {
  const folder = tempFolder({ ...files, 'broker.yaml': text })
  return join(folder, 'broker.yaml')
}

async function prepared(text: string, files: Record<string, string> = {}): Promise<Prepared> {
  const made = await prepare(resolveSettings({ config: write(text, files) }))
  onTestFinished(() => made.pool.discard())
  return made
}

/** The lines that are printed about this text, with the folder's name left out. */
async function problems(text: string, files: Record<string, string> = {}): Promise<string[]> {
  const file = write(text, files)
  try {
    const made = await prepare(resolveSettings({ config: file }))
    await made.pool.discard()
    return []
  } catch (error) {
    const { problems: found } = error as ConfigurationError
    return found.map((problem) => problemLine(problem).replaceAll(file.replace('broker.yaml', ''), ''))
  }
}

describe('files that listeners name', () => {
  const { key, cert } = localhostPair()
  const tls = 'listeners:\n  - transport: tls\n    keyFile: tls/key.pem\n    certFile: tls/cert.pem\n'
  const files = { 'tls/key.pem': key, 'tls/cert.pem': cert, 'tls/ca.pem': testAuthority().cert }

  test('are read, relative to the configuration file', async () => {
    const text = `${tls}    caFile: tls/ca.pem\n    serverNames: { "a.example": { keyFile: tls/key.pem, certFile: tls/cert.pem } }\n  - { transport: unix, path: run/mqtt.sock }\n`
    const { listeners, settings } = await prepared(text, files)
    expect(listeners).toEqual([
      {
        transport: 'tls',
        key: Buffer.from(key),
        cert: Buffer.from(cert),
        ca: Buffer.from(testAuthority().cert),
        serverNames: { 'a.example': { key: Buffer.from(key), cert: Buffer.from(cert) } },
      },
      { transport: 'unix', path: join(settings.file!, '..', 'run/mqtt.sock') },
    ])
  })

  test('are all named when they cannot be read', async () => {
    expect(await problems(`${tls}    crlFile: none.pem\n`)).toEqual([
      expect.stringMatching(/^broker\.yaml:3:14: listeners\.0\.keyFile: ENOENT/),
      expect.stringMatching(/^broker\.yaml:4:15: listeners\.0\.certFile: ENOENT/),
      expect.stringMatching(/^broker\.yaml:5:14: listeners\.0\.crlFile: ENOENT/),
    ])
  })

  test('must be what TLS can use', async () => {
    const other = testAuthority().issue({ subject: '/CN=other' }).key
    const line = (what: string): unknown => expect.stringMatching(new RegExp(`^broker\\.yaml:${what}`))
    expect(await problems(tls, { ...files, 'tls/key.pem': other })).toEqual([
      line('2:5: listeners.0: The TLS key,.*mismatch'),
    ])
    expect(await problems(tls, { ...files, 'tls/cert.pem': 'x' })).toEqual([line('2:5: listeners.0: The TLS key,')])
    expect(await problems(`${tls}    crlFile: tls/ca.pem\n`, files)).toEqual([line('2:5: listeners.0: The TLS key,')])
    const names = `${tls}    serverNames:\n      a.example: { keyFile: tls/ca.pem, certFile: tls/cert.pem }\n`
    expect(await problems(names, files)).toEqual([line('6:18: listeners.0.serverNames.a.example: The TLS key,')])
  })
})

describe('authenticators', () => {
  test('of every kind are made, of the broker and of a listener', async () => {
    vi.stubEnv('WEBHOOK_TOKEN', 'Bearer canary')
    const text = `
authenticators:
  - { type: password-file, path: users/passwords, unknownUsers: next, maxWaitingHashes: 10 }
  - type: jwt
    name: cloud
    jwks: { url: "https://id.example/keys", headers: { authorization: { env: WEBHOOK_TOKEN } } }
    jwksFile: keys.json
    keys: [{ secret: { file: hs.txt }, kid: a }, { pemFile: cert.pem }]
    algorithms: [HS256, ES256]
    issuer: [https://id.example]
    audience: false
    rolesClaim: [realm_access, roles]
    roleMapping: { admin: [operator, device] }
    properties: { tenant: tenant_id }
    limits: { maxQueuedMessages: 5 }
    connack: { maximumQoS: 1, userProperties: [[a, b]] }
  - { type: scram, path: users/scram, mechanisms: [SCRAM-SHA-256], channelBinding: none }
listeners:
  - transport: tcp
    host: 0.0.0.0
    anonymousRoles: [guest]
    takeover: anyone
    willPolicy: unexpired-grant
    clientIds: { prefix: '%u-' }
    authenticators:
      - { type: mutual-tls, principalFrom: dns, users: { a.example: { principal: a, roles: [x] } }, properties: { a: b } }
      - { type: webhook, url: "https://auth.example/", caFile: ca.pem, headers: { authorization: { env: WEBHOOK_TOKEN }, x-broker: one } }
`
    const { broker, listeners } = await prepared(text, {
      'users/passwords': header,
      'users/scram': `${scramHeader}\n`,
      'keys.json': '{"keys":[]}',
      'hs.txt': `${'s'.repeat(40)}\n`,
      'cert.pem': localhostPair().cert,
      'ca.pem': testAuthority().cert,
    })
    expect(broker.authenticators?.map(({ name, methods }) => [name, methods])).toEqual([
      ['password-file', undefined],
      ['cloud', ['JWT']],
      ['scram', ['SCRAM-SHA-256']],
    ])
    expect(listeners[0]?.authenticators?.map(({ name }) => name)).toEqual(['mutual-tls', 'webhook'])
    expect(listeners).toMatchObject([
      { anonymousRoles: ['guest'], takeover: 'anyone', willPolicy: 'unexpired-grant', clientIds: { prefix: '%u-' } },
    ])
    // Threat 94: neither a value nor an error of it shows what is secret.
    expect(inspect({ broker, listeners }, { depth: 10, showHidden: true })).not.toContain('canary')
  })

  test('have every mistake named, with its place', async () => {
    const text = [
      'authenticators:',
      '  - { type: password-fil, path: x }',
      '  - { type: password-file, pth: x }',
      '  - type: webhook',
      '    url: https://auth.example',
      '    headers: { Authorization: Bearer hunter2 }',
      '    timeoutMs: 0',
      '  - { type: jwt, issuer: 5, audience: a, keys: [{ secret: hunter2 }], limits: { maxQueuedMessages: -1 } }',
      '  - { type: mutual-tls, principalFrom: cn, properties: { $Principal: x } }',
      '  - { type: scram, path: x, mechanisms: [SCRAM-SHA-1] }',
    ].join('\n')
    expect(await problems(text)).toEqual([
      'broker.yaml:2:13: authenticators.0.type: expected "password-file", "jwt", "mutual-tls", "scram" or "webhook"',
      'broker.yaml:3:5: authenticators.1.path: expected a string, found nothing',
      'broker.yaml:3:28: authenticators.1.pth: unknown key; did you mean path?',
      'broker.yaml:6:31: authenticators.2.headers.Authorization: expected { env: NAME } or { file: path } for a secret',
      'broker.yaml:7:16: authenticators.2.timeoutMs: must be at least 1',
      'broker.yaml:8:49: authenticators.3.keys.0: expected { pemFile: path } or { secret: … }, with or without kid',
      'broker.yaml:8:26: authenticators.3.issuer: expected text, a list of texts, or false',
      'broker.yaml:8:79: authenticators.3.limits: maxQueuedMessages: expected a whole number of 0 or more, or infinity',
      'broker.yaml:9:40: authenticators.4.principalFrom: expected one of "commonName", "subject", "dns", "email", "uri", "ip", "fingerprint"',
      'broker.yaml:9:56: authenticators.4.properties: "$Principal" is no name for a property',
      'broker.yaml:10:42: authenticators.5.mechanisms.0: expected one of "SCRAM-SHA-256", "SCRAM-SHA-512"',
    ])
  })

  test('files and variables that are not there, and what they themselves refuse', async () => {
    const hashed = await hash('x', { memoryCost: 8, timeCost: 1 })
    const text = [
      'authenticators:',
      '  - { type: password-file, path: none }',
      '  - { type: password-file, path: broken }',
      '  - type: webhook',
      '    url: http://auth.example/',
      '  - { type: webhook, url: "https://auth.example", headers: { x-token: { env: STATEMQ_NO_SUCH }, a-key: { file: none } } }',
      '  - { type: jwt, issuer: a, audience: a }',
      '  - { type: mutual-tls, trustedFingerprints: [abc] }',
      '  - { type: scram, path: none }',
    ].join('\n')
    const broken = `${header}{"user":"a","hash":"${hashed}"}\n{"user":"b","hash":"hunter2"}\n`
    const invalid = 'An option has a value that the broker cannot use'
    expect(await problems(text, { broken })).toEqual([
      expect.stringMatching(/^broker\.yaml:2:5: authenticators\.0: The password file could not be used: none: ENOENT/),
      'broker.yaml:3:5: authenticators.1: The password file could not be used: broken:3: hash: expected an argon2id hash, version 19, in PHC form: $argon2id$v=19$m=…,t=…,p=…$salt$hash',
      `broker.yaml:4:5: authenticators.2: ${invalid}: url: http: would send passwords in the clear to another machine; use https: or allowPlainHttp`,
      'broker.yaml:6:78: authenticators.3.headers.x-token.env: there is no variable STATEMQ_NO_SUCH',
      expect.stringMatching(/^broker\.yaml:6:112: authenticators\.3\.headers\.a-key\.file: ENOENT/),
      `broker.yaml:7:5: authenticators.4: ${invalid}: jwt: one of jwks, jwksFile and keys is needed`,
      `broker.yaml:8:5: authenticators.5: ${invalid}: trustedFingerprints.0: expected a SHA-256 fingerprint, 64 hex digits`,
      expect.stringMatching(/^broker\.yaml:9:5: authenticators\.6: The password file could not be used: none/),
    ])
  })
})

describe('roles', () => {
  test('come as they are', async () => {
    const text =
      'roles:\n  a: { permissions: [{ allow: [publish, subscribe], topic: "x/%u/#", qos: [0, 1] }] }\n  b: { include: [a] }\n'
    const { broker } = await prepared(text)
    expect(broker.roles).toEqual({
      a: { permissions: [{ allow: ['publish', 'subscribe'], topic: 'x/%u/#', qos: [0, 1] }] },
      b: { include: ['a'] },
    })
  })

  test('have every mistake named, with its place', async () => {
    const text = [
      'roles:',
      '  a:',
      '    permissions:',
      '      - { allow: publish, topic: a/#/b }',
      '      - { topic: a }',
      '      - { deny: subscribe, topic: "%x" }',
      '  b: { permissions: [{ allow: subscribe, topic: a, group: "" }, { deny: publish, allow: publish, topic: a }] }',
    ].join('\n')
    const found = await problems(
      `${text}\n  c: { permission: [] }\n  d: { permissions: [{ alow: publish, topic: a }] }\n`,
    )
    expect(found).toEqual([
      'broker.yaml:7:59: roles.b.permissions.0.group: must not be empty',
      'broker.yaml:8:8: roles.c.permission: unknown key; did you mean permissions?',
      'broker.yaml:9:24: roles.d.permissions.0.alow: unknown key; did you mean allow?',
    ])
    expect(await problems(text.replace('group: ""', 'group: g'))).toEqual([
      expect.stringMatching(/^broker\.yaml:4:9: roles\.a\.permissions\.0: the topic "a\/#\/b" /),
      'broker.yaml:5:9: roles.a.permissions.1: needs either "allow" or "deny"',
      expect.stringMatching(/^broker\.yaml:6:9: roles\.a\.permissions\.2: the topic "%x" /),
      'broker.yaml:7:64: roles.b.permissions.1: needs either "allow" or "deny"',
    ])
    expect(await problems('roles:\n  a: { include: [b] }\n')).toEqual([
      'broker.yaml:2:17: roles.a.include: there is no role "b"',
    ])
    expect(await problems('roles:\n  a: { include: [b] }\n  "b:\\"": {}\n  b: { include: [a] }\n')).toEqual([
      expect.stringMatching(/^broker\.yaml:\d+:17: roles\.[ab]\.include: [ab] → [ab] → [ab]$/),
    ])
  })
})

test('what only the broker can judge has its place, too', async () => {
  const text = 'clientIds: { prefix: "%u" }\n'
  expect(await problems(text)).toEqual(['broker.yaml:1:22: clientIds.prefix: something must follow %u'])
  expect(await problems(`listeners:\n  - transport: tcp\n    ${text}`)).toEqual([
    'broker.yaml:3:26: listeners.0.clientIds.prefix: something must follow %u',
  ])
})

test('check prints the whole, which is itself a configuration that says the same, without a secret', async () => {
  vi.stubEnv('STATEMQ_TEST_TOKEN', 'canary-1')
  const text = `
authenticators:
  - { type: password-file, path: passwords }
  - { type: webhook, url: "https://auth.example", headers: { authorization: { env: STATEMQ_TEST_TOKEN }, cookie: { file: cookie } } }
roles: { a: { permissions: [{ allow: publish, topic: a }] } }
deniedPublish: { mqtt3: drop }
clientIds: { fromPrincipal: true }
store: { directory: kept, durability: os }
listeners: [{ transport: tcp, host: 0.0.0.0, authenticators: [{ type: password-file, path: passwords }] }]
`
  const file = write(text, { passwords: header, cookie: 'canary-2' })
  const printed = await describeSettings(resolveSettings({ config: file }))
  expect(printed).not.toContain('canary')
  expect(printed).toContain(`store:\n  type: lmdb\n  directory: ${join(file, '..', 'kept')}\n  durability: os\n`)
  expect(printed).toContain('allowAnonymous: false\n')
  expect(printed).toContain('deniedPublish:\n  mqtt5: acknowledge\n  mqtt3: drop\n')
  writeFileSync(file, printed)
  expect(await describeSettings(resolveSettings({ config: file }))).toBe(printed)
})
