import { useEffect, useState } from 'preact/hooks'

import type { ChartLayout } from '../../../chart-layout.ts'
import { useResource, type Resource } from '../parts/use-resource.ts'

const narrow = matchMedia('(max-width: 46rem)')

/** The layout of the session machine that fits the window: to the right, or down where it is narrow. */
export function useLayout(): Resource<ChartLayout> {
  const [isNarrow, setNarrow] = useState(narrow.matches)
  useEffect(() => {
    const look = (): void => setNarrow(narrow.matches)
    narrow.addEventListener('change', look)
    return () => narrow.removeEventListener('change', look)
  }, [])
  return useResource<ChartLayout>('/machines/session.layout.json', { direction: isNarrow ? 'down' : 'right' })
}
