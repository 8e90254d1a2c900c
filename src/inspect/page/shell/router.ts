import { computed, signal } from '@preact/signals'

/** Where one is: `#/session/sensor%2F7?tab=will` is the page `session`, with one name and one search word. */
export interface Place {
  /** First part of the path; empty: the overview. */
  readonly page: string
  /** The other parts, decoded: what clients chose, as it is. */
  readonly names: readonly string[]
  readonly search: URLSearchParams
}

const hash = signal(location.hash)
addEventListener('hashchange', () => {
  hash.value = location.hash
})

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

export const place = computed<Place>(() => {
  const [path = '', search = ''] = hash.value.replace(/^#\/?/, '').split('?', 2)
  const [page = '', ...names] = path.split('/').map(decoded)
  return { page, names, search: new URLSearchParams(search) }
})

/** The address of a page. Names may hold anything: they are encoded, and stay in the fragment, which no server sees. */
export function href(
  page: string,
  names: readonly string[] = [],
  search: Readonly<Record<string, string>> = {},
): string {
  const path = [page, ...names.map((name) => encodeURIComponent(name.toWellFormed()))].join('/')
  const query = new URLSearchParams(search).toString()
  return `#/${path}${query === '' ? '' : `?${query}`}`
}

/** Goes to an address of {@link href}; `replace` leaves no step to go back to. */
export function goTo(address: string, options: { readonly replace?: boolean } = {}): void {
  if (options.replace) {
    history.replaceState(null, '', address)
    hash.value = location.hash
  } else location.hash = address
}
