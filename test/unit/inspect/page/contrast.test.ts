/** The page's colours against each other, by WCAG 2.2: text at least 4.5 to 1, what carries a meaning at least 3 to 1. */
import { describe, expect, test } from 'vitest'

import { readFiles } from '../../../support/source-files.ts'

const [{ text: css } = { text: '' }] = readFiles('src/inspect/page/styles/base.css')
const blockOf = (selector: string): string => css.slice(css.indexOf(selector)).split('}')[0] ?? ''
const coloursOf = (block: string): Map<string, string> =>
  new Map([...block.matchAll(/(--[\w-]+): (#[\da-f]{6});/g)].map(([, name = '', value = '']) => [name, value]))
const light = coloursOf(blockOf(':root {'))
const themes = { light, dark: new Map([...light, ...coloursOf(blockOf(":root[data-theme='dark'] {"))]) }

function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}

function contrast(one: string, other: string): number {
  const [dark = 0, bright = 0] = [luminance(one), luminance(other)].toSorted((a, b) => a - b)
  return (bright + 0.05) / (dark + 0.05)
}

const families = ['begin', 'decide', 'online', 'offline', 'end', 'own']
const surfaces = ['--paper', '--raised', '--sunk']
const text = [
  ...['--ink', '--quiet', '--bad', '--warn'].flatMap((ink) => surfaces.map((paper) => [ink, paper])),
  ['--accent-ink', '--accent'],
  ['--bad', '--bad-soft'],
  ['--ink', '--bad-soft'],
  ...families.flatMap((family) => [
    [`--${family}-ink`, '--paper'],
    // A state that is lit on the chart of one session turns these two around.
    [`--${family}-ink`, `--${family}-fill`],
    ['--ink', `--${family}-fill`],
    ['--quiet', `--${family}-fill`],
  ]),
]
const signs = [
  ...families.map((family) => [`--${family}-edge`, '--paper']),
  ['--focus', '--paper'],
  ['--line-strong', '--raised'],
]

describe.each(Object.entries(themes))('%s', (_, colours) => {
  const low = (pairs: string[][], least: number): string[] =>
    pairs.flatMap(([one = '', other = '']) => {
      const ratio = contrast(colours.get(one) ?? '', colours.get(other) ?? '')
      return ratio >= least ? [] : [`${one} on ${other}: ${ratio.toFixed(2)}`]
    })

  test('text can be read', () => {
    expect(low(text, 4.5)).toEqual([])
  })

  test('what carries a meaning can be seen', () => {
    expect(low(signs, 3)).toEqual([])
  })
})
