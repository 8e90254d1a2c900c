export type { FilterComparator, FilterExpression, FilterLimits, FilterValue } from './auth/filter/ast.ts'
export { formatFilter as formatSessionFilter } from './auth/filter/format.ts'
export { parseFilter as parseSessionFilter } from './auth/filter/parse.ts'
export { jwt } from './auth/jwt.ts'
export type { ClaimPath, JwksOptions, JwtAlgorithm, JwtKey, JwtOptions } from './auth/jwt-options.ts'
export { mutualTls, type CertificateName, type CertificateUser, type MutualTlsOptions } from './auth/mutual-tls.ts'
export { passwordFile, type PasswordFile, type PasswordFileOptions } from './auth/password-file.ts'
export { scram, type ScramOptions } from './auth/scram.ts'
export { scramCredentials, type ScramCredentials, type ScramMechanism } from './auth/scram-credentials.ts'
export { addScramUser, removeScramUser, type NewScramUser } from './auth/scram-file.ts'
export type { ScramLookup, ScramUser } from './auth/scram-users.ts'
export { authenticator, staticUsers, type StaticUser } from './auth/static-users.ts'
export { webhook, type WebhookOptions } from './auth/webhook.ts'
export type { Broker, BrokerListener, Inspector } from './api.ts'
export type { Ban, BanEnd, BanInput, BanSubject, BrokerBans } from './bans.ts'
export { createBroker } from './broker.ts'
export { StatemqError, errorTable, type ErrorCode, type ErrorPosition } from './errors.ts'
export type { BrokerEvent, DropReason, EventOf, SessionState } from './events.ts'
export {
  allow,
  challenge,
  deny,
  next,
  type Allow,
  type AllowMessage,
  type AllowPublish,
  type AllowSubscription,
  type AllowTakeover,
  type AllowUnsubscription,
  type AuthenticationRequest,
  type Authenticator,
  type ChannelBindingType,
  type Challenge,
  type ConnectRequest,
  type DecisionHooks,
  type Deny,
  type Grant,
  type GrantReview,
  type GrantVerdict,
  type HookClient,
  type Hooks,
  type Next,
  type PublishRequest,
  type Verdict,
} from './hooks.ts'
export { describeChart, type ChartState, type ChartTransition } from './inspect/chart.ts'
export { toMermaid, type ChartDetail } from './inspect/mermaid.ts'
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
export type {
  BrokerCounters,
  BrokerInspection,
  BrokerStats,
  Decision,
  SlowSubscriber,
  StatsSample,
  TransitionFlow,
  TransitionRecord,
} from './inspection.ts'
export { memoryPair } from './net/memory.ts'
export type { MetricsText } from './observe/metrics.ts'
export type { Listener } from './net/listen.ts'
export { defaultLimits, type GrantLimits, type Limits } from './limits.ts'
export type {
  AddressOptions,
  BrokerOptions,
  ClientIdRules,
  Clock,
  CommonListenerOptions,
  GrantFeatures,
  InspectOptions,
  InspectRole,
  InspectToken,
  InspectUser,
  ListenerOptions,
  Logger,
  OverflowPolicy,
  ProxyProtocolOptions,
  ReloadableOption,
  ReloadOptions,
  SharedSubscriptionStrategy,
  TakeoverPolicy,
  StoreOptions,
  SysTopicsOptions,
  TcpListenerOptions,
  TlsListenerOptions,
  TlsOptions,
  UnixListenerOptions,
  WebSocketOptions,
  WsListenerOptions,
  WssListenerOptions,
} from './options.ts'
export type { ObserverHooks } from './observers.ts'
export { ReasonCode, type FailureReasonCode } from './reason-codes.ts'
export type {
  DecidingPermission,
  PartialSubscriptions,
  Permission,
  PermissionAction,
  RoleDefinition,
  RoleDefinitions,
} from './roles.ts'
export type { DrainOptions } from './session/draining.ts'
export type { ClientOptions, ClientSubscribeOptions, LocalClient } from './session/local-client.ts'
export { decodeRoles, encodeRoles } from './session/fixed-properties.ts'
export type { SessionTarget } from './session/session-bulk.ts'
export type { DirectMessage } from './session/session-delivery.ts'
export type {
  AttributeChange,
  PreviousValues,
  PropertyChange,
  RoleChange,
  SessionOutcome,
} from './session/session-operations.ts'
export type { SessionView } from './session/session-view.ts'
export type { SessionChange, SessionChanges } from './session/session-watch.ts'
export type { Explanation, ExplainRequest } from './session/explain.ts'
export type { Trace, TraceOptions, TraceTarget } from './session/traces.ts'
export type { Refusal } from './session/refusals.ts'
export type { BrokerSessions, SessionOutcomes } from './session/sessions.ts'
export type { StatelyInspectionEvent, StatelyOptions } from './stately.ts'
