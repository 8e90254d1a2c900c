import type { JSX } from 'preact'
import { useState } from 'preact/hooks'

import { ApiError, logIn } from './api.ts'
import { Mark } from './mark.tsx'

function reasonOf(error: unknown, way: 'token' | 'password'): string {
  if (!(error instanceof ApiError)) return String(error)
  if (error.status !== 401) return error.message
  return way === 'token'
    ? 'The broker does not know this token.'
    : 'The broker does not know this name with this password.'
}

/** The field that most use is the token; user name and password are one click away. */
export function Login(): JSX.Element {
  const [way, setWay] = useState<'token' | 'password'>('token')
  const [problem, setProblem] = useState<string>()
  const [isBusy, setBusy] = useState(false)

  async function submit(form: HTMLFormElement): Promise<void> {
    const fields = new FormData(form)
    const text = (name: string): string => {
      const value = fields.get(name)
      return typeof value === 'string' ? value : ''
    }
    setBusy(true)
    setProblem(undefined)
    try {
      await logIn(
        way === 'token' ? { token: text('token').trim() } : { user: text('user'), password: text('password') },
      )
    } catch (error) {
      setProblem(reasonOf(error, way))
      setBusy(false)
    }
  }

  return (
    <main class="login">
      <form
        onSubmit={(event) => {
          event.preventDefault()
          void submit(event.currentTarget)
        }}
      >
        <h1>
          <Mark /> statemq <span class="quiet">inspector</span>
        </h1>
        {way === 'token' ? (
          <label>
            Token
            <input name="token" type="password" autocomplete="off" required aria-describedby="login-hint" />
          </label>
        ) : (
          <>
            <label>
              User name
              <input name="user" autocomplete="username" required />
            </label>
            <label>
              Password
              <input name="password" type="password" autocomplete="current-password" required />
            </label>
          </>
        )}
        <p class="problem" role="alert">
          {problem}
        </p>
        <div class="row">
          <button type="submit" class="primary" disabled={isBusy}>
            Log in
          </button>
          <button type="button" class="link" onClick={() => setWay(way === 'token' ? 'password' : 'token')}>
            {way === 'token' ? 'Use a name and a password' : 'Use a token'}
          </button>
        </div>
        <p id="login-hint" class="hint">
          The command keeps one in the file <code>inspect-token</code> of its data directory; for an embedder{' '}
          <code>broker.inspector.url</code> has one.
        </p>
      </form>
    </main>
  )
}
