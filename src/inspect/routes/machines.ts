import type { AnyStateMachine } from 'xstate'
import { z } from 'zod'

import { brokerMachine, sessionMachine, willMachine } from '../../../machines/index.ts'

import { describeChart } from '../chart.ts'
import type { InspectHost } from '../host.ts'
import { toMermaid } from '../mermaid.ts'
import { drawAside, layOutAside } from '../layout-thread.ts'
import { jsonRoute, textRoute, type AnyRoute } from '../route.ts'
import { chartLayout } from '../schemas.ts'
import { pictureThemes } from '../svg.ts'
import { pictureTitles } from '../titles.ts'

const names = ['session', 'will', 'broker'] as const

/** A machine does not change while it runs: each picture is made once. */
const drawn = new WeakMap<object, Map<string, Promise<unknown>>>()

function once<Picture>(machine: object, key: string, draw: () => Promise<Picture>): Promise<Picture> {
  const pictures = drawn.get(machine) ?? new Map<string, Promise<unknown>>()
  drawn.set(machine, pictures)
  const picture = (pictures.get(key) as Promise<Picture> | undefined) ?? draw()
  pictures.set(key, picture)
  // What failed once is tried again by whoever asks next.
  picture.catch(() => pictures.delete(key))
  return picture
}

function machineOf({ broker }: InspectHost, name: (typeof names)[number]): AnyStateMachine {
  switch (name) {
    case 'session':
      return broker.machine
    case 'will':
      return willMachine
    case 'broker':
      return brokerMachine
  }
}

/** The charts that run, with what an embedder has put into them. */
export const machineRoutes: readonly AnyRoute[] = names.flatMap((name) => [
  textRoute({
    method: 'GET',
    path: `/machines/${name}.mermaid`,
    id: `get${name}Mermaid`,
    role: 'read',
    summary: `The ${name} machine as a mermaid diagram`,
    query: z.strictObject({ detail: z.enum(['full', 'brief']).default('full') }),
    types: ['text/plain'],
    handle: ({ host, query }) => ({
      type: 'text/plain; charset=utf-8',
      text: toMermaid(describeChart(machineOf(host, name)), query.detail),
    }),
  }),
  textRoute({
    method: 'GET',
    path: `/machines/${name}.svg`,
    id: `get${name}Svg`,
    role: 'read',
    summary: `The ${name} machine as a picture; states that an embedder has added stand out`,
    query: z.strictObject({ theme: z.enum(pictureThemes).default('light') }),
    types: ['image/svg+xml'],
    handle: async ({ host, query: { theme } }) => {
      const machine = machineOf(host, name)
      const known = name === 'session' ? describeChart(sessionMachine) : undefined
      const options = { theme, title: pictureTitles[name], known }
      const text = await once(machine, theme, () => drawAside(describeChart(machine), options))
      return { type: 'image/svg+xml; charset=utf-8', text }
    },
  }),
  textRoute({
    method: 'GET',
    path: `/machines/${name}.json`,
    id: `get${name}Json`,
    role: 'read',
    summary: `The ${name} machine as XState's viewers open it`,
    types: ['application/json'],
    handle: async ({ host }) => {
      const machine = machineOf(host, name)
      const text = await once(machine, 'json', async () => JSON.stringify(describeChart(machine)))
      return { type: 'application/json; charset=utf-8', text }
    },
  }),
  jsonRoute({
    method: 'GET',
    path: `/machines/${name}.layout.json`,
    id: `get${name}Layout`,
    role: 'read',
    summary: `The ${name} machine with coordinates`,
    query: z.strictObject({ direction: z.enum(['right', 'down']).default('right') }),
    answer: chartLayout,
    handle: ({ host, query: { direction } }) => {
      const machine = machineOf(host, name)
      return once(machine, direction, () => layOutAside(describeChart(machine), direction))
    },
  }),
])
