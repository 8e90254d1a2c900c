// What one PUBLISH costs to decode: 64 packets with 64 bytes of payload and a 16-byte topic in each chunk.
// `node test/bench/codec.bench.mjs` prints nanoseconds per packet, the best of several rounds.
import { generate } from 'mqtt-packet'

import { Decoder } from '../../src/codec/decoder.ts'
import { defaultLimits } from '../../src/limits.ts'

const packetsPerChunk = 64
const chunksPerRound = 5_000
const rounds = 15

const publishes = {
  'QoS 0, one topic': () => publish(),
  'QoS 0, four topics in turn': (i) => publish({ topic: `plant/line/${1000 + (i % 4)}x` }),
  'QoS 0, ever other topics': (i) => publish({ topic: `plant/line/${1000 + i}x` }),
  'QoS 1, one topic': (i) => publish({ qos: 1, messageId: i + 1 }),
  'QoS 0, alias': (i) => publish({ topic: i ? '' : 'plant/line/1000x', properties: { topicAlias: 1 } }),
  'QoS 0, two user properties': () => publish({ properties: { userProperties: { unit: 'celsius', site: 'north' } } }),
}

function publish(fields = {}) {
  return {
    cmd: 'publish',
    topic: 'plant/line/1000x',
    payload: Buffer.alloc(64, 'x'),
    qos: 0,
    dup: false,
    retain: false,
    ...fields,
  }
}

function connected(protocolVersion) {
  const decoder = new Decoder(defaultLimits)
  decoder.feed(generate({ cmd: 'connect', protocolId: 'MQTT', protocolVersion, clientId: 'bench', clean: true }))
  decoder.next()
  decoder.accept()
  decoder.topicAliasMaximum = 10
  return decoder
}

/** Nanoseconds per packet of one round. */
function round(decoder, chunk) {
  let bytes = 0
  const begun = process.hrtime.bigint()
  for (let i = 0; i < chunksPerRound; i++) {
    decoder.feed(chunk)
    for (let packet = decoder.next(); packet !== undefined; packet = decoder.next())
      bytes += packet.payloadEnd - packet.payloadStart
  }
  const nanoseconds = Number(process.hrtime.bigint() - begun)
  if (bytes !== chunksPerRound * packetsPerChunk * 64) throw new Error('payload bytes were lost')
  return nanoseconds / (chunksPerRound * packetsPerChunk)
}

for (const protocolVersion of [4, 5]) {
  for (const [name, make] of Object.entries(publishes)) {
    if (protocolVersion === 4 && make(0).properties) continue
    const packets = Array.from({ length: packetsPerChunk }, (_, i) => generate(make(i), { protocolVersion }))
    const chunk = Buffer.concat(packets)
    const decoder = connected(protocolVersion)
    const costs = Array.from({ length: rounds }, () => round(decoder, chunk)).sort((a, b) => a - b)
    console.log(
      `MQTT ${protocolVersion}  ${name.padEnd(28)} ${costs[0].toFixed(0).padStart(5)} ns  median ${costs[rounds >> 1].toFixed(0)} ns`,
    )
  }
}
