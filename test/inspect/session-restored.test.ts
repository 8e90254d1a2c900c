/** What the admin API tells of a session that an earlier process left. */
import { expect, test } from 'vitest'

import { startAdmin } from '../support/admin-api.ts'
import { tempFolder } from '../support/temp-files.ts'

test('a session that a restart brought back is told of like any other', async () => {
  const store = { type: 'lmdb', directory: tempFolder() } as const
  const before = await startAdmin({}, { store })
  const client = await before.broker.client({ clientId: 'c', sessionExpiryIntervalSeconds: 3_600 })
  client.abort()
  const path = '/api/v1/session?clientId=c'
  await expect
    .poll(async () => (await before.ask('GET', path, { as: 'read' })).body)
    .toMatchObject({ state: 'offline' })
  const { connection, grant } = (await before.ask('GET', path, { as: 'read' })).body as Record<string, unknown>
  await before.broker.close()
  const after = await startAdmin({}, { store })
  const { status, body } = await after.ask('GET', path, { as: 'read' })
  expect([status, body]).toMatchObject([200, { clientId: 'c', state: 'offline', connection, grant }])
})
