import { z } from 'zod'

import { StatemqError } from '../errors.ts'
import type { MessageProperties } from '../messages.ts'
import { msOfTenths, Publication, tenthsOf } from '../publication.ts'
import type { BatchMessage } from './batch-record.ts'
import { encodeEntry, type StoreEntry } from './entries.ts'
import type { Environment, Step } from './lmdb-environment.ts'
import { walk } from './walk.ts'

/** The first line of an export: what it is, and in which version of this format. */
const TRANSFER_VERSION = 1
/** Records of one transaction of an import, and their bytes: what it holds in memory at once. */
const MAX_COMMIT_RECORDS = 2_000
const MAX_COMMIT_BYTES = 4_194_304

const base64 = z.base64().transform((text) => Buffer.from(text, 'base64'))
const whole = z.int().min(0)
const qos = z.literal([0, 1, 2])

const messageSchema = z.strictObject({
  topic: z.string(),
  publisher: z.string(),
  qos,
  retain: z.boolean(),
  expiresAtMs: z.number().optional(),
  arrivedAtMs: z.number().optional(),
  properties: z
    .strictObject({
      payloadFormatIndicator: z.boolean().optional(),
      messageExpiryIntervalSeconds: whole.optional(),
      contentType: z.string().optional(),
      responseTopic: z.string().optional(),
      correlationData: base64.optional(),
      userProperties: z.array(z.tuple([z.string(), z.string()])).optional(),
    })
    .optional(),
  payload: base64,
})

const deliverySchema = z.strictObject({
  sequence: whole,
  qos,
  retain: z.boolean(),
  subscriptionIdentifiers: z.array(whole).optional(),
  shared: z.string().optional(),
  message: z.union([messageSchema, whole]),
})

const lineSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('counter'), lastSessionKey: whole }),
  z.strictObject({ type: z.literal('session'), key: whole, clientId: z.string(), record: base64 }),
  z.strictObject({ type: z.literal('line'), session: whole, nextSequence: whole }),
  z.strictObject({ type: z.literal('subscription'), session: whole, filter: z.string(), record: base64 }),
  z.strictObject({ type: z.literal('received'), session: whole, packetId: whole.max(65_535) }),
  z.strictObject({
    type: z.literal('inflight'),
    session: whole,
    packetId: whole.max(65_535),
    sequence: whole,
    qos,
    released: z.boolean(),
  }),
  z.strictObject({ type: z.literal('will'), session: whole, epoch: whole, record: base64 }),
  z.strictObject({ type: z.literal('message'), number: whole, message: messageSchema }),
  z.strictObject({ type: z.literal('batch'), session: whole, bytes: whole, messages: z.array(deliverySchema).min(1) }),
  z.strictObject({ type: z.literal('retained'), message: messageSchema }),
])
const firstSchema = z.object({ type: z.literal('statemq-store'), version: z.int() })
const lastSchema = z.strictObject({ type: z.literal('end'), records: whole })

type Line = z.input<typeof lineSchema>
type MessageLine = z.input<typeof messageSchema>

/** The lines of an export, the first and the last one included. Throws SMQ_STORE_DAMAGED at the first record that is. */
export function* exportLines(environment: Environment): Generator<string, void> {
  yield JSON.stringify({ type: 'statemq-store', version: TRANSFER_VERSION })
  const settled = new Map<string, ReadonlySet<number>>()
  let records = 0
  for (const page of walk(environment)) {
    for (const { table, key, entry, error } of page) {
      if (error) {
        throw new StatemqError('SMQ_STORE_DAMAGED', `${table} ${key.toString('hex')}: ${error.message}`, {
          cause: error,
        })
      }
      if (entry.type === 'settled') {
        settled.set(`${entry.session} ${entry.first}`, new Set(entry.sequences))
        continue
      }
      records++
      yield JSON.stringify(lineOf(entry, settled))
    }
  }
  yield JSON.stringify({ type: 'end', records })
}

function lineOf(
  entry: Exclude<StoreEntry, { type: 'settled' }>,
  settled: ReadonlyMap<string, ReadonlySet<number>>,
): Line {
  switch (entry.type) {
    case 'session':
    case 'subscription':
    case 'will':
      return { ...entry, record: entry.record.toString('base64') }
    case 'message':
    case 'retained':
      return { ...entry, message: messageLine(entry.message) }
    case 'batch': {
      const gone = settled.get(`${entry.session} ${entry.messages[0]!.sequence}`)
      const messages = entry.messages.filter(({ sequence }) => gone?.has(sequence) !== true)
      const bytes = Math.round((entry.bytes * messages.length) / entry.messages.length)
      return { ...entry, bytes, messages: messages.map(deliveryLine) }
    }
    default:
      return entry
  }
}

