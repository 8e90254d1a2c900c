import { render, type JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'

import { Failure } from './parts/states.tsx'
import { account, recognise } from './shell/api.ts'
import { Login } from './shell/login.tsx'
import { Shell } from './shell/shell.tsx'
import { followTheme } from './shell/theme.ts'

import './styles/base.css'
import './styles/shell.css'
import './styles/parts.css'

function App(): JSX.Element | null {
  const [problem, setProblem] = useState<unknown>()
  const start = (): void => {
    setProblem(undefined)
    recognise().catch(setProblem)
  }
  useEffect(start, [])
  if (problem !== undefined) return <Failure error={problem} retry={start} />
  if (account.value === 'unknown') return null
  return account.value === 'none' ? <Login /> : <Shell />
}

followTheme()
render(<App />, document.getElementById('app')!)
