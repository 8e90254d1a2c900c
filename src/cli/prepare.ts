import { createSecureContext } from 'node:tls'

import { compileRoles } from '../auth/access-policy.ts'
import { readPermission } from '../auth/permission.ts'
import { createBroker } from '../broker.ts'
import { StatemqError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import type { BrokerOptions, ListenerOptions, Logger, StoreOptions, TlsOptions } from '../options.ts'
import type { RoleDefinitions } from '../roles.ts'
import { AuthenticatorPool } from './build-authenticators.ts'
import { brokerOptionNames, type ListenerConfig, type RolesConfig } from './config-schema.ts'
import { prepareInspect, type PreparedInspect } from './inspect-settings.ts'
import { Material, type Place } from './material.ts'
import type { Settings } from './settings.ts'
import { storeOptionsOf } from './store-settings.ts'

/** A configuration with all that it names: files are read, authenticators made. */
export interface Prepared {
  readonly settings: Settings
  /** For `createBroker`. */
  readonly broker: BrokerOptions
  /** For `createBroker` as well. */
  readonly store: StoreOptions
  /** For `broker.listen`, in the order of `settings.config.listeners`. */
  readonly listeners: readonly ListenerOptions[]
  /** Undefined: the admin API stays closed. */
  readonly inspect: PreparedInspect | undefined
  /** Limits of the whole broker, with their defaults. */
  readonly limits: Limits
  readonly pool: AuthenticatorPool
}

/**
 * Reads what a configuration names and makes what it describes. Nothing is opened but what
 * authenticators watch. `previous`: what runs now, whose authenticators may be taken over. Throws a
 * {@link ConfigurationError} with everything that is wrong.
 */
export async function prepare(settings: Settings, logger?: Logger, previous?: Prepared): Promise<Prepared> {
  const { config, file, locate } = settings
  const material = new Material(file, locate)
  const pool = new AuthenticatorPool(material, logger, previous?.pool)
  const authenticatorsOf = ({ authenticators }: Pick<ListenerConfig, 'authenticators'>, place: Place) =>
    authenticators === undefined ? {} : { authenticators: pool.build(authenticators, [...place, 'authenticators']) }
  try {
    const named = brokerOptionNames.filter((name) => config[name] !== undefined).map((name) => [name, config[name]])
    const broker = { ...(Object.fromEntries(named) as BrokerOptions), ...authenticatorsOf(config, []) }
    if (config.roles) judgeRoles(config.roles, material)
    const listeners = config.listeners.map((listener, index): ListenerOptions => {
      const place = ['listeners', index]
      const own: object = { ...addressOf(listener, place, material), ...authenticatorsOf(listener, place) }
      return own as ListenerOptions
    })
    const store = storeOptionsOf(config.store, material)
    const inspect = config.inspect && prepareInspect(config.inspect, config.store, material)
    await pool.refresh()
    material.assertSound()
    const limits = await judgeOptions(broker, [], material)
    for (const [index, { clientIds }] of config.listeners.entries())
      if (clientIds) await judgeOptions({ clientIds }, ['listeners', index], material)
    material.assertSound()
    return { settings, broker, store, listeners, inspect, limits: limits!, pool }
  } catch (error) {
    await pool.discard()
    throw error
  }
}

/** A listener with the contents of the files that it names. */
function addressOf(listener: ListenerConfig, place: Place, material: Material): object {
  if (listener.transport === 'unix') return { ...listener, path: material.resolve(listener.path) }
  if (listener.transport === 'tcp' || listener.transport === 'ws') return listener
  const { keyFile, certFile, caFile, crlFile, serverNames, ...others } = listener
  const pair = (files: { readonly keyFile: string; readonly certFile: string }, inside: Place) => ({
    key: material.read(files.keyFile, [...inside, 'keyFile']),
    cert: material.read(files.certFile, [...inside, 'certFile']),
  })
  const names = Object.entries(serverNames ?? {}).map(([name, files]) => [
    name,
    pair(files, [...place, 'serverNames', name]),
  ])
  const options = {
    ...others,
    ...pair({ keyFile, certFile }, place),
    ...(caFile === undefined ? {} : { ca: material.read(caFile, [...place, 'caFile']) }),
    ...(crlFile === undefined ? {} : { crl: material.read(crlFile, [...place, 'crlFile']) }),
    ...(serverNames ? { serverNames: Object.fromEntries(names) as NonNullable<TlsOptions['serverNames']> } : {}),
  }
  if (material.isSound) judgeTls(options, place, material)
  return options
}

/** What OpenSSL can't use is found before a listener is opened or changed. */
function judgeTls({ key, cert, ca, crl, serverNames = {} }: TlsOptions, place: Place, material: Material): void {
  const pairs = [{ key, cert, inside: place }].concat(
    Object.entries(serverNames).map(([name, pair]) => ({ ...pair, inside: [...place, 'serverNames', name] })),
  )
  for (const pair of pairs) {
    try {
      createSecureContext({
        key: pair.key,
        cert: pair.cert,
        ...(ca === undefined ? {} : { ca }),
        ...(crl === undefined ? {} : { crl: [crl].flat() }),
      })
    } catch (error) {
      material.add(pair.inside, new StatemqError('SMQ_TLS_INVALID', (error as Error).message).message)
    }
  }
}

/** Each permission by itself, since all mistakes are to be told at once; then what roles are to each other. */
function judgeRoles(roles: RolesConfig, material: Material): void {
  let isSound = true
  const fault = (place: Place, error: unknown): void => {
    if (!(error instanceof StatemqError)) throw error
    isSound = false
    material.add(place, error.message.replace(/^.*?: role ".*?", (permissions\[\d+\]|include): /, ''))
  }
  for (const [name, { permissions = [] }] of Object.entries(roles)) {
    for (const [index, permission] of permissions.entries()) {
      try {
        readPermission(name, index, permission)
      } catch (error) {
        fault(['roles', name, 'permissions', index], error)
      }
    }
  }
  if (!isSound) return
  try {
    compileRoles(roles as unknown as RoleDefinitions, 0)
  } catch (error) {
    const [, name] = /role ("(?:[^"\\]|\\.)*"), include/.exec((error as Error).message) ?? []
    fault(name === undefined ? ['roles'] : ['roles', JSON.parse(name) as string, 'include'], error)
  }
}

/** What the broker itself refuses; nothing is opened by creating one. */
async function judgeOptions(options: BrokerOptions, place: Place, material: Material): Promise<Limits | undefined> {
  try {
    // Closing it would close its authenticators.
    const broker = createBroker({ ...options, authenticators: [] })
    await broker.close({ drainTimeoutMs: 0 })
    return broker.limits
  } catch (error) {
    if (!(error instanceof StatemqError)) throw error
    const [, path = '', what = error.message] = /: ([\w.]+): (.*)$/.exec(error.message) ?? []
    material.add([...place, ...path.split('.').filter((name) => name !== '')], what)
    return undefined
  }
}
