import fc from 'fast-check'
import { expect, test } from 'vitest'

import { decodeRoles, encodeRoles } from '../../../src/session/fixed-properties.ts'

test('roles are a quoted list, and read as what they were', () => {
  expect(encodeRoles([])).toBe('')
  expect(encodeRoles(['r1', 'r "2"', 'r\\3', 'r,4'])).toBe(String.raw`"r1","r \"2\"","r\\3","r,4"`)
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'grapheme' })), (roles) => {
      expect(decodeRoles(encodeRoles(roles))).toEqual(roles)
    }),
  )
})

test.each(['r1', '"r1', 'r1"', '"r1",', ',"r1"', '"r1" "r2"', '"r1","r2', '"r"1"', String.raw`"r\n"`, ' "r1"'])(
  '%j is no such list',
  (text) => {
    expect(() => decodeRoles(text)).toThrow(TypeError)
  },
)
