import { StatemqError } from '../errors.ts'
import { reachesOtherMachines, type InspectOptions, type InspectRole } from '../options.ts'

/** Each role may do what those before it may. */
export const ranks: Readonly<Record<InspectRole, number>> = { metrics: 0, read: 1, operate: 2 }

/** 32 characters of base64 are 192 bits: nobody guesses that, and nobody has to be slowed down who tries. */
export const MIN_TOKEN_LENGTH = 32

/**
 * Throws SMQ_INSPECT_UNPROTECTED where strangers could get in or listen, and SMQ_OPTION_INVALID for what cannot be
 * meant. `hashFault` says what is wrong with the hash of a password.
 */
export function assertProtected(options: InspectOptions, hashFault: (hash: string) => string | undefined): void {
  const { host, tls, allowPlaintext, tokens = [], users = [], hosts = [] } = options
  const faulty = hosts.find((name) => typeof name !== 'string' || !/^[\w-]+(\.[\w-]+)*$/.test(name))
  if (faulty !== undefined)
    throw invalid(`hosts: ${JSON.stringify(faulty)} is no host name; a port does not belong to it`)
  const names = new Set<string>()
  for (const { name, role } of [...tokens, ...users]) {
    if (typeof name !== 'string' || name === '') throw invalid('every token and user has a name')
    if (names.has(name)) throw invalid(`the name ${JSON.stringify(name)} is given twice`)
    if (!Object.hasOwn(ranks, role)) throw invalid(`the role of ${JSON.stringify(name)} is metrics, read or operate`)
    names.add(name)
  }
  for (const { name, token } of tokens) {
    if (typeof token !== 'string' || token.length < MIN_TOKEN_LENGTH)
      throw unprotected(`the token ${JSON.stringify(name)} has less than ${MIN_TOKEN_LENGTH} characters`)
    // It stands in a header, where nothing else can.
    if (!/^[\x21-\x7e]+$/.test(token)) throw invalid(`the token ${JSON.stringify(name)} holds more than visible ASCII`)
  }
  for (const { name, passwordHash } of users) {
    const fault = hashFault(passwordHash)
    if (fault !== undefined) throw invalid(`user ${JSON.stringify(name)}: ${fault}`)
    if (name.includes(':')) throw invalid(`user ${JSON.stringify(name)}: a colon ends the name in Basic authorization`)
  }
  if (!reachesOtherMachines({ transport: 'tcp', host })) return
  if (!tls && !allowPlaintext) throw unprotected(`${host} without TLS would send tokens in clear text`)
  if (names.size === 0) throw unprotected(`${host} needs tokens or users of its own`)
}

function invalid(what: string): StatemqError {
  return new StatemqError('SMQ_OPTION_INVALID', `inspect: ${what}`)
}

function unprotected(what: string): StatemqError {
  return new StatemqError('SMQ_INSPECT_UNPROTECTED', what)
}
