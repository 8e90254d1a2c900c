import { defineConfig } from 'vitest/config'

import { useOwnTemp } from './support/own-temp.ts'

useOwnTemp()

/** One project: the folder of its name under `test/`, with what its tests need beyond the defaults. */
function project(name: string, options: { testTimeout?: number; globalSetup?: string[] } = {}) {
  const { testTimeout = 15_000, globalSetup = [] } = options
  return {
    extends: true as const,
    test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout, hookTimeout: testTimeout, globalSetup },
  }
}

export default defineConfig({
  // Paths everywhere are relative to the repository, wherever the command was started.
  root: new URL('..', import.meta.url).pathname,
  resolve: {
    alias: [
      { find: /^statemq$/, replacement: new URL('../src/index.ts', import.meta.url).pathname },
      { find: /^statemq\/machines$/, replacement: new URL('../machines/index.ts', import.meta.url).pathname },
      {
        find: /^statemq\/opentelemetry$/,
        replacement: new URL('../src/observe/opentelemetry.ts', import.meta.url).pathname,
      },
      { find: /^statemq\/(aedes|testing)$/, replacement: new URL('../src/$1/index.ts', import.meta.url).pathname },
    ],
  },
  test: {
    // The machines that run this have two cores: two workers keep both busy and leave timings honest.
    pool: 'forks',
    reporters: ['default', './test/support/standstill-reporter.ts'],
    maxWorkers: 2,
    projects: [
      project('unit', { globalSetup: ['test/support/need-openssl.ts'] }),
      {
        extends: true,
        test: {
          name: 'types',
          include: [],
          typecheck: { enabled: true, only: true, include: ['test/types/**/*.test-d.ts'], tsconfig: 'tsconfig.json' },
        },
      },
      project('machines'),
      project('browser', { testTimeout: 60_000, globalSetup: ['test/support/need-browser.ts'] }),
      project('conformance'),
      project('contracts', { globalSetup: ['test/support/need-redis.ts'] }),
      project('identity', { testTimeout: 30_000, globalSetup: ['test/support/need-clients.ts'] }),
      project('inspect', { testTimeout: 30_000, globalSetup: ['test/support/need-promtool.ts'] }),
      project('interop', {
        testTimeout: 30_000,
        globalSetup: ['test/support/need-clients.ts', 'test/support/need-systemd.ts'],
      }),
      project('faults', {
        testTimeout: 60_000,
        globalSetup: ['test/support/need-openssl.ts', 'test/support/need-redis.ts'],
      }),
    ],
  },
})
