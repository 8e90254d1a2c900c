import { readFileSync } from 'node:fs'
import { Option, type Command } from 'commander'
import type { IClientOptions, MqttClient } from 'mqtt'

import { StatemqError } from '../errors.ts'
import { count } from './admin-commands.ts'
import { askSecret } from './ask-password.ts'
import { visible } from './terminal-text.ts'

export interface ConnectionFlags {
  readonly url?: string
  readonly id?: string
  readonly user?: string
  readonly passwordFile?: string
  readonly askPassword?: true
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly insecure?: true
  readonly protocol: '3.1' | '3.1.1' | '5'
  readonly keepalive: number
  readonly connectTimeout: number
}

const DEFAULT_URL = 'mqtt://127.0.0.1:1883'
const MAX_KEEP_ALIVE_SECONDS = 65_535
const MAX_CONNECT_TIMEOUT_SECONDS = 3_600
const versions = { '3.1': 3, '3.1.1': 4, '5': 5 } as const

function usage(message: string): StatemqError {
  return new StatemqError('SMQ_USAGE', message)
}

/** What `pub` and `sub` have in common. */
export function withConnection(command: Command): Command {
  return command
    .option('--url <url>', `mqtt:, mqtts:, ws: or wss: (default: STATEMQ_MQTT_URL, or ${DEFAULT_URL})`)
    .option('-i, --id <client-id>', 'client identifier (default: one of its own)')
    .option('-u, --user <name>', 'user name (default: STATEMQ_USER)')
    .option('--password-file <file>', 'a file whose first line is the password (default: STATEMQ_PASSWORD)')
    .option('--ask-password', 'ask for the password on the terminal')
    .option('--ca <file>', 'authority of the broker’s certificate (PEM)')
    .option('--cert <file>', 'certificate of the client (PEM)')
    .option('--key <file>', 'its key (PEM)')
    .option('--insecure', 'take any certificate: anybody may be the broker')
    .addOption(new Option('--protocol <version>', 'of MQTT').choices(Object.keys(versions)).default('5'))
    .option('--keepalive <seconds>', 'between two pings', count(MAX_KEEP_ALIVE_SECONDS), 60)
    .option('--connect-timeout <seconds>', 'for the connection', count(MAX_CONNECT_TIMEOUT_SECONDS), 10)
    .allowExcessArguments(false)
}

/** Connects, or rejects with SMQ_CONNECT_FAILED. A connection that ends later stays ended. */
export async function connect(flags: ConnectionFlags, environment: NodeJS.ProcessEnv): Promise<MqttClient> {
  const url = urlOf(flags.url ?? environment['STATEMQ_MQTT_URL'] ?? DEFAULT_URL)
  const options = await optionsOf(flags, environment)
  // A library that no other command needs.
  const { connectAsync } = await import('mqtt')
  try {
    return await connectAsync(url, options, false)
  } catch (error) {
    throw new StatemqError('SMQ_CONNECT_FAILED', `${url}: ${whyOf(error)}`, { cause: error })
  }
}

/** Rejects when the connection ends, unless that was asked for. */
export function whenLost(client: MqttClient): Promise<never> {
  return new Promise((_resolve, reject) => {
    let reason = 'the connection ended'
    client.on('disconnect', ({ reasonCode, properties }) => {
      reason = `the broker ended it: reason code ${reasonCode ?? 0}${properties?.reasonString ? `, ${visible(properties.reasonString)}` : ''}`
    })
    client.on('error', (error) => {
      reason = whyOf(error)
    })
    client.on('close', () => {
      if (!client.disconnecting) reject(new StatemqError('SMQ_CONNECT_FAILED', reason))
    })
  })
}

export function whyOf(error: unknown): string {
  const { code, message } = error as { readonly code?: unknown; readonly message?: string }
  if (code === 'ECONNREFUSED') return 'nobody listens there'
  return visible(message || String(code))
}

function urlOf(text: string): string {
  if (!URL.canParse(text)) throw usage(`${JSON.stringify(text)} is no URL, such as ${DEFAULT_URL}`)
  const { protocol, username, password } = new URL(text)
  if (!['mqtt:', 'mqtts:', 'ws:', 'wss:'].includes(protocol))
    throw usage(`${protocol} is none of mqtt:, mqtts:, ws:, wss:`)
  if (username !== '' || password !== '')
    throw usage('a URL with a password in it is seen by everybody: use --user, and STATEMQ_PASSWORD or --password-file')
  return text
}

async function optionsOf(flags: ConnectionFlags, environment: NodeJS.ProcessEnv): Promise<IClientOptions> {
  const username = flags.user ?? environment['STATEMQ_USER']
  const password = await passwordOf(flags, environment)
  if (password !== undefined && username === undefined && flags.protocol !== '5')
    throw usage(`MQTT ${flags.protocol} knows no password without a user name: --user`)
  return {
    protocolVersion: versions[flags.protocol],
    ...(flags.protocol === '3.1' ? { protocolId: 'MQIsdp' } : {}),
    reconnectPeriod: 0,
    connectTimeout: flags.connectTimeout * 1000,
    keepalive: flags.keepalive,
    rejectUnauthorized: !flags.insecure,
    ...(flags.id === undefined ? {} : { clientId: flags.id }),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(flags.ca === undefined ? {} : { ca: readBytes(flags.ca) }),
    ...(flags.cert === undefined ? {} : { cert: readBytes(flags.cert) }),
    ...(flags.key === undefined ? {} : { key: readBytes(flags.key) }),
  }
}

async function passwordOf(flags: ConnectionFlags, environment: NodeJS.ProcessEnv): Promise<Buffer | undefined> {
  if (flags.askPassword) return askSecret('Password: ')
  if (flags.passwordFile !== undefined) {
    const [line = ''] = readBytes(flags.passwordFile).toString().split(/\r?\n/)
    return Buffer.from(line)
  }
  const given = environment['STATEMQ_PASSWORD']
  return given === undefined ? undefined : Buffer.from(given)
}

export function readBytes(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new StatemqError('SMQ_USAGE', (error as Error).message, { cause: error })
  }
}
