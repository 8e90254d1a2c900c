/** Vectors of RFC 7677 section 3, and one for SHA-512 that Scramp 1.4.17 (Python) has made. */
import { describe, expect, test } from 'vitest'

import {
  formatCredentials,
  parseCredentials,
  saslprep,
  scramCredentials,
  type ScramMechanism,
} from '../../../src/auth/scram-credentials.ts'
import { ScramExchange } from '../../../src/auth/scram-exchange.ts'
import { parseClientFirst, ScramSyntaxError } from '../../../src/auth/scram-messages.ts'

const serverNonce = '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0'
const nonce = `rOprNGfwEbeRWgbNEkqO${serverNonce}`

interface Vector {
  readonly mechanism: ScramMechanism
  readonly salt: string
  readonly storedKey: string
  readonly serverKey: string
  readonly proof: string
  readonly verifier: string
}

const vectors: readonly Vector[] = [
  {
    mechanism: 'SCRAM-SHA-256',
    salt: 'W22ZaJ0SNY7soEsUEjb6gQ==',
    storedKey: 'WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=',
    serverKey: 'wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
    proof: 'dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
    verifier: '6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
  },
  {
    mechanism: 'SCRAM-SHA-512',
    salt: 'AQIDBAUGBwgJCgsMDQ4PEA==',
    storedKey: '0P/6vIDqR0IAJlucAcqVirtzv2iZEe7384+AzNtuvR5x2lo9jy7zHzq0PObhFU5gI2uPi/uw2+MFVnWXiZaCXg==',
    serverKey: 'aJH+S/w1mNuvlo/6oIe4TyeKTAa9OcRl/7vSO/+98iZLVAcyFmgYJCLA4xoKsb0uS73hG3UEN65t+NqCRHEopA==',
    proof: 'qM3QawG5vSc7OpxPr4mdHtlu5RtotmGeiwzjII9DvPHpz+jXQyX0DdxWNJG4hQGlXAv5DDE9QKbNCDaxV06/sA==',
    verifier: 'bpFXtUH1N7C/ijt3TEGWIlI8heMLO1iQfVDhA7CE99+OMf58tsUlPGbxsr6/gxkBk7laAYzUnPiRodMAY1m17g==',
  },
]

describe.each(vectors)('$mechanism', ({ mechanism, salt, storedKey, serverKey, proof, verifier }) => {
  const text = `${mechanism}$4096:${salt}$${storedKey}:${serverKey}`
  const begin = (isKnown = true, channelData = Buffer.alloc(0)): ScramExchange => {
    const first = parseClientFirst(Buffer.from('n,,n=user,r=rOprNGfwEbeRWgbNEkqO'))
    return new ScramExchange(first, 'user', parseCredentials(text), isKnown, channelData, serverNonce)
  }
  const final = (changes: { channel?: string; nonce?: string; proof?: string } = {}): Buffer =>
    Buffer.from(`c=${changes.channel ?? 'biws'},r=${changes.nonce ?? nonce},p=${changes.proof ?? proof}`)

  test('the credentials of a password', async () => {
    const credentials = await scramCredentials('pencil', {
      mechanism,
      iterations: 4096,
      salt: Buffer.from(salt, 'base64'),
    })
    expect(formatCredentials(credentials)).toBe(text)
    expect(parseCredentials(text)).toEqual(credentials)
  })

  test('the whole exchange', () => {
    const exchange = begin()
    expect(exchange.serverFirst).toBe(`r=${nonce},s=${salt},i=4096`)
    expect(exchange.finish(final())).toBe(`v=${verifier}`)
  })

  const edited = (base64: string): string => {
    const bytes = Buffer.from(base64, 'base64')
    bytes[7]! ^= 1
    return bytes.toString('base64')
  }
  test.each([
    ['an edited proof', final({ proof: edited(proof) })],
    ['a proof that is too short', final({ proof: Buffer.from(proof, 'base64').subarray(1).toString('base64') })],
    ['an empty nonce of the server', final({ nonce: 'rOprNGfwEbeRWgbNEkqO' })],
    ['an edited nonce', final({ nonce: nonce.replace('k0', 'k1') })],
    ['a longer nonce', final({ nonce: `${nonce}x` })],
    ['another channel', final({ channel: Buffer.from('y,,').toString('base64') })],
    ['data of a channel where there is none', final({ channel: Buffer.from('n,,data').toString('base64') })],
  ])('threat 70: %s proves nothing', (_name, data) => {
    expect(begin().finish(data)).toBeUndefined()
  })

  test('threat 64: a made-up user is never let in, whatever the proof', () => {
    expect(begin(false).finish(final())).toBeUndefined()
  })

  test('what the channel has is part of it', () => {
    expect(begin(true, Buffer.from('data')).finish(final())).toBeUndefined()
  })

  test('what breaks the grammar is told apart', () => {
    expect(() => begin().finish(Buffer.from('c=biws'))).toThrow(ScramSyntaxError)
  })
})

