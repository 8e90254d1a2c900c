/** Text of clients as the inspector shows it (threat 92), and numbers. */
import { describe, expect, test } from 'vitest'

import * as format from '../../../../src/inspect/page/parts/format.ts'
import { piecesOf, plainOf } from '../../../../src/inspect/page/parts/hostile.ts'

describe('text of clients', () => {
  test.each([
    ['plain', 'press-1', 'press-1'],
    ['markup is only text', '<img src=x onerror=alert(1)>', '<img src=x onerror=alert(1)>'],
    ['other scripts stay', 'датчик/温度/حرارة', 'датчик/温度/حرارة'],
    ['a turn of direction', 'gate\u202Etxt.exe', 'gate⟨RLO⟩txt.exe'],
    ['isolates', '\u2066a\u2069', '⟨LRI⟩a⟨PDI⟩'],
    ['zero width', 'a\u200Bb\u200Dc\uFEFF', 'a⟨ZWSP⟩b⟨ZWJ⟩c⟨BOM⟩'],
    ['soft hyphen', 'a\u00ADb', 'a⟨SHY⟩b'],
    ['control characters', 'a\u0000\u001B[31m\r\n\tb\u007F\u0085', 'a⟨NUL⟩⟨ESC⟩[31m⟨CR⟩⟨LF⟩⟨TAB⟩b⟨DEL⟩⟨U+0085⟩'],
    ['spaces that are not spaces', 'a\u00A0b\u3000c', 'a⟨NBSP⟩b⟨U+3000⟩c'],
    ['spaces at the edges', ' a b  ', '⟨SP⟩a b⟨SP⟩⟨SP⟩'],
    ['line and paragraph ends', 'a\u2028b\u2029c', 'a⟨U+2028⟩b⟨U+2029⟩c'],
    ['letters that are drawn as nothing', 'a\u3164b\uFE0Fc', 'a⟨U+3164⟩b⟨U+FE0F⟩c'],
    ['tags', 'a\u{E0041}', 'a⟨U+E0041⟩'],
    ['half a pair', 'a\uD800b', 'a⟨U+D800⟩b'],
    ['private use', '\uE000', '⟨U+E000⟩'],
  ])('%s', (_, text, shown) => {
    expect(plainOf(text)).toBe(shown)
  })

  test('pieces hold all of the text, in order', () => {
    const text = ' a\u202Eb\u200B\u200Bc '
    expect(
      piecesOf(text)
        .map(({ text: piece }) => piece)
        .join(''),
    ).toBe(text)
    expect(piecesOf(text).map(({ named }) => named)).toEqual([
      'SP',
      undefined,
      'RLO',
      undefined,
      'ZWSP',
      'ZWSP',
      undefined,
      'SP',
    ])
  })

  test('what is too long is cut, and says so', () => {
    expect(plainOf('x'.repeat(600), 512)).toBe(`${'x'.repeat(512)}⟨… 88 more⟩`)
  })
})

describe('numbers', () => {
  test.each([
    [format.short, 0, '0'],
    [format.short, 0.4, '0.40'],
    [format.short, 9_999, '9,999'],
    [format.short, 12_345, '12.3 k'],
    [format.short, 999_960, '1 M'],
    [format.short, 4_560_000, '4.56 M'],
    [format.rate, 0.004, '< 0.01'],
    [format.rate, 50_123, '50.1 k'],
    [format.bytes, 999, '999 B'],
    [format.bytes, 1_500, '1.50 kB'],
    [format.bytes, 227_000_000, '227 MB'],
    [format.milliseconds, 0.412, '0.41 ms'],
    [format.milliseconds, 1_500, '2 s'],
    [format.duration, 340, '340 ms'],
    [format.duration, 12_000, '12 s'],
    [format.duration, 200_000, '3 min 20 s'],
    [format.duration, 3_600_000, '1 h'],
    [format.duration, 1_047_600_000, '12 d 3 h'],
    [format.duration, 59_999, '1 min'],
    [format.percent, 0.0289, '2.89 %'],
    [format.hex, 0x87, '0x87'],
  ])('%o of %d is %s', (write, value, text) => {
    expect(write(value)).toBe(text)
  })

  test('how long ago, and how soon', () => {
    expect([format.relative(5_000, 65_000), format.relative(70_000, 65_000), format.relative(65_400, 65_000)]).toEqual([
      '1 min ago',
      'in 5 s',
      'now',
    ])
  })
})
