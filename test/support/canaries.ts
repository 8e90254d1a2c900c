/**
 * Secrets that must not be found again: each is a text that occurs nowhere else, looked for in every form in which
 * it could show.
 *
 * ```ts
 * const canaries = new Canaries()
 * client.connect({ password: canaries.plant('password') })
 * canaries.found(everythingIn(event))      // ['password, as base64'], where it should be []
 * ```
 */
import { randomBytes } from 'node:crypto'

export class Canaries {
  readonly #forms: (readonly [name: string, form: string])[] = []

  /** A new secret. */
  plant(name: string): string {
    const secret = `canary-${randomBytes(9).toString('hex')}`
    this.add(name, secret)
    return secret
  }

  /** A secret that came about elsewhere. */
  add(name: string, secret: string | Uint8Array): void {
    const bytes = Buffer.from(secret)
    const base64 = bytes.toString('base64')
    for (const [form, text] of [
      ['as it is', bytes.toString('latin1')],
      // The last characters depend on what follows.
      ['base64', base64.slice(0, -4)],
      ['base64url', bytes.toString('base64url').slice(0, -4)],
      ['hex', bytes.toString('hex')],
      ['numbers', bytes.join(',')],
    ] as const) {
      if (text.length < 12) throw new Error(`${name} is too short to be looked for`)
      this.#forms.push([`${name}, ${form}`, text])
    }
  }

  /** What of them is in the text. */
  found(text: string): string[] {
    const lower = text.toLowerCase()
    return this.#forms.flatMap(([name, form]) => (text.includes(form) || lower.includes(form) ? [name] : []))
  }
}

/**
 * All text that can be reached from a value: names and values, getters and what is not enumerable, maps, sets, bytes,
 * errors with stack and cause.
 */
export function everythingIn(value: unknown, isLeftOut: (object: object) => boolean = () => false): string {
  const seen = new Set<object>()
  const parts: string[] = []
  const waiting: unknown[] = [value]
  for (let one = waiting.pop(); one !== undefined || waiting.length > 0; one = waiting.pop()) {
    if (typeof one === 'string' || typeof one === 'number' || typeof one === 'symbol') parts.push(String(one))
    if (typeof one !== 'object' || one === null || seen.has(one) || isLeftOut(one)) continue
    seen.add(one)
    if (one instanceof Uint8Array) {
      parts.push(Buffer.from(one).toString('latin1'))
      continue
    }
    if (one instanceof Map || one instanceof Set) waiting.push(...([...one.entries()].flat() as unknown[]))
    waiting.push(...valuesOf(one))
  }
  return parts.join('\n')
}

function valuesOf(object: object): unknown[] {
  const found: unknown[] = []
  for (
    let at: object | null = object;
    at !== null && at !== Object.prototype;
    at = Object.getPrototypeOf(at) as object | null
  ) {
    for (const key of Reflect.ownKeys(at)) {
      found.push(key)
      try {
        found.push(Reflect.get(at, key, object))
      } catch {
        // A getter of the prototype that is for others.
      }
    }
  }
  return found
}
