import { X509Certificate } from 'node:crypto'

import { expect, test } from 'vitest'

import { isCurrent, readAuthorities } from '../../../src/net/authorities.ts'
import { TestAuthority } from '../../support/certificates.ts'

const day = 86_400_000
const now = Date.now()
const brief = new TestAuthority('one name', 10)
const long = { cert: brief.renewed('one name', 90) }
const leaf = new X509Certificate(brief.issue({ subject: '/CN=leaf', days: 60 }).cert)
const authorities = (...certs: readonly string[]): X509Certificate[] => readAuthorities(certs.join('\n'))

test('every certificate of a text is read', () => {
  expect(authorities(brief.cert, long.cert).map(({ fingerprint256 }) => fingerprint256)).toEqual([
    new X509Certificate(brief.cert).fingerprint256,
    new X509Certificate(long.cert).fingerprint256,
  ])
  expect(readAuthorities(undefined)).toEqual([])
  expect(readAuthorities(Buffer.from(long.cert))).toHaveLength(1)
})

test.each([
  ['text', 'no certificate'],
  ['nothing', ''],
  ['a broken one behind a good one', `${long.cert}\n${long.cert.replace(/[A-Za-z0-9]{20}/, '')}`],
])('%s is refused', (_name, text) => {
  expect(() => readAuthorities(text)).toThrow(expect.objectContaining({ code: 'SMQ_TLS_INVALID' }))
})

test.each([
  [0, [brief.cert], true],
  [11, [brief.cert], false],
  // Renewed: one that has not ended is enough.
  [11, [brief.cert, long.cert], true],
  [61, [brief.cert, long.cert], false],
  // Where the issuer is not known, its time is not either.
  [11, [], true],
  [61, [], false],
])('after %s days: with %#', (days, certs, expected) => {
  expect(isCurrent(leaf, authorities(...certs, new TestAuthority('another').cert), now + days * day)).toBe(expected)
})
