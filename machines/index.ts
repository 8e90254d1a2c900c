export { brokerMachine, type BrokerMachineEmitted, type BrokerMachineEvent, type DrainInput } from './broker.machine.ts'
export { extendSession, type SessionStates } from './session.extend.ts'
export { sessionSetup } from './session.setup.ts'
export {
  sessionMachine,
  type AdmissionOutcome,
  type AuthenticationOutcome,
  type Denial,
  type Farewell,
  type Handover,
  type SessionContext,
  type SessionEmitted,
  type SessionEnd,
  type SessionEvent,
  type SessionInput,
  type SessionMachine,
  type SessionOutput,
  type Takeover,
  type WillSummary,
} from './session.machine.ts'
export {
  willMachine,
  type FireOutcome,
  type WillContext,
  type WillEmitted,
  type WillEvent,
  type WillInput,
  type WillOutput,
} from './will.machine.ts'
