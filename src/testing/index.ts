export { memoryPair } from '../net/memory.ts'
export { SimulatedClock, simulatedEpochMs } from './simulated-clock.ts'
export { testBroker, type Failure, type TestBroker, type TestBrokerOptions } from './test-broker.ts'
export {
  TestClient,
  type AnyPacket,
  type ConnectAnswer,
  type ConnectOptions,
  type ExpectedMessage,
  type PacketOf,
  type PacketType,
  type ReceivedMessage,
  type SubscribeOptions,
  type TestClientOptions,
} from './test-client.ts'
