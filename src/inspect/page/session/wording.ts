import type { Decision } from '../../../inspection.ts'
import type { DecidingPermission } from '../../../roles.ts'
import { ReasonCode } from '../../../reason-codes.ts'
import { hex } from '../parts/format.ts'

/** Who decided, as a person says it. */
export function deciderOf({ by, name }: Decision): string {
  const named = name === '' ? '' : ` ${name}`
  switch (by) {
    case 'client':
      return 'the client'
    case 'operator':
      return name === '' ? 'an operator' : `operator${named}`
    case 'network':
      return 'the network'
    case 'broker':
      return name === '' ? 'the broker' : `the broker (${name})`
    case 'guard':
      return name === '' ? 'a guard of the chart' : `the chart’s guard ${name}`
    default:
      return name === '' ? (by === 'authenticator' ? 'an authenticator' : `a ${by}`) : `${by}${named}`
  }
}

const codeNames = new Map<number, string>(Object.entries(ReasonCode).map(([name, code]) => [code, name]))

/** `0x87 not authorized` */
export function codeInWords(code: number): string {
  const name = codeNames.get(code)
  const words = name
    ?.replace(/([a-z])([A-Z])/g, '$1 $2')
    .replace(/^[A-Z][a-z]|(?<= )[A-Z](?=[a-z])/g, (letter) => letter.toLowerCase())
  return words === undefined ? hex(code) : `${hex(code)} ${words}`
}

/** `role device, permission 3: deny site/#` */
export function ruleInWords({ role, index, effect, topic }: DecidingPermission): string {
  return `role ${role}, permission ${index + 1}: ${effect} ${topic}`
}