function deliveryLine(message: BatchMessage): z.input<typeof deliverySchema> {
  const { sequence, qos: atQoS, retain, subscriptionIdentifiers, shared } = message
  return {
    sequence,
    qos: atQoS,
    retain,
    ...(subscriptionIdentifiers && { subscriptionIdentifiers: [...subscriptionIdentifiers] }),
    ...(shared !== undefined && { shared }),
    message: message.publication === undefined ? message.reference : messageLine(message.publication),
  }
}

function messageLine({
  topic,
  publisher,
  qos: ofQoS,
  retain,
  expiresAtMs,
  arrived,
  properties,
  payload,
}: Publication): MessageLine {
  const arrivedAtMs = msOfTenths(arrived)
  const { correlationData, userProperties, ...others } = properties ?? {}
  return {
    topic,
    publisher,
    qos: ofQoS,
    retain,
    ...(expiresAtMs !== Infinity && { expiresAtMs }),
    ...(arrivedAtMs !== undefined && { arrivedAtMs }),
    ...(properties && {
      properties: {
        ...others,
        ...(correlationData && { correlationData: Buffer.from(correlationData).toString('base64') }),
        ...(userProperties && {
          userProperties: userProperties.map(([name, value]): [string, string] => [name, value]),
        }),
      },
    }),
    payload: payload.toString('base64'),
  }
}

/**
 * Writes the lines of an export into an empty store; returns how many records there were. Rejects with
 * SMQ_STORE_DAMAGED for a line that can't be one, or where the last one is missing.
 */
export async function importLines(
  environment: Environment,
  lines: AsyncIterable<string>,
  onProgress: (records: number) => void = () => {},
): Promise<number> {
  let steps: Step[] = []
  let bytes = 0
  let records = 0
  let number = 0
  let hasEnded = false
  for await (const text of lines) {
    number++
    const parsed = parse(text, number)
    if (number === 1) {
      assertFirst(parsed)
      continue
    }
    if (hasEnded) throw wrong(number, 'there is something behind the end')
    const last = lastSchema.safeParse(parsed)
    if (last.success) {
      if (last.data.records !== records)
        throw wrong(number, `${last.data.records} records were expected, not ${records}`)
      hasEnded = true
      continue
    }
    const step = encodeEntry(environment.tables, entryOf(parsed, number))
    steps.push(step)
    bytes += step.record!.length
    records++
    if (steps.length < MAX_COMMIT_RECORDS && bytes < MAX_COMMIT_BYTES) continue
    await environment.commit(steps)
    steps = []
    bytes = 0
    onProgress(records)
  }
  if (!hasEnded) throw wrong(number, 'its end is missing')
  await environment.commit(steps)
  return records
}

function parse(text: string, line: number): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw wrong(line, 'it is not JSON', error)
  }
}

function assertFirst(parsed: unknown): void {
  const first = firstSchema.safeParse(parsed)
  if (!first.success) throw wrong(1, 'this is no export of a store')
  const { version } = first.data
  if (version !== TRANSFER_VERSION) {
    throw new StatemqError('SMQ_STORE_VERSION', `the export has version ${version}, this one reads ${TRANSFER_VERSION}`)
  }
}

function entryOf(parsed: unknown, number: number): StoreEntry {
  const result = lineSchema.safeParse(parsed)
  if (!result.success) {
    const [issue] = result.error.issues
    throw wrong(number, `${issue!.path.join('.') || 'the line'}: ${issue!.message}`)
  }
  const line = result.data
  switch (line.type) {
    case 'message':
    case 'retained':
      return { ...line, message: publicationOf(line.message) }
    case 'batch':
      return { ...line, messages: line.messages.map(messageOf) }
    default:
      return line
  }
}

function messageOf({ message, ...delivery }: z.output<typeof deliverySchema>): BatchMessage {
  const { sequence, qos: atQoS, retain, subscriptionIdentifiers, shared } = delivery
  const common = { sequence, qos: atQoS, retain, subscriptionIdentifiers, shared }
  return typeof message === 'number'
    ? { ...common, reference: message }
    : { ...common, publication: publicationOf(message) }
}

function publicationOf(message: z.output<typeof messageSchema>): Publication {
  const { topic, publisher, qos: ofQoS, retain, expiresAtMs, arrivedAtMs, properties, payload } = message
  const publication = new Publication(topic, ofQoS, retain, false, 0, payload, 0, payload.length)
  publication.publisher = publisher
  if (expiresAtMs !== undefined) publication.expiresAtMs = expiresAtMs
  if (arrivedAtMs !== undefined) publication.arrived = tenthsOf(arrivedAtMs)
  if (properties) publication.properties = properties as MessageProperties
  return publication
}

function wrong(line: number, what: string, cause?: unknown): StatemqError {
  return new StatemqError('SMQ_STORE_DAMAGED', `line ${line} of the export: ${what}`, { cause })
}
