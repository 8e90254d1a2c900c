import { isUtf8 } from 'node:buffer'

import { InvalidArgumentError, type Command } from 'commander'

import { deletePassword, setPasswords, type PasswordEntry } from '../auth/password-edit.ts'
import { hashPassword } from '../auth/password-hash.ts'
import { addScramUser, removeScramUser } from '../auth/scram-file.ts'
import { StatemqError } from '../errors.ts'
import { askPassword, checkedPassword, readPasswordLine, readStandardInput } from './ask-password.ts'

interface PasswdFlags {
  readonly roles?: readonly string[]
  readonly delete?: true
  readonly stdin?: true
  readonly batch?: true
  readonly scram?: true
}

type Roles = readonly string[] | undefined

const MAX_BATCH_BYTES = 16_777_216

const help = `
The password is asked for on the terminal, twice, or read from standard input; a command line shows
in the list of processes, so it is no place for one. Lines of --batch are user:password.

The file is replaced in one step and keeps its mode and owner; a new one can be read by its owner
only (0600). A broker that runs sees the change within a second.`

function usage(message: string): StatemqError {
  return new StatemqError('SMQ_USAGE', message)
}

function roleList(text: string): readonly string[] {
  const roles = text === '' ? [] : text.split(',').map((role) => role.trim())
  if (roles.includes('')) throw new InvalidArgumentError('Expected names with commas between them.')
  return roles
}

/** `statemq passwd`: keeps a password file. */
export function addPasswdCommand(program: Command, write: (text: string) => void): void {
  program
    .command('passwd')
    .description('keep a password file: add a user, change a password, delete a user')
    .argument('<file>', 'the password file; made where there is none')
    .argument('[user]', 'the user name')
    .option('--roles <names>', 'roles of the user, with commas; left as they are without it', roleList)
    .option('--delete', 'delete the user')
    .option('--stdin', 'read the password from standard input')
    .option('--scram', 'keep a file of SCRAM users instead, for MQTT 5 clients with SCRAM')
    .option('--batch', 'add or change many users, one user:password per line of standard input')
    .allowExcessArguments(false)
    .addHelpText('after', help)
    .action(async (file: string, user: string | undefined, flags: PasswdFlags) => {
      write(`${await passwd(file, user, flags)}\n`)
    })
}

async function passwd(file: string, user: string | undefined, flags: PasswdFlags): Promise<string> {
  const { roles, batch, stdin, scram } = flags
  if (batch) {
    if (user !== undefined || flags.delete || stdin || scram) throw usage('--batch takes a file and --roles only')
    return many(file, roles)
  }
  if (user === undefined) throw usage('expected a user name after the file')
  checkUser(user, '')
  if (flags.delete) {
    if (roles || stdin) throw usage('--delete takes a file and a user only')
    await (scram ? removeScramUser : deletePassword)(file, user)
    return `${user} was deleted from ${file}`
  }
  const password = stdin ? await readPasswordLine() : await askPassword(user)
  const isNew = scram ? await addScram(file, user, password, roles) : await addHash(file, user, password, roles)
  return isNew ? `${user} was added to ${file}` : `${user} has a new password in ${file}`
}

async function addHash(file: string, user: string, password: Buffer, roles: Roles): Promise<boolean> {
  const { added } = await setPasswords(file, [{ user, hash: await hashPassword(password), roles }])
  return added === 1
}

async function addScram(file: string, user: string, password: Buffer, roles: Roles): Promise<boolean> {
  if (!isUtf8(password)) throw usage('a password for SCRAM is UTF-8')
  return addScramUser(file, { user, password: password.toString(), ...(roles ? { roles } : {}) })
}

/** All or nothing: a wrong line changes no user. */
async function many(file: string, roles: readonly string[] | undefined): Promise<string> {
  const pairs = readPairs(await readStandardInput(MAX_BATCH_BYTES))
  const entries: PasswordEntry[] = []
  // One after the other: each hash takes 19 MiB and most of a core.
  for (const [user, password] of pairs) entries.push({ user, hash: await hashPassword(password), roles })
  const { added } = await setPasswords(file, entries)
  return `${added} added to ${file}, ${entries.length - added} changed`
}

function readPairs(input: Buffer): Array<readonly [user: string, password: Buffer]> {
  const pairs: Array<readonly [string, Buffer]> = []
  for (let from = 0, line = 1; from < input.length; line += 1) {
    const end = input.indexOf(0x0a, from)
    const next = end < 0 ? input.length : end
    const content = input.subarray(from, input[next - 1] === 0x0d ? next - 1 : next)
    from = next + 1
    if (content.length === 0) continue
    const colon = content.indexOf(0x3a)
    if (colon < 0) throw usage(`line ${line}: expected user:password`)
    const user = content.subarray(0, colon).toString()
    checkUser(user, `line ${line}: `)
    pairs.push([user, checkedPassword(content.subarray(colon + 1))])
  }
  if (pairs.length === 0) throw usage('there are no users on standard input')
  return pairs
}

function checkUser(user: string, where: string): void {
  const isName = user !== '' && Buffer.byteLength(user) <= 1_024 && !/[\p{Cc}\uFFFD]/u.test(user)
  if (!isName) throw usage(`${where}a user name has 1 to 1024 bytes of UTF-8 and no control characters`)
}
