import type { SessionContext } from '../../machines/session.machine.ts'
import type { FilterSubject } from '../auth/filter/ast.ts'
import type { SessionState } from '../events.ts'
import type { ConnectRequest, Grant } from '../hooks.ts'
import type { Attributes, AttributeValue } from '../properties.ts'
import { fixedPropertyOf, propertyOf, rolesOf, type FixedFacts } from './fixed-properties.ts'
import type { Session } from './session.ts'

const OF_SESSION = '@session.'
const OF_CONNECTION = '@connection.'

/** A session as a filter sees it, and asks for no more of it than it compares. One may be pointed at one session after the other. */
export class SessionSubject implements FilterSubject, FixedFacts {
  #session: Session

  constructor(session: Session) {
    this.#session = session
  }

  pointAt(session: Session): this {
    this.#session = session
    return this
  }

  get grant(): Grant | undefined {
    return this.#session.grant
  }

  get context(): SessionContext {
    return this.#session.context
  }

  get state(): SessionState {
    return this.#session.state
  }

  get connect(): ConnectRequest | undefined {
    return this.#session.context.connect
  }

  get(key: string): string | number | boolean | undefined {
    switch (key.charCodeAt(0)) {
      case 0x24: // $
        return fixedPropertyOf(key, this)
      case 0x40: // @
        if (key.startsWith(OF_SESSION)) return attributeOf(this.context.sessionAttributes, key.slice(OF_SESSION.length))
        return attributeOf(this.context.connectionAttributes, key.slice(OF_CONNECTION.length))
      default:
        return propertyOf(this.grant, key)
    }
  }

  hasRole(role: string): boolean {
    return rolesOf(this.grant).includes(role)
  }
}

function attributeOf(attributes: Attributes, name: string): AttributeValue | undefined {
  return Object.hasOwn(attributes, name) ? attributes[name] : undefined
}
