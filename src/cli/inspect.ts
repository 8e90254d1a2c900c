import { randomBytes } from 'node:crypto'
import { constants, mkdirSync, openSync, closeSync, fstatSync, readFileSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

import type { Broker, Inspector } from '../api.ts'
import { StatemqError } from '../errors.ts'
import { MIN_TOKEN_LENGTH } from '../inspect/protection.ts'
import type { InspectOptions, Logger } from '../options.ts'
import type { PreparedInspect } from './inspect-settings.ts'

/**
 * Opens the admin API of a broker that the command runs. Where no tokens or users are configured there is one
 * token, in a file that only its owner reads: `statemq sessions` and its like find it there. A terminal is shown
 * a URL with it behind `#`, which no browser sends to anybody; a log, which others keep and read, never is.
 */
export async function openInspect(broker: Broker, prepared: PreparedInspect, log: Logger): Promise<Inspector> {
  const isTerminal = process.stderr.isTTY
  if (needsToken(prepared) && prepared.tokenFile === undefined && !isTerminal)
    throw new StatemqError(
      'SMQ_INSPECT_UNPROTECTED',
      'nobody would learn of a token: configure inspect.tokens or inspect.users, or name an inspect.tokenFile for one',
    )
  const options = withFirstToken(prepared)
  const inspector = await broker.inspect(options)
  const [url] = inspector.url.split('#')
  log.info({ url, ...(prepared.tokenFile && { tokenFile: prepared.tokenFile }) }, `the inspector is at ${url}`)
  const token = inspector.token ?? (needsToken(prepared) ? options.tokens?.[0]?.token : undefined)
  if (isTerminal && token !== undefined) process.stderr.write(`Inspector: ${url}#token=${token}\n`)
  return inspector
}

/** Takes what can be taken anew: tokens, users, names, key and certificate. */
export async function reloadInspect(inspector: Inspector, prepared: PreparedInspect): Promise<void> {
  const { hosts = [], users = [], tokens = [], tls } = withFirstToken(prepared)
  await inspector.reload({ hosts, users, tokens })
  if (tls) inspector.setSecureContext(tls)
}

function needsToken({ options: { tokens = [], users = [] } }: PreparedInspect): boolean {
  return tokens.length === 0 && users.length === 0
}

function withFirstToken(prepared: PreparedInspect): InspectOptions {
  const { options, tokenFile } = prepared
  if (!needsToken(prepared) || tokenFile === undefined) return options
  return { ...options, tokens: [{ name: 'first-run', role: 'operate', token: tokenIn(tokenFile) }] }
}

/** The token of a file; where there is none yet, one is made that only the owner of the process can read. */
function tokenIn(file: string): string {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const made = createNew(file)
  if (made !== undefined) return made
  // Of the very file that was looked at: its name may lead elsewhere a moment later.
  const descriptor = openExisting(file)
  try {
    const facts = fstatSync(descriptor)
    if (!facts.isFile() || (process.platform !== 'win32' && (facts.mode & 0o077) !== 0))
      throw new StatemqError('SMQ_INSPECT_UNPROTECTED', `${file} can be read by others; chmod 600 it, or take it away`)
    const token = readFileSync(descriptor, 'utf8').trim()
    if (token.length < MIN_TOKEN_LENGTH)
      throw new StatemqError(
        'SMQ_INSPECT_UNPROTECTED',
        `${file} has no token of ${MIN_TOKEN_LENGTH} characters or more`,
      )
    return token
  } finally {
    closeSync(descriptor)
  }
}

/** Undefined: there is one already. */
function createNew(file: string): string | undefined {
  try {
    const descriptor = openSync(file, 'wx', 0o600)
    const token = randomBytes(32).toString('base64url')
    writeSync(descriptor, `${token}\n`)
    closeSync(descriptor)
    return token
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined
    throw unusable(file, error)
  }
}

function openExisting(file: string): number {
  try {
    return openSync(file, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0))
  } catch (error) {
    throw unusable(file, error)
  }
}

function unusable(file: string, cause: unknown): StatemqError {
  return new StatemqError('SMQ_INSPECT_UNPROTECTED', `${file} could not be used: ${(cause as Error).message}`, {
    cause,
  })
}
