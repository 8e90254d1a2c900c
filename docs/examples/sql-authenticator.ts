/** An authenticator that asks a SQL database: scrypt hashes, roles and properties of devices in tables. */
import assert from 'node:assert/strict'
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import { promisify } from 'node:util'

import { allow, createBroker, deny, next, ReasonCode, StatemqError, type Authenticator } from 'statemq'

const hash = promisify<string | Buffer, Buffer, number, Buffer>(scrypt)
const KEY_BYTES = 32

const database = new DatabaseSync(':memory:')
database.exec(`
  CREATE TABLE device (name TEXT PRIMARY KEY, salt BLOB NOT NULL, hash BLOB NOT NULL, site TEXT NOT NULL, locked INTEGER NOT NULL DEFAULT 0) STRICT;
  CREATE TABLE device_role (device TEXT NOT NULL REFERENCES device, role TEXT NOT NULL, PRIMARY KEY (device, role)) STRICT;
`)

async function addDevice(name: string, password: string, site: string, roles: readonly string[]): Promise<void> {
  const salt = randomBytes(16)
  database
    .prepare('INSERT INTO device (name, salt, hash, site) VALUES (?, ?, ?, ?)')
    .run(name, salt, await hash(password, salt, KEY_BYTES), site)
  const insert = database.prepare('INSERT INTO device_role (device, role) VALUES (?, ?)')
  for (const role of roles) insert.run(name, role)
}

interface DeviceRow {
  readonly salt: Uint8Array
  readonly hash: Uint8Array
  readonly site: string
  readonly locked: number
}

// What a client sends is only ever a parameter of a statement, never a part of its text.
const findDevice = database.prepare('SELECT salt, hash, site, locked FROM device WHERE name = ?')
const findRoles = database.prepare('SELECT role FROM device_role WHERE device = ? ORDER BY role')
/** Hashed against where there is no such device: an answer takes as long, whoever is asked for. */
const nobody: DeviceRow = { salt: randomBytes(16), hash: randomBytes(KEY_BYTES), site: '', locked: 0 }

const sql: Authenticator = {
  name: 'sql',
  authenticate: async ({ username, password }) => {
    if (username === undefined || password === undefined) return next()
    const device = findDevice.get(username) as unknown as DeviceRow | undefined
    const { salt, hash: expected } = device ?? nobody
    const isRight = timingSafeEqual(await hash(password, Buffer.from(salt), KEY_BYTES), expected)
    // The same answer whatever was wrong.
    if (!device || !isRight) return deny(ReasonCode.BadUserNameOrPassword, 'wrong user name or password')
    if (device.locked) return deny(ReasonCode.Banned, 'locked')
    const roles = findRoles.all(username).map((row) => String(row['role']))
    return allow({ principal: username, roles, properties: { site: device.site } })
  },
}

await addDevice('press-1', 'open sesame', 'hall-3', ['device'])
const broker = createBroker({
  authenticators: [sql],
  roles: {
    device: {
      permissions: [
        { allow: 'publish', topic: 'sites/%p{site}/%u/#' },
        { allow: 'subscribe', topic: 'orders/%u' },
      ],
    },
  },
})

const press = await broker.client({ clientId: 'press-1', username: 'press-1', password: 'open sesame' })
const session = broker.sessions.get('press-1')
assert.deepEqual(session?.context.grant?.roles, ['device'])
assert.deepEqual({ ...session?.context.grant?.properties }, { site: 'hall-3' })
await press.publish({ topic: 'sites/hall-3/press-1/heat', payload: '180', qos: 1 })
await assert.rejects(press.publish({ topic: 'sites/hall-4/press-1/heat', payload: '180', qos: 1 }))

const refusedWith = (reasonCode: number) => (error: unknown) =>
  error instanceof StatemqError && error.code === 'SMQ_CLIENT_REFUSED' && error.reasonCode === reasonCode
const attempts = { 'press-1': 'open says me', "' OR 1=1 --": 'open sesame', 'press-2': '' }
for (const [username, password] of Object.entries(attempts)) {
  await assert.rejects(broker.client({ username, password }), refusedWith(ReasonCode.BadUserNameOrPassword))
}

// Who is locked is refused from now on; who is there already is the operator's to revoke.
database.prepare('UPDATE device SET locked = 1 WHERE name = ?').run('press-1')
await broker.sessions.revoke({ filter: '$Principal is "press-1"' }, 'locked')
assert.equal(await press.closed, ReasonCode.NotAuthorized)
await assert.rejects(broker.client({ username: 'press-1', password: 'open sesame' }), refusedWith(ReasonCode.Banned))

await broker.close()
database.close()
