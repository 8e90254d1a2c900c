/** OpenTelemetry spans of CONNECT and PUBLISH, with W3C trace context in user properties of MQTT 5. */
import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'

import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { connectAsync } from 'mqtt'
import { createBroker } from 'statemq'
import { openTelemetry } from 'statemq/opentelemetry'

// In a service the provider is that of the SDK, with an exporter that sends spans somewhere.
const exporter = new InMemorySpanExporter()
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })

const telemetry = openTelemetry({ tracer: provider.getTracer('example') })
const broker = createBroker({ hooks: [telemetry] })
const stop = telemetry.observe(broker)

const { address } = await broker.listen({ transport: 'tcp', port: 0 })
assert('port' in address)
const url = `mqtt://127.0.0.1:${address.port}`
const subscriber = await connectAsync(url, { clientId: 'subscriber', protocolVersion: 5 })
await subscriber.subscribeAsync('orders/#', { qos: 1 })
const arrived = new Promise((resolve) => {
  subscriber.once('message', (_topic, _payload, { properties }) => resolve(properties?.userProperties?.['traceparent']))
})

// What the publisher's own instrumentation would put there.
const traceId = '0af7651916cd43dd8448eb211c80319c'
const publisher = await connectAsync(url, { clientId: 'publisher', protocolVersion: 5 })
await publisher.publishAsync('orders/1', 'one pizza', {
  qos: 1,
  properties: { userProperties: { traceparent: `00-${traceId}-b7ad6b7169203331-01` } },
})
const traceparent = await arrived
// Ends of publishes are told behind the turn in which they were given to everybody.
await turn()
await turn()

const spans = exporter.getFinishedSpans()
const publish = spans.find(({ name }) => name === 'publish orders/1')
assert(publish)
assert.equal(publish.spanContext().traceId, traceId)
assert.equal(publish.parentSpanContext?.spanId, 'b7ad6b7169203331')
// The subscriber goes on from the broker's span.
assert.equal(traceparent, `00-${traceId}-${publish.spanContext().spanId}-01`)

const connects = spans.filter(({ name }) => name === 'CONNECT')
assert.deepEqual(
  connects.map(({ attributes }) => [attributes['messaging.client.id'], attributes['statemq.outcome']]),
  [
    ['subscriber', 'accepted'],
    ['publisher', 'accepted'],
  ],
)

stop()
await publisher.endAsync()
await subscriber.endAsync()
await broker.close()
