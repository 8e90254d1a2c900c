import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import type { Command } from 'commander'

import { StatemqError } from '../errors.ts'
import { askSecret } from './ask-password.ts'
import type { AdminTarget } from './admin-client.ts'

export interface TargetFlags {
  readonly url?: string
  readonly tokenFile?: string
  readonly data?: string
  readonly ca?: string
  readonly askToken?: true
  readonly plainHttp?: true
}

/** The options that say where the broker is, and who asks. */
export function withTarget(command: Command): Command {
  return command
    .option('--url <url>', 'the admin API')
    .option('--token-file <file>', 'a file with the token')
    .option('--ask-token', 'ask for the token on the terminal')
    .option('--data <directory>', 'where a broker on this machine has left its token (default: ./statemq-data)')
    .option('--ca <file>', 'authority of the API’s certificate (PEM)')
    .option('--plain-http', 'send the token over plain HTTP to another machine')
}

const DEFAULT_URL = 'http://127.0.0.1:7883'
/** Where a broker that the command has started leaves the token of this run. */
const TOKEN_FILE = 'inspect-token'

function usage(message: string): StatemqError {
  return new StatemqError('SMQ_USAGE', message)
}

/**
 * Which broker, and who asks: the token is `STATEMQ_TOKEN`, of `--token-file`, asked for on the terminal, or the one that
 * `statemq start` has left in its data directory. It is never an argument, which everybody on the machine may read.
 */
export async function targetOf(flags: TargetFlags, environment: NodeJS.ProcessEnv): Promise<AdminTarget> {
  const url = urlOf(flags.url ?? environment['STATEMQ_URL'] ?? DEFAULT_URL)
  const token = await tokenOf(flags, environment)
  if (token !== undefined && url.protocol === 'http:' && !isLoopback(url.hostname) && !flags.plainHttp)
    throw usage(`the token would cross the network in clear: use https, or --plain-http where nobody listens`)
  return { url, token, ca: flags.ca === undefined ? undefined : readBytes(flags.ca) }
}

function urlOf(text: string): URL {
  if (!URL.canParse(text)) throw usage(`${JSON.stringify(text)} is no URL, such as ${DEFAULT_URL}`)
  const url = new URL(text)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw usage(`${url.protocol} is neither http: nor https:`)
  // Whoever lists processes would read it.
  if (url.username !== '' || url.password !== '' || url.hash !== '')
    throw usage('a URL with a token or a password in it is seen by everybody: set STATEMQ_TOKEN, or use --token-file')
  return url
}

async function tokenOf(flags: TargetFlags, environment: NodeJS.ProcessEnv): Promise<string | undefined> {
  if (flags.askToken) return checked((await askSecret('Token: ')).toString(), 'what was typed')
  if (flags.tokenFile !== undefined) return checked(readBytes(flags.tokenFile).toString(), flags.tokenFile)
  const given = environment['STATEMQ_TOKEN']
  if (given !== undefined && given !== '') return checked(given, 'STATEMQ_TOKEN')
  const left = join(flags.data ?? './statemq-data', TOKEN_FILE)
  return existsSync(left) ? checked(readBytes(left).toString(), left) : undefined
}

function checked(text: string, where: string): string {
  const token = text.trim()
  if (token === '' || !/^[\x21-\x7e]+$/.test(token)) throw usage(`${where} holds no token`)
  return token
}

function readBytes(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new StatemqError('SMQ_USAGE', (error as Error).message, { cause: error })
  }
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d+){3}$/.test(hostname)
}
