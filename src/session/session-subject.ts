import type { SessionContext } from '../../machines/session.machine.ts'
import type { FilterSubject } from '../auth/filter/ast.ts'
import type { SessionState } from '../events.ts'
import type { Attributes, AttributeValue } from '../properties.ts'
import { fixedPropertyOf, propertyOf, rolesOf } from './fixed-properties.ts'
import type { Session } from './session.ts'

const OF_SESSION = '@session.'
const OF_CONNECTION = '@connection.'

/** A session as a filter sees it. One may be pointed at one session after the other. */
export class SessionSubject implements FilterSubject {
  #context: SessionContext
  #state: SessionState

  constructor({ context, state }: Session) {
    this.#context = context
    this.#state = state
  }

  pointAt({ context, state }: Session): this {
    this.#context = context
    this.#state = state
    return this
  }

  get(key: string): string | number | boolean | undefined {
    const context = this.#context
    switch (key.charCodeAt(0)) {
      case 0x24: // $
        return fixedPropertyOf(key, { context, state: this.#state, connect: context.connect })
      case 0x40: // @
        if (key.startsWith(OF_SESSION)) return attributeOf(context.sessionAttributes, key.slice(OF_SESSION.length))
        return attributeOf(context.connectionAttributes, key.slice(OF_CONNECTION.length))
      default:
        return propertyOf(context.grant, key)
    }
  }

  hasRole(role: string): boolean {
    return rolesOf(this.#context.grant).includes(role)
  }
}

function attributeOf(attributes: Attributes, name: string): AttributeValue | undefined {
  return Object.hasOwn(attributes, name) ? attributes[name] : undefined
}
