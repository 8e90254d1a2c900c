import type { AuthenticationRequest } from '../../src/index.ts'

/** What an authenticator is asked with, for tests of one by itself; `password` and `authenticationData` as text. */
export function authenticationRequest(
  input: Partial<Omit<AuthenticationRequest, 'password' | 'authenticationData'>> & {
    readonly password?: string
    readonly authenticationData?: string
  } = {},
): AuthenticationRequest {
  const { password, authenticationData, ...rest } = input
  return {
    clientId: 'client',
    protocolVersion: 5,
    username: undefined,
    cleanStart: true,
    keepAliveSeconds: 60,
    sessionExpiryIntervalSeconds: 0,
    authenticationMethod: undefined,
    userProperties: [],
    connection: { transport: 'memory', listener: 'test' } as unknown as AuthenticationRequest['connection'],
    sessionId: 'session',
    fixedProperties: {},
    proposedProperties: {},
    password: password === undefined ? undefined : Buffer.from(password),
    authenticationData: authenticationData === undefined ? undefined : Buffer.from(authenticationData),
    round: 0,
    reauthentication: false,
    grant: undefined,
    exchange: new Map(),
    channelBinding: () => undefined,
    signal: new AbortController().signal,
    ...rest,
  }
}
