export { jwt } from './auth/jwt.ts'
export type { ClaimPath, JwksOptions, JwtAlgorithm, JwtKey, JwtOptions } from './auth/jwt-options.ts'
export {
  mutualTls,
  type CertificateName,
  type CertificateUser,
  type MutualTlsOptions,
} from './auth/mutual-tls.ts'
export { passwordFile, type PasswordFile, type PasswordFileOptions } from './auth/password-file.ts'
export { authenticator, staticUsers, type StaticUser } from './auth/static-users.ts'
export { webhook, type WebhookOptions } from './auth/webhook.ts'
export { scram, type ScramOptions } from './auth/scram.ts'
export { scramCredentials, type ScramCredentials, type ScramMechanism } from './auth/scram-credentials.ts'
export { addScramUser, removeScramUser, type NewScramUser } from './auth/scram-file.ts'
export type { ScramLookup, ScramUser } from './auth/scram-users.ts'
export { createBroker, type Broker, type BrokerListener } from './broker.ts'
export { StatemqError, errorTable, type ErrorCode, type ErrorPosition } from './errors.ts'
export type { BrokerEvent, DropReason, SessionState } from './events.ts'
export {
  allow,
  challenge,
  deny,
  next,
  type Allow,
  type AllowMessage,
  type AllowSubscription,
  type AuthenticationRequest,
  type Authenticator,
  type ChannelBindingType,
  type Challenge,
  type ConnectRequest,
  type Deny,
  type Grant,
  type HookClient,
  type Hooks,
  type Next,
  type PublishRequest,
  type Verdict,
} from './hooks.ts'
export type {
  ClientCertificate,
  ConnectionInfo,
  Message,
  MessageInput,
  MessageProperties,
  ProtocolVersion,
  QoS,
  SubjectAltName,
  SubscriptionRequest,
  TlsFacts,
  Transport,
  UserProperties,
} from './messages.ts'
export { memoryPair } from './net/memory.ts'
export type { Listener } from './net/listen.ts'
export {
  defaultLimits,
  type AddressOptions,
  type BrokerOptions,
  type Clock,
  type CommonListenerOptions,
  type Limits,
  type ListenerOptions,
  type Logger,
  type OverflowPolicy,
  type ProxyProtocolOptions,
  type ReloadableOption,
  type ReloadOptions,
  type SharedSubscriptionStrategy,
  type TcpListenerOptions,
  type TlsListenerOptions,
  type TlsOptions,
  type UnixListenerOptions,
  type WebSocketOptions,
  type WsListenerOptions,
  type WssListenerOptions,
} from './options.ts'
export { ReasonCode, type FailureReasonCode } from './reason-codes.ts'
export type { ClientOptions, ClientSubscribeOptions, LocalClient } from './session/local-client.ts'
export type { BrokerSessions, SessionView } from './session/sessions.ts'
