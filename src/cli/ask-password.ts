import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'

import { StatemqError } from '../errors.ts'

/** The longest password that CONNECT can carry. */
const MAX_PASSWORD_BYTES = 65_535

function usage(message: string): StatemqError {
  return new StatemqError('SMQ_USAGE', message)
}

/** Not empty, not too long for the protocol. Throws SMQ_USAGE. */
export function checkedPassword(password: Buffer): Buffer {
  if (password.length === 0) throw usage('the password is empty')
  if (password.length > MAX_PASSWORD_BYTES) throw usage(`the password has more than ${MAX_PASSWORD_BYTES} bytes`)
  return password
}

/** Asks for each of these on the terminal, without showing what is typed. Rejects with SMQ_USAGE where there is none. */
async function askHidden(prompts: readonly string[]): Promise<Buffer[]> {
  const { stdin, stderr } = process
  if (!stdin.isTTY) throw usage('there is no terminal to ask on')
  // Readline shows what is typed on its output, so it gets one that shows nothing.
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const typed = createInterface({ input: stdin, output: nowhere, terminal: true, historySize: 0 })
  typed.once('SIGINT', () => typed.close())
  const lines = typed[Symbol.asyncIterator]()
  const answers: Buffer[] = []
  try {
    for (const prompt of prompts) {
      stderr.write(prompt)
      const line = await lines.next()
      stderr.write('\n')
      if (line.done) throw usage('nothing was typed')
      answers.push(checkedPassword(Buffer.from(line.value)))
    }
    return answers
  } finally {
    typed.close()
    stdin.unref()
  }
}

/** Asks for a secret once. Rejects with SMQ_USAGE where there is no terminal, or nothing was typed. */
export async function askSecret(prompt: string): Promise<Buffer> {
  const [secret] = await askHidden([prompt])
  return secret!
}

/**
 * Asks twice on the terminal, without showing what is typed. Rejects with SMQ_USAGE where there is no
 * terminal, the two differ, or nothing was typed.
 */
export async function askPassword(user: string): Promise<Buffer> {
  if (!process.stdin.isTTY)
    throw usage('there is no terminal to ask on; --stdin reads the password from standard input')
  const [password, again] = await askHidden([`Password of ${JSON.stringify(user)}: `, 'Once more: '])
  if (!password!.equals(again!)) throw usage('the two passwords differ')
  return password!
}

/** All of standard input. Rejects with SMQ_USAGE beyond `maxBytes`. */
export async function readStandardInput(maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > maxBytes) throw usage(`standard input has more than ${maxBytes} bytes`)
  }
  return Buffer.concat(chunks)
}

/** One line of standard input, whose end is not part of the password. Bytes, since MQTT's passwords are. */
export async function readPasswordLine(): Promise<Buffer> {
  const all = await readStandardInput(MAX_PASSWORD_BYTES + 2)
  const line = all.at(-1) === NEW_LINE ? all.subarray(0, all.at(-2) === CARRIAGE_RETURN ? -2 : -1) : all
  if (line.includes(NEW_LINE)) throw usage('expected one line on standard input; --batch reads many')
  return checkedPassword(line)
}
const NEW_LINE = 0x0a
const CARRIAGE_RETURN = 0x0d
