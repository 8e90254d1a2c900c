import { StatemqError } from '../errors.ts'
import { optionWords, reloadableOptions } from '../option-words.ts'
import type {
  AddressOptions,
  BrokerOptions,
  CommonListenerOptions,
  ListenerOptions,
  ReloadOptions,
  TlsOptions,
  WebSocketOptions,
} from '../options.ts'
import type { ClientOptions } from './local-client.ts'

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

type Names<T> = Readonly<Record<keyof T, true>>

const ofEveryListener: Names<CommonListenerOptions> = {
  name: true,
  limits: true,
  hooks: true,
  authenticators: true,
  allowAnonymous: true,
  anonymousRoles: true,
  clientIds: true,
  takeover: true,
  willPolicy: true,
}
const ofAddresses: Names<AddressOptions> = { port: true, host: true, backlog: true, proxyProtocol: true }
const ofTls: Names<TlsOptions> = {
  key: true,
  cert: true,
  ca: true,
  crl: true,
  requestCert: true,
  rejectUnauthorized: true,
  minVersion: true,
  serverNames: true,
}
const ofWebSockets: Names<WebSocketOptions> = { path: true, origins: true }
const ofListener = { transport: true, ...ofEveryListener } as const

/** What a listener can be told, by its transport. */
const listenerOptions: { readonly [T in ListenerOptions['transport']]: Names<ListenerOptions & { transport: T }> } = {
  tcp: { ...ofListener, ...ofAddresses },
  tls: { ...ofListener, ...ofAddresses, ...ofTls },
  ws: { ...ofListener, ...ofAddresses, ...ofWebSockets, server: true },
  wss: { ...ofListener, ...ofAddresses, ...ofTls, ...ofWebSockets },
  unix: { ...ofListener, path: true, mode: true },
}

/** Whoever reloads a listener may pass all that it was opened with: where it listens stays as it is. */
const ofAnyListener = { ...listenerOptions.wss, ...listenerOptions.ws, ...listenerOptions.unix }

const clientOptions: Names<ClientOptions> = {
  clientId: true,
  username: true,
  password: true,
  cleanStart: true,
  sessionExpiryIntervalSeconds: true,
  will: true,
  receiveMaximum: true,
}

const storeTypes: readonly unknown[] = ['memory', 'lmdb', 'redis']

/**
 * What a compiler tells those who write TypeScript: a misspelt `authenticators` would be an open broker. Throws
 * SMQ_OPTION_INVALID.
 */
export function checkedOptions(options: BrokerOptions): BrokerOptions {
  assertNames(options, known)
  assertChoices(options)
  const { store } = options as { readonly store?: { readonly type?: unknown } | null }
  if (store !== undefined && !storeTypes.includes(store?.type)) throw invalid(`store.type: ${expected(storeTypes)}`)
  assertAuthenticators(options.authenticators)
  return options
}

/** The same for what is asked of a running broker. */
export function assertChanges(changes: ReloadOptions): void {
  assertNames(changes, known)
  for (const name of Object.keys(changes)) {
    if (!Object.hasOwn(reloadableOptions, name)) throw invalid(`${name}: a running broker can't take another one`)
  }
}

/** The same for a listener; what its options of TLS and addresses are is judged where they are used. */
export function assertListenerOptions(options: ListenerOptions): void {
  assertObject(options)
  const { transport } = options
  if (!Object.hasOwn(listenerOptions, transport))
    throw invalid(`transport: ${expected(Object.keys(listenerOptions))}, not ${JSON.stringify(transport)}`)
  assertNames(options, listenerOptions[transport], ` of a listener of transport ${transport}`)
  assertCommon(options)
}

/** The same for what a listener that is open takes anew. */
export function assertListenerChanges(own: CommonListenerOptions): void {
  assertNames(own, ofAnyListener, ' of a listener')
  assertCommon(own)
}

export function assertClientOptions(options: ClientOptions): void {
  assertNames(options, clientOptions, ' of a client')
}

function assertCommon(own: CommonListenerOptions): void {
  assertChoices(own)
  assertAuthenticators(own.authenticators)
}

function assertObject(options: unknown): void {
  if (typeof options !== 'object' || options === null) throw invalid('expected an object of options')
}

function assertNames(options: object, names: object, where = ''): void {
  assertObject(options)
  for (const name of Object.keys(options)) {
    if (!Object.hasOwn(names, name)) throw invalid(`there is no option ${JSON.stringify(name)}${where}`)
  }
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
