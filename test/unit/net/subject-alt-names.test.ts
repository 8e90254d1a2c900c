import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { readSubjectAltNames } from '../../../src/net/subject-alt-names.ts'

describe('names of a certificate as Node prints them', () => {
  test.each([
    [undefined, []],
    ['', []],
    ['DNS:a.example', ['dns a.example']],
    [
      'DNS:a.example, DNS:*.b.example, IP Address:10.0.0.1, IP Address:2001:DB8:0:0:0:0:0:1, email:a@b.example, URI:urn:x:1',
      [
        'dns a.example',
        'dns *.b.example',
        'ip 10.0.0.1',
        'ip 2001:DB8:0:0:0:0:0:1',
        'email a@b.example',
        'uri urn:x:1',
      ],
    ],
    ['URI:"urn:x\\u002c DNS:evil.example", DNS:a', ['uri urn:x, DNS:evil.example', 'dns a']],
    [
      'DirName:"C=DE\\u002cCN=x", othername:<unsupported>, Registered ID:1.2.3',
      ['other C=DE,CN=x', 'other <unsupported>', 'other 1.2.3'],
    ],
  ])('%j', (printed, expected) => {
    expect(readSubjectAltNames(printed).map(({ type, value }) => `${type} ${value}`)).toEqual(expected)
  })

  test.each([
    'DNS',
    'DNS:a,DNS:b',
    'DNS:a, ',
    'DNS:a, b',
    'DNS:"a',
    'DNS:"a"b',
    'DNS:"a\\x"',
    'DNS:a"b',
    "DNS:a'b",
    'DNS:a\\b',
    'IP Address:<invalid>',
    'IP Address:10.0.0.1.2',
    ', DNS:a',
    ':a',
  ])('%j is read as none', (printed) => {
    expect(readSubjectAltNames(`DNS:good.example, ${printed}`)).toEqual([])
  })

  test('whatever a value holds, it stays one value', () => {
    const isSafe = (text: string): boolean => /^[ !#-&(-+\--[\]-~]*$/.test(text)
    const kind = fc.constantFrom('DNS', 'email', 'URI')
    fc.assert(
      fc.property(fc.array(fc.tuple(kind, fc.string({ unit: 'binary-ascii' })), { minLength: 1 }), (names) => {
        const printed = names.map(([label, value]) => `${label}:${isSafe(value) ? value : JSON.stringify(value)}`)
        expect(readSubjectAltNames(printed.join(', '))).toEqual(
          names.map(([label, value]) => ({ type: label.toLowerCase(), value })),
        )
      }),
    )
  })
})
