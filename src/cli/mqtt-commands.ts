import { setTimeout as wait } from 'node:timers/promises'
import { Option, type Command } from 'commander'
import type { IClientPublishOptions, MqttClient } from 'mqtt'

import { StatemqError } from '../errors.ts'
import { count } from './admin-commands.ts'
import { readStandardInput } from './ask-password.ts'
import { connect, readBytes, whenLost, whyOf, withConnection, type ConnectionFlags } from './mqtt-connection.ts'
import { visible } from './terminal-text.ts'

/** The largest packet that MQTT knows. */
const MAX_PAYLOAD_BYTES = 268_435_455

const help = `
The password is STATEMQ_PASSWORD, or the first line of --password-file, or asked for; never an argument, which
everybody on the machine may read.

Exit status: 0 done; 1 the broker refused, or --wait was over first; 2 wrong command line; 3 no connection.`

interface PubFlags extends ConnectionFlags {
  readonly topic: string
  readonly message?: string
  readonly file?: string
  readonly stdin?: true
  readonly lines?: true
  readonly qos: 0 | 1 | 2
  readonly retain?: true
  readonly contentType?: string
  readonly expiry?: number
  readonly json?: true
}

interface SubFlags extends ConnectionFlags {
  readonly topic: readonly string[]
  readonly qos: 0 | 1 | 2
  readonly count?: number
  readonly wait?: number
  readonly verbose?: true
  readonly json?: true
}

const qosOption = (): Option =>
  new Option('-q, --qos <number>', 'quality of service').choices(['0', '1', '2']).default(0).argParser(count(2))

/** `statemq pub` and `statemq sub`: small clients for a first try. */
export function addClientCommands(program: Command, write: (text: string) => void): void {
  withConnection(program.command('pub').description('publish to a broker'))
    .requiredOption('-t, --topic <topic>', 'where to')
    .option('-m, --message <text>', 'the message')
    .option('--file <file>', 'the bytes of a file are the message')
    .option('--stdin', 'standard input is the message')
    .option('--lines', 'each line of standard input is a message')
    .addOption(qosOption())
    .option('-r, --retain', 'the broker keeps the message for whoever comes')
    .option('--content-type <type>', 'what the message is (MQTT 5)')
    .option('--expiry <seconds>', 'how long it may wait (MQTT 5)', count(0xffffffff))
    .option('--json', 'say what the broker answered')
    .addHelpText('after', help)
    .action((flags: PubFlags) => publish(flags, write))
  withConnection(program.command('sub').description('print what is published'))
    .requiredOption(
      '-t, --topic <filter>',
      'what to subscribe to; repeatable',
      (text, earlier: readonly string[] | undefined) => [...(earlier ?? []), text],
    )
    .addOption(qosOption())
    .option('-C, --count <number>', 'messages, and then it ends', count(Number.MAX_SAFE_INTEGER))
    .option('-W, --wait <seconds>', 'and then it ends', count(86_400))
    .option('-v, --verbose', 'print topics too')
    .option('--json', 'print a line of JSON for each message')
    .addHelpText('after', help)
    .action((flags: SubFlags) => subscribe(flags, write))
}

