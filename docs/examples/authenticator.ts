/** Who may come in (a table of users with scrypt hashes), and what they may publish and subscribe to. */
import assert from 'node:assert/strict'
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'

import { connectAsync } from 'mqtt'
import { allow, createBroker, deny, next, ReasonCode, type Authenticator, type Hooks } from 'statemq'

const derive = promisify<Buffer | string, Buffer, number, Buffer>(scrypt)

interface User {
  readonly salt: Buffer
  readonly hash: Buffer
  readonly roles: readonly string[]
}

async function makeUser(password: string, ...roles: string[]): Promise<User> {
  const salt = randomBytes(16)
  return { salt, hash: await derive(password, salt, 32), roles }
}

const users = new Map([
  ['press-1', await makeUser('s3cret', 'device')],
  ['anna', await makeUser('hunter2', 'operator')],
])
const nobody = await makeUser(randomBytes(16).toString('hex'))

const userTable: Authenticator = {
  name: 'user-table',
  async authenticate({ username, password }) {
    // No opinion: the next authenticator is asked. Here there is none, so the client is refused.
    if (username === undefined || password === undefined) return next()
    // An unknown name takes as long as a wrong password: the answer tells nobody which names exist.
    const user = users.get(username) ?? nobody
    const matches = timingSafeEqual(await derive(password, user.salt, 32), user.hash)
    if (!matches) return deny(ReasonCode.BadUserNameOrPassword, 'bad user name or password')
    return allow({ principal: username, roles: user.roles })
  },
}

/** Devices write below their own name and read their commands; operators read everything and command. */
const hooks: Hooks = {
  onPublish({ message }, { grant }) {
    const area = grant.roles.includes('operator') ? 'commands/' : `devices/${grant.principal}/`
    return message.topic.startsWith(area) ? next() : deny(ReasonCode.NotAuthorized, `only ${area}`)
  },
  onSubscribe({ filter }, { grant }) {
    if (grant.roles.includes('operator') || filter === `commands/${grant.principal}`) return next()
    return deny(ReasonCode.NotAuthorized, 'only your own commands')
  },
}

const broker = createBroker({ authenticators: [userTable], hooks })
const { address } = await broker.listen({ transport: 'tcp', port: 0 })
assert('port' in address)
const url = `mqtt://127.0.0.1:${address.port}`
const options = { protocolVersion: 5, reconnectPeriod: 0 } as const

await assert.rejects(connectAsync(url, { ...options, username: 'press-1', password: 'guess' }, false), {
  code: ReasonCode.BadUserNameOrPassword,
})
await assert.rejects(connectAsync(url, options, false), { code: ReasonCode.NotAuthorized })

const press = await connectAsync(url, { ...options, clientId: 'p1', username: 'press-1', password: 's3cret' }, false)
assert.deepEqual(broker.sessions.get('p1')?.context.grant?.roles, ['device'])
await press.publishAsync('devices/press-1/temperature', '180', { qos: 1 })
await assert.rejects(press.publishAsync('commands/press-1', 'stop', { qos: 1 }), { code: ReasonCode.NotAuthorized })
await press.subscribeAsync('commands/press-1')
await assert.rejects(press.subscribeAsync('devices/#'), /Not authorized/)

await press.endAsync()
await broker.close()
