import type { MessageProperties, QoS } from '../messages.ts'
import { msOfTenths, Publication, tenthsOf } from '../publication.ts'
import type { RecordReader, RecordWriter } from './record.ts'

const Flag = {
  QoS: 0b0000_0011,
  Retain: 0b0000_0100,
  Expires: 0b0000_1000,
  Properties: 0b0001_0000,
  OwnTopic: 0b0010_0000,
  Original: 0b0100_0000,
  /** It was written since statemq notes when messages come. */
  Arrived: 0b1000_0000,
} as const

const Property = {
  PayloadFormat: 0b0000_0001,
  ContentType: 0b0000_0010,
  ResponseTopic: 0b0000_0100,
  CorrelationData: 0b0000_1000,
  UserProperties: 0b0001_0000,
  ExpiryInterval: 0b0010_0000,
} as const

/** A message as it was published; what differs from subscriber to subscriber is its delivery's. */
export function writeMessage(out: RecordWriter, publication: Publication): void {
  const { topic, ownTopic, original, publisher, qos, retain, expiresAtMs, properties, payload } = publication
  const arrivedAtMs = msOfTenths(publication.arrived)
  const hasProperties = properties !== undefined && Object.keys(properties).length > 0
  out.uint8(
    qos |
      (retain ? Flag.Retain : 0) |
      (expiresAtMs === Infinity ? 0 : Flag.Expires) |
      (hasProperties ? Flag.Properties : 0) |
      (ownTopic === undefined ? 0 : Flag.OwnTopic) |
      (original === undefined ? 0 : Flag.Original) |
      (arrivedAtMs === undefined ? 0 : Flag.Arrived),
  )
  out.text(topic).text(publisher)
  if (ownTopic !== undefined) out.text(ownTopic)
  if (expiresAtMs !== Infinity) out.double(expiresAtMs)
  if (arrivedAtMs !== undefined) out.varint(Math.max(0, Math.round(arrivedAtMs / 100)))
  if (hasProperties) writeProperties(out, properties)
  out.bytes(payload)
  if (original !== undefined) writeMessage(out, original)
}

/** The payload is copied: the record that it came in is not kept for it. */
export function readMessage(record: RecordReader): Publication {
  const flags = record.uint8()
  const topic = record.text()
  const publisher = record.text()
  const ownTopic = (flags & Flag.OwnTopic) === 0 ? undefined : record.text()
  const expiresAtMs = (flags & Flag.Expires) === 0 ? Infinity : record.double()
  const arrived = (flags & Flag.Arrived) === 0 ? 0 : tenthsOf(record.varint() * 100)
  const properties = (flags & Flag.Properties) === 0 ? undefined : readProperties(record)
  const payload = Buffer.from(record.bytes())
  const qos = (flags & Flag.QoS) as QoS
  const publication = new Publication(topic, qos, (flags & Flag.Retain) !== 0, false, 0, payload, 0, payload.length)
  publication.publisher = publisher
  publication.ownTopic = ownTopic
  publication.arrived = arrived
  publication.expiresAtMs = expiresAtMs
  publication.properties = properties
  if ((flags & Flag.Original) !== 0) publication.original = readMessage(record)
  return publication
}

function writeProperties(out: RecordWriter, properties: Readonly<MessageProperties>): void {
  const { payloadFormatIndicator, contentType, responseTopic, correlationData, userProperties } = properties
  const { messageExpiryIntervalSeconds } = properties
  out.uint8(
    (payloadFormatIndicator === undefined ? 0 : Property.PayloadFormat) |
      (contentType === undefined ? 0 : Property.ContentType) |
      (responseTopic === undefined ? 0 : Property.ResponseTopic) |
      (correlationData === undefined ? 0 : Property.CorrelationData) |
      (userProperties === undefined ? 0 : Property.UserProperties) |
      (messageExpiryIntervalSeconds === undefined ? 0 : Property.ExpiryInterval),
  )
  if (payloadFormatIndicator !== undefined) out.uint8(payloadFormatIndicator ? 1 : 0)
  if (contentType !== undefined) out.text(contentType)
  if (responseTopic !== undefined) out.text(responseTopic)
  if (correlationData !== undefined) out.bytes(correlationData)
  if (userProperties !== undefined) {
    out.varint(userProperties.length)
    for (const [name, value] of userProperties) out.text(name).text(value)
  }
  if (messageExpiryIntervalSeconds !== undefined) out.varint(messageExpiryIntervalSeconds)
}

function readProperties(record: RecordReader): MessageProperties {
  const present = record.uint8()
  const properties: MessageProperties = {}
  if (present & Property.PayloadFormat) properties.payloadFormatIndicator = record.uint8() === 1
  if (present & Property.ContentType) properties.contentType = record.text()
  if (present & Property.ResponseTopic) properties.responseTopic = record.text()
  if (present & Property.CorrelationData) properties.correlationData = Buffer.from(record.bytes())
  if (present & Property.UserProperties) {
    const pairs: [string, string][] = []
    for (let left = record.varint(); left > 0; left--) pairs.push([record.text(), record.text()])
    properties.userProperties = pairs
  }
  if (present & Property.ExpiryInterval) properties.messageExpiryIntervalSeconds = record.varint()
  return properties
}
