import { signal } from '@preact/signals'

/** Who one is at the broker. The cookie that proves it is out of this program's reach. */
export interface Account {
  readonly name: string
  readonly role: 'metrics' | 'read' | 'operate'
  /** Sent with everything that changes something; null where no cookie is used. */
  readonly csrfToken: string | null
}

/** `unknown` until the broker has been asked; `none`: the login screen shows. */
export type AccountState = Account | 'unknown' | 'none'

export const account = signal<AccountState>('unknown')

/** Whether one may change anything. */
export function mayOperate(): boolean {
  const { value } = account
  return typeof value === 'object' && value.role === 'operate'
}

/** The broker's refusal of a request, or that it did not answer (status 0). */
export class ApiError extends Error {
  readonly status: number
  /** A code of docs/errors.md; empty where the broker did not answer. */
  readonly code: string
  /** Of a filter: where it stops making sense. */
  readonly offset: number | undefined

  constructor(status: number, code: string, message: string, offset?: number) {
    super(message)
    this.name = 'ApiError'
    this.status = status
    this.code = code
    this.offset = offset
  }
}

type Query = Readonly<Record<string, string | number | boolean | null | undefined>>

function addressOf(path: string, query: Query): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null) search.set(name, String(value))
  }
  const text = search.toString()
  return text === '' ? path : `${path}?${text}`
}

async function errorOf(response: Response): Promise<ApiError> {
  const body = (await response.json().catch(() => ({}))) as { code?: string; message?: string; offset?: number }
  const { code = '', message = `the broker answered ${response.status}`, offset } = body
  return new ApiError(response.status, code, message, offset)
}

/**
 * Sends a request of docs/admin-api.md. Rejects with {@link ApiError}; one that says that nobody is logged in
 * brings the login screen. What is changed carries the CSRF token.
 */
async function request(method: string, address: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  const headers = new Headers({ accept: 'application/json' })
  if (body !== undefined) headers.set('content-type', 'application/json')
  const { value } = account
  if (method !== 'GET' && typeof value === 'object' && value.csrfToken !== null)
    headers.set('x-csrf-token', value.csrfToken)
  let response: Response
  try {
    response = await fetch(address, {
      method,
      headers,
      credentials: 'same-origin',
      cache: 'no-store',
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    })
  } catch (error) {
    if (signal?.aborted) throw error
    throw new ApiError(0, '', 'the broker does not answer')
  }
  if (response.ok) return response
  const error = await errorOf(response)
  if (response.status === 401 && value !== 'unknown') account.value = 'none'
  throw error
}

/** Reads; the type is that of the route's answer in docs/admin-api.md. */
export async function read<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  const response = await request('GET', addressOf(path, query), undefined, signal)
  return (await response.json()) as T
}

/** Changes, or asks what does not fit in an address. */
export async function send<T>(
  method: 'POST' | 'PATCH' | 'DELETE',
  path: string,
  body: unknown,
  query: Query = {},
): Promise<T> {
  const response = await request(method, addressOf(path, query), body)
  return (await response.json()) as T
}

/** The body of a stream of server-sent events. */
export async function openStream(path: string, query: Query, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
  const response = await request('GET', addressOf(path, query), undefined, signal)
  if (!response.body) throw new ApiError(0, '', 'the broker sent no stream')
  return response.body
}

/** What one logs in with. */
export type Credentials = { readonly token: string } | { readonly user: string; readonly password: string }

export async function logIn(credentials: Credentials): Promise<void> {
  account.value = await send<Account>('POST', '/api/v1/login', credentials)
}

export async function logOut(): Promise<void> {
  try {
    await send('POST', '/api/v1/logout', {})
  } finally {
    account.value = 'none'
  }
}

/**
 * Finds out who one is. A token in the fragment, as the broker prints its address at the start, is used once
 * and taken out of the address and the history at once.
 */
export async function recognise(): Promise<void> {
  const [, token] = /^#token=([^&]+)/.exec(location.hash) ?? []
  if (token !== undefined) {
    history.replaceState(null, '', '#/')
    dispatchEvent(new HashChangeEvent('hashchange'))
    await logIn({ token: decodeURIComponent(token) }).catch(() => undefined)
    if (typeof account.value === 'object') return
  }
  try {
    account.value = await read<Account>('/api/v1/login')
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) account.value = 'none'
    else throw error
  }
}