async function publish(flags: PubFlags, write: (text: string) => void): Promise<void> {
  const sources = [flags.message, flags.file, flags.stdin, flags.lines].filter((one) => one !== undefined)
  if (sources.length !== 1) throw new StatemqError('SMQ_USAGE', 'one of --message, --file, --stdin and --lines')
  if (flags.topic === '' || /[+#]/.test(flags.topic))
    throw new StatemqError('SMQ_USAGE', `${JSON.stringify(flags.topic)} is no topic`)
  const whole = flags.lines ? undefined : await payloadOf(flags)
  const client = await connect(flags, process.env)
  const lost = whenLost(client)
  const send = async (payload: Buffer): Promise<void> => {
    const answer = await Promise.race([client.publishAsync(flags.topic, payload, optionsOf(flags)), lost]).catch(
      refusal,
    )
    const reasonCode = (answer as { readonly reasonCode?: number } | undefined)?.reasonCode ?? 0
    if (flags.json)
      write(`${JSON.stringify({ topic: flags.topic, bytes: payload.length, qos: flags.qos, reasonCode })}\n`)
  }
  try {
    if (whole !== undefined) await send(whole)
    else for await (const line of linesOf(process.stdin)) await send(line)
    await client.endAsync()
  } finally {
    client.end(true)
  }
}

/** What came instead of an acknowledgement. */
function refusal(error: unknown): never {
  if (error instanceof StatemqError) throw error
  throw new StatemqError('SMQ_PUBLISH_REFUSED', whyOf(error), { cause: error })
}

function optionsOf({ qos, retain, contentType, expiry, protocol }: PubFlags): IClientPublishOptions {
  if (protocol !== '5' && (contentType ?? expiry) !== undefined)
    throw new StatemqError('SMQ_USAGE', '--content-type and --expiry need --protocol 5')
  const properties = {
    ...(contentType === undefined ? {} : { contentType }),
    ...(expiry === undefined ? {} : { messageExpiryInterval: expiry }),
  }
  return { qos, retain: retain === true, ...(Object.keys(properties).length > 0 ? { properties } : {}) }
}

async function payloadOf({ message, file }: PubFlags): Promise<Buffer> {
  if (message !== undefined) return Buffer.from(message)
  return file === undefined ? readStandardInput(MAX_PAYLOAD_BYTES) : readBytes(file)
}

/** Lines as bytes, as they come, without their ends. */
async function* linesOf(input: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  let rest = Buffer.alloc(0)
  for await (const chunk of input) {
    rest = Buffer.concat([rest, chunk])
    for (let at = rest.indexOf(10); at >= 0; at = rest.indexOf(10)) {
      yield rest.subarray(0, at > 0 && rest[at - 1] === 13 ? at - 1 : at)
      rest = rest.subarray(at + 1)
    }
    if (rest.length > MAX_PAYLOAD_BYTES) throw new StatemqError('SMQ_USAGE', 'a line is longer than a message may be')
  }
  if (rest.length > 0) yield rest
}

async function subscribe(flags: SubFlags, write: (text: string) => void): Promise<void> {
  const client = await connect(flags, process.env)
  const lost = whenLost(client)
  const over = new AbortController()
  const stop = (): void => over.abort()
  process.once('SIGINT', stop).once('SIGTERM', stop)
  try {
    let left = flags.count ?? Infinity
    const enough = new Promise<void>((resolve) => {
      client.on('message', (topic, payload, { qos, retain, properties }) => {
        if (left-- <= 0) return
        show({ topic, payload, qos, retain, properties }, flags, write)
        if (left === 0) resolve()
      })
    })
    await Promise.race([ask(client, flags), lost])
    const { signal } = over
    const ended = wait(flags.wait === undefined ? 0x7fffffff : flags.wait * 1000, undefined, { signal }).then(
      () => 'late' as const,
      () => undefined,
    )
    const end = left > 0 ? await Promise.race([enough, ended, lost]) : undefined
    over.abort()
    await client.endAsync()
    if (end === 'late' && flags.count !== undefined)
      throw new StatemqError(
        'SMQ_MESSAGES_MISSING',
        `${flags.count - left} of ${flags.count} messages in ${flags.wait} s`,
      )
  } finally {
    over.abort()
    process.off('SIGINT', stop).off('SIGTERM', stop)
    client.end(true)
  }
}

async function ask(client: MqttClient, { topic: topics, qos }: SubFlags): Promise<void> {
  try {
    const granted = await client.subscribeAsync([...topics], { qos })
    const refused = granted.find((one) => Number(one.qos) > 2)
    if (refused) throw new Error(`${refused.topic}: reason code ${refused.qos}`)
  } catch (error) {
    if (error instanceof StatemqError) throw error
    // MQTT.js has not even asked the broker.
    const wrong = /^Invalid topic (.*)$/s.exec((error as Error).message)
    if (wrong) throw new StatemqError('SMQ_USAGE', `${JSON.stringify(wrong[1])} is no topic filter`, { cause: error })
    throw new StatemqError('SMQ_SUBSCRIBE_REFUSED', whyOf(error), { cause: error })
  }
}

interface Shown {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: number
  readonly retain: boolean
  readonly properties: object | undefined
}

/** To a terminal what is seen is made harmless; to a file or a pipe the bytes go as they are. */
function show(
  { topic, payload, qos, retain, properties }: Shown,
  flags: SubFlags,
  write: (text: string) => void,
): void {
  if (flags.json) {
    const text = payload.toString()
    const isText = Buffer.from(text).equals(payload)
    const content = isText ? { payload: text } : { payloadBase64: payload.toString('base64') }
    write(`${JSON.stringify({ topic, qos, retain, ...content, ...(properties ? { properties } : {}) })}\n`)
    return
  }
  const isTerminal = process.stdout.isTTY
  const before = flags.verbose ? `${visible(topic)} ` : ''
  if (isTerminal) return write(`${before}${visible(payload.toString())}\n`)
  process.stdout.write(Buffer.concat([Buffer.from(before), payload, Buffer.from('\n')]))
}
