import { effect, signal } from '@preact/signals'

/** What one has chosen; `system` follows the machine. */
export type ThemeChoice = 'system' | 'light' | 'dark'

const key = 'statemq.theme'
const dark = matchMedia('(prefers-color-scheme: dark)')

function kept(): ThemeChoice {
  const text = localStorage.getItem(key)
  return text === 'light' || text === 'dark' ? text : 'system'
}

export const themeChoice = signal<ThemeChoice>(kept())
const systemIsDark = signal(dark.matches)
dark.addEventListener('change', () => {
  systemIsDark.value = dark.matches
})

/** The theme that shows. Charts on a canvas read their colours again when it changes. */
export const theme = signal<'light' | 'dark'>('light')

/** Puts the theme on the document, now and whenever it changes. */
export function followTheme(): void {
  effect(() => {
    const shown = themeChoice.value === 'system' ? (systemIsDark.value ? 'dark' : 'light') : themeChoice.value
    document.documentElement.dataset['theme'] = shown
    theme.value = shown
  })
}

export function chooseTheme(choice: ThemeChoice): void {
  themeChoice.value = choice
  if (choice === 'system') localStorage.removeItem(key)
  else localStorage.setItem(key, choice)
}