describe('credentials', () => {
  const [{ storedKey, serverKey, salt }] = vectors as [Vector]

  test('a password is prepared by SASLprep; Scramp makes the same of it', async () => {
    const bytes = Buffer.from('AQIDBAUGBwgJCgsMDQ4PEA==', 'base64')
    const made = await scramCredentials('I\u00ADX\u00AA pa\u00DFwort \u2168', { iterations: 4096, salt: bytes })
    expect(formatCredentials(made)).toBe(
      'SCRAM-SHA-256$4096:AQIDBAUGBwgJCgsMDQ4PEA==$jTj6jUqihQV2B7uBfufWwj/8/4jonUukIpOWXe8Bwhg=:tcxZw8yOB/0wrhWlQVpFKZHK/GDQ235NbgvltZvDhis=',
    )
  })

  // RFC 4013 section 3, and what is left of nothing.
  test.each([
    ['I\u00ADX', 'IX'],
    ['user', 'user'],
    ['USER', 'USER'],
    ['\u00AA', 'a'],
    ['\u2168', 'IX'],
    ['\u0007', undefined],
    ['\u0627\u0031', undefined],
    ['', undefined],
    ['\u00AD', undefined],
  ])('SASLprep of %j is %j', async (text, prepared) => {
    expect(await saslprep(text, false)).toBe(prepared)
  })

  test('a name may have what is newer than the tables, a password not', async () => {
    expect([await saslprep('\u{1F600}', true), await saslprep('\u{1F600}', false)]).toEqual(['\u{1F600}', undefined])
  })

  test('each has a salt of its own, and 15,000 iterations', async () => {
    const [one, two] = [await scramCredentials('x'), await scramCredentials('x')]
    expect([one.mechanism, one.iterations, one.salt.length]).toEqual(['SCRAM-SHA-256', 15_000, 16])
    expect(one.salt).not.toEqual(two.salt)
    expect(one.storedKey).not.toEqual(two.storedKey)
  })

  test.each([
    ['too few iterations', { iterations: 4_095 }],
    ['too many', { iterations: 1_000_001 }],
    ['a part of one', { iterations: 5_000.5 }],
    ['a short salt', { salt: Buffer.alloc(7) }],
    ['a long salt', { salt: Buffer.alloc(65) }],
    ['a mechanism of old', { mechanism: 'SCRAM-SHA-1' as ScramMechanism }],
    ['a mechanism from the prototype', { mechanism: 'constructor' as ScramMechanism }],
  ])('%s: refused', async (_name, options) => {
    await expect(scramCredentials('x', options)).rejects.toMatchObject({ code: 'SMQ_OPTION_INVALID' })
  })

  test.each(['', '\u00AD', '\u0007'])('the password %j is refused', async (password) => {
    await expect(scramCredentials(password)).rejects.toMatchObject({ code: 'SMQ_OPTION_INVALID' })
  })

  test.each([
    ['nothing', ''],
    ['another mechanism', `SCRAM-SHA-1$4096:${salt}$${storedKey}:${serverKey}`],
    ['keys of another length', `SCRAM-SHA-512$4096:${salt}$${storedKey}:${serverKey}`],
    ['too few iterations', `SCRAM-SHA-256$4095:${salt}$${storedKey}:${serverKey}`],
    ['iterations with a zero in front', `SCRAM-SHA-256$04096:${salt}$${storedKey}:${serverKey}`],
    ['base64 with loose bits', `SCRAM-SHA-256$4096:${salt}$${storedKey.slice(0, -2)}Z=:${serverKey}`],
    ['something behind it', `SCRAM-SHA-256$4096:${salt}$${storedKey}:${serverKey}:x`],
  ])('written: %s is refused, and the error repeats no key', (_name, text) => {
    expect(() => parseCredentials(text)).toThrow(
      expect.objectContaining({
        code: 'SMQ_OPTION_INVALID',
        message: expect.not.stringContaining(serverKey) as string,
      }),
    )
  })
})
