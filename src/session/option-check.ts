import { StatemqError } from '../errors.ts'
import { optionWords } from '../option-words.ts'
import type { BrokerOptions, CommonListenerOptions } from '../options.ts'

/** Every option, and of those that are one of a few words or numbers which they are. */
const known: Readonly<Record<keyof BrokerOptions, readonly unknown[] | undefined>> = {
  ...optionWords,
  limits: undefined,
  authenticators: undefined,
  allowAnonymous: [true, false],
  anonymousRoles: undefined,
  roles: undefined,
  clientIds: undefined,
  proposedPropertyPrefix: undefined,
  deniedPublish: undefined,
  bans: undefined,
  hooks: undefined,
  machine: undefined,
  responseInformation: undefined,
  maximumQoS: [0, 1, 2],
  retainAvailable: [true, false],
  wildcardSubscriptionAvailable: [true, false],
  subscriptionIdentifiersAvailable: [true, false],
  sharedSubscriptionAvailable: [true, false],
  store: undefined,
  history: [true, false],
  inspect: undefined,
  sysTopics: undefined,
  clock: undefined,
  logger: undefined,
}

const storeTypes: readonly unknown[] = ['memory', 'lmdb', 'redis']

/**
 * What a compiler tells those who write TypeScript: a misspelt `authenticators` would be an open broker. Throws
 * SMQ_OPTION_INVALID.
 */
export function assertOptions(options: BrokerOptions): void {
  for (const name of Object.keys(options)) {
    if (!Object.hasOwn(known, name)) throw invalid(`there is no option ${JSON.stringify(name)}`)
  }
  assertChoices(options)
  const { store } = options as { readonly store?: { readonly type?: unknown } | null }
  if (store !== undefined && !storeTypes.includes(store?.type)) throw invalid(`store.type: ${expected(storeTypes)}`)
  assertAuthenticators(options.authenticators)
}

/** The same for what is a listener's own; what is its transport's is judged there. */
export function assertListenerOptions(own: CommonListenerOptions): void {
  assertChoices(own)
  assertAuthenticators(own.authenticators)
}

function assertChoices(options: object): void {
  for (const [name, value] of Object.entries(options)) {
    const choices = Object.hasOwn(known, name) ? known[name as keyof BrokerOptions] : undefined
    if (value === undefined || choices === undefined || choices.includes(value)) continue
    throw invalid(`${name}: ${expected(choices)}`)
  }
}

function assertAuthenticators(authenticators: unknown): void {
  if (authenticators === undefined) return
  if (!Array.isArray(authenticators)) throw invalid('authenticators: expected a list')
  for (const [at, one] of authenticators.entries()) {
    const { authenticate } = ((one as unknown) ?? {}) as { readonly authenticate?: unknown }
    if (typeof authenticate !== 'function') throw invalid(`authenticators.${at}: expected a function "authenticate"`)
  }
}

function expected(choices: readonly unknown[]): string {
  return `expected ${choices.map((one) => JSON.stringify(one)).join(', ')}`
}

function invalid(what: string): StatemqError {
  return new StatemqError('SMQ_OPTION_INVALID', what)
}
