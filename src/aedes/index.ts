export { Aedes } from './aedes.ts'
export { AedesClient } from './client.ts'
export type {
  AedesEvents,
  AedesHandlers,
  AedesOptions,
  AedesPublishPacket,
  AuthenticateError,
  AuthenticateHandler,
  AuthorizeForwardHandler,
  AuthorizePublishHandler,
  AuthorizeSubscribeHandler,
  ConnectPacket,
  DeliverHandler,
  PreConnectHandler,
  PublishedHandler,
  PublishPacket,
  Subscription,
} from './types.ts'
