import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { parseClientFinal, parseClientFirst, ScramSyntaxError } from '../../../src/auth/scram-messages.ts'

const first = (text: string) => parseClientFirst(Buffer.from(text))
const final = (text: string) => parseClientFinal(Buffer.from(text))
const zeros = Buffer.alloc(32).toString('base64')

describe('the first message of a client', () => {
  test('as in RFC 7677', () => {
    expect(first('n,,n=user,r=rOprNGfwEbeRWgbNEkqO')).toEqual({
      header: 'n,,',
      flag: 'n',
      bindingName: undefined,
      authorizationId: undefined,
      username: 'user',
      nonce: 'rOprNGfwEbeRWgbNEkqO',
      bare: 'n=user,r=rOprNGfwEbeRWgbNEkqO',
    })
  })

  test('with channel binding, an authorization identity and escaped characters', () => {
    expect(first('p=tls-exporter,a=a=2Cb,n=a=2Cb=3D=3D,r=!~')).toEqual({
      header: 'p=tls-exporter,a=a=2Cb,',
      flag: 'p',
      bindingName: 'tls-exporter',
      authorizationId: 'a,b',
      username: 'a,b==',
      nonce: '!~',
      bare: 'n=a=2Cb=3D=3D,r=!~',
    })
  })

  test.each([
    ['nothing', ''],
    ['no flag', ',,n=user,r=abc'],
    ['an unknown flag', 'x,,n=user,r=abc'],
    ['a flag in upper case', 'N,,n=user,r=abc'],
    ['a binding without a name', 'p=,,n=user,r=abc'],
    ['a binding with a strange name', 'p=tls unique,,n=user,r=abc'],
    ['an empty authorization identity', 'n,a=,n=user,r=abc'],
    ['something else than an authorization identity', 'n,b=x,n=user,r=abc'],
    ['a reserved mandatory extension', 'n,,m=x,n=user,r=abc'],
    ['no user', 'n,,r=abc'],
    ['an empty user', 'n,,n=,r=abc'],
    ['no nonce', 'n,,n=user'],
    ['an empty nonce', 'n,,n=user,r='],
    ['a nonce that is not printable', 'n,,n=user,r=a\u0001'],
    ['a nonce with a space', 'n,,n=user,r=a b'],
    ['a nonce beyond ASCII', 'n,,n=user,r=aé'],
    ['another order', 'n,,r=abc,n=user'],
    ['two users', 'n,,n=user,n=user,r=abc'],
    ['two nonces', 'n,,n=user,r=abc,r=abc'],
    ['an extension', 'n,,n=user,r=abc,x=y'],
    ['a comma at the end', 'n,,n=user,r=abc,'],
    ['a line at the end', 'n,,n=user,r=abc\n'],
    ['an equals sign that stands for nothing', 'n,,n=us=er,r=abc'],
    ['an escape in lower case', 'n,,n=us=2cer,r=abc'],
    ['NUL in the user', 'n,,n=us\0er,r=abc'],
    ['a byte order mark', '\ufeffn,,n=user,r=abc'],
    ['too many bytes', `n,,n=${'u'.repeat(4_096)},r=abc`],
  ])('%s is refused', (_name, text) => {
    expect(() => first(text)).toThrow(ScramSyntaxError)
  })

  test.each(['ff', 'c0af', 'eda080', 'f8888080'])('bytes that are no UTF-8 are refused: %s', (bytes) => {
    const data = Buffer.concat([Buffer.from('n,,n='), Buffer.from(bytes, 'hex'), Buffer.from(',r=abc')])
    expect(() => parseClientFirst(data)).toThrow(ScramSyntaxError)
  })
})

describe('the final message of a client', () => {
  test('as in RFC 7677', () => {
    const nonce = 'rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0'
    const proof = 'dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ='
    expect(final(`c=biws,r=${nonce},p=${proof}`)).toEqual({
      channelBinding: Buffer.from('n,,'),
      nonce,
      proof: Buffer.from(proof, 'base64'),
      withoutProof: `c=biws,r=${nonce}`,
    })
  })

  test.each([
    ['nothing', ''],
    ['no channel', `r=abc,p=${zeros}`],
    ['no proof', 'c=biws,r=abc'],
    ['another order', `r=abc,c=biws,p=${zeros}`],
    ['a proof in front', `p=${zeros},c=biws,r=abc`],
    ['two channels', `c=biws,c=biws,r=abc,p=${zeros}`],
    ['two proofs', `c=biws,r=abc,p=${zeros},p=${zeros}`],
    ['an extension', `c=biws,r=abc,x=y,p=${zeros}`],
    ['a reserved mandatory extension', `m=x,c=biws,r=abc,p=${zeros}`],
    ['something behind the proof', `c=biws,r=abc,p=${zeros},x=y`],
    ['a line at the end', `c=biws,r=abc,p=${zeros}\n`],
    ['base64 without its end', `c=biws,r=abc,p=${zeros.slice(0, -1)}`],
    ['base64 for addresses', `c=biws,r=abc,p=${'_'.repeat(43)}=`],
    ['base64 with loose bits', `c=biws,r=abc,p=${zeros.slice(0, -2)}B=`],
    ['an empty channel', `c=,r=abc,p=${zeros}`],
  ])('%s is refused', (_name, text) => {
    expect(() => final(text)).toThrow(ScramSyntaxError)
  })
})

describe('whatever comes', () => {
  const valid = ['n,,n=user,r=abc', 'p=tls-exporter,a=user,n=us=2Cer,r=abc', `c=biws,r=abc,p=${zeros}`]
  /** A good message with up to three characters overwritten, put in or taken out. */
  const damaged = fc
    .tuple(
      fc.constantFrom(...valid),
      fc.array(fc.tuple(fc.nat(80), fc.nat(1), fc.constantFrom('', ',', '=', 'a', 'm', '+', '/', '2C', '\0', 'é')), {
        maxLength: 3,
      }),
    )
    .map(([text, edits]) =>
      edits.reduce((now, [at, cut, put]) => `${now.slice(0, at)}${put}${now.slice(at + cut)}`, text),
    )

  test('a message is read in one way only, or refused', () => {
    const text = fc.oneof(fc.string({ unit: 'binary' }), damaged)
    let read = 0
    fc.assert(
      fc.property(text, (message) => {
        for (const [parse, write] of [
          [first, (it: ReturnType<typeof first>) => it.header + it.bare],
          [
            final,
            (it: ReturnType<typeof final>) =>
              `c=${it.channelBinding.toString('base64')},r=${it.nonce},p=${it.proof.toString('base64')}`,
          ],
        ] as Array<[(text: string) => unknown, (it: unknown) => string]>) {
          let parsed: unknown
          try {
            parsed = parse(message)
          } catch (error) {
            expect(error).toBeInstanceOf(ScramSyntaxError)
            continue
          }
          read += 1
          expect(write(parsed)).toBe(message)
        }
      }),
      { numRuns: 2_000 },
    )
    expect(read).toBeGreaterThan(100)
  })

  test('bytes never raise anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        for (const parse of [parseClientFirst, parseClientFinal]) {
          try {
            parse(Buffer.from(bytes))
          } catch (error) {
            expect(error).toBeInstanceOf(ScramSyntaxError)
          }
        }
      }),
      { numRuns: 2_000 },
    )
  })

  test('every user name comes through its escapes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 100 }), (name) => {
        fc.pre(!name.includes('\0') && name.isWellFormed())
        const escaped = name.replaceAll('=', '=3D').replaceAll(',', '=2C')
        expect(first(`n,,n=${escaped},r=abc`).username).toBe(name)
      }),
    )
  })
})
