import { readFileSync } from 'node:fs'
import { isMap, isNode, LineCounter, parseDocument, type Document, type Node } from 'yaml'
import { z } from 'zod'

import { StatemqError, type ErrorPosition } from '../errors.ts'
import { ConfigurationError, describeIssue, nearest, type Problem } from './config-problems.ts'
import { configSchema, type Config } from './config-schema.ts'

type Path = ReadonlyArray<string | number>

/** One `--set path=value`. */
interface Setting {
  readonly text: string
  readonly path: Path
  readonly value: unknown
}

/** A configuration and the means to say where in it something stands. */
export interface LoadedConfig {
  readonly config: Config
  /** It says nothing. */
  readonly isEmpty: boolean
  locate(path: Path): Problem['where']
}

/** Far above any real file; YAML's anchors can make a small one grow. */
const maxFileBytes = 1_048_576

function readText(file: string): string {
  let text
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new StatemqError('SMQ_CONFIG_UNREADABLE', `${file}: ${(cause as Error).message}`, { cause })
  }
  if (Buffer.byteLength(text) > maxFileBytes) {
    throw new StatemqError('SMQ_CONFIG_UNREADABLE', `${file}: more than ${maxFileBytes} bytes`)
  }
  return text
}

/** `limits.maxConnections=5` and `listeners.0.port=1884`; the value is YAML, as it is in the file. */
function parseSetting(text: string): Setting {
  const equals = text.indexOf('=')
  const names = text.slice(0, equals).split('.')
  if (equals < 1 || names.includes(''))
    throw new StatemqError('SMQ_USAGE', `--set ${text}: expected path=value, such as limits.maxConnections=1000`)
  const value = parseDocument(text.slice(equals + 1))
  if (value.errors.length > 0)
    throw new StatemqError('SMQ_USAGE', `--set ${names.join('.')}: the value is not valid YAML`)
  return {
    // People put passwords into URLs, and this is printed.
    text: text.replace(/(:\/\/)[^/@]*@|(sentinelPassword=)[^&\s]*/g, '$1$2…'),
    path: names.map((name) => (/^\d{1,4}$/.test(name) ? Number(name) : name)),
    value: value.toJS() as unknown,
  }
}

/** Where things stand in one parsed file, with the settings that came on top of it. */
class Locator {
  readonly #document: Document.Parsed
  readonly #lines: LineCounter
  readonly #file: string
  readonly #settings: readonly Setting[]

  constructor(document: Document.Parsed, lines: LineCounter, file: string, settings: readonly Setting[]) {
    this.#document = document
    this.#lines = lines
    this.#file = file
    this.#settings = settings
  }

  at(offset: number): ErrorPosition {
    const { line, col } = this.#lines.linePos(offset)
    return { file: this.#file, line: Math.max(line, 1), column: Math.max(col, 1) }
  }

  /** The nearest thing above that was written somewhere, since what is missing has no place of its own. */
  value(path: Path): Problem['where'] {
    const setting = this.#settingAt(path)
    if (setting) return `--set ${setting.text}`
    for (let length = path.length; length > 0; length -= 1) {
      const above = path.slice(0, length)
      const node: unknown = this.#document.getIn(above, true)
      if (!isNode(node)) continue
      if (node.range) return this.at(node.range[0])
      const maker = this.#settings.findLast((one) => startsWith(one.path, above))
      if (maker) return `--set ${maker.text}`
    }
    return this.at(this.#document.contents?.range?.[0] ?? 0)
  }

  key(path: Path, key: string): Problem['where'] {
    const map: unknown = path.length === 0 ? this.#document.contents : this.#document.getIn(path, true)
    const pair = isMap<Node, Node>(map) ? map.items.find((item) => String(item.key) === key) : undefined
    return pair?.key.range ? this.at(pair.key.range[0]) : this.value([...path, key])
  }

  /** The last setting of this value, or of what it is part of. */
  #settingAt(path: Path): Setting | undefined {
    return this.#settings.findLast((one) => startsWith(path, one.path))
  }
}

function startsWith(path: Path, beginning: Path): boolean {
  return beginning.length <= path.length && beginning.every((name, index) => String(name) === String(path[index]))
}

function problemsOf(error: z.ZodError, value: unknown, locator: Locator): Problem[] {
  return error.issues.flatMap((issue) => {
    const path = issue.path.map((name) => (typeof name === 'symbol' ? String(name) : name))
    const label = path.join('.')
    if (issue.code !== 'unrecognized_keys') {
      const found = path.reduce<unknown>((inner, name) => (inner as Record<string, unknown> | undefined)?.[name], value)
      return [{ where: locator.value(path), message: `${label || 'the file'}: ${describeIssue(issue, found)}` }]
    }
    return issue.keys.map((key) => {
      const meant = nearest(key, knownKeys)
      const message = `${[...path, key].join('.')}: unknown key${meant ? `; did you mean ${meant}?` : ''}`
      return { where: locator.key(path, key), message }
    })
  })
}

/** Every key of the schema, wherever it stands: to guess what a misspelt one was meant to be. */
const knownKeys: readonly string[] = (() => {
  const keys = new Set<string>()
  // What is rewritten before it is judged has keys on one side only.
  for (const io of ['input', 'output'] as const) {
    JSON.stringify(z.toJSONSchema(configSchema, { unrepresentable: 'any', io }), (key, value: unknown) => {
      if (key === 'properties' && typeof value === 'object' && value)
        for (const name of Object.keys(value)) keys.add(name)
      return value
    })
  }
  return [...keys]
})()

/**
 * Reads a configuration file, puts the settings on top and judges the result. Without a file only
 * the settings count. Throws SMQ_CONFIG_UNREADABLE, SMQ_USAGE for a setting that is none, and a
 * {@link ConfigurationError} with every mistake.
 */
export function loadConfig(file: string | undefined, settingTexts: readonly string[]): LoadedConfig {
  const settings = settingTexts.map(parseSetting)
  const lines = new LineCounter()
  const document = parseDocument(file === undefined ? '' : readText(file), { lineCounter: lines, prettyErrors: false })
  const locator = new Locator(document, lines, file ?? 'command line', settings)
  const faults = [...document.errors, ...document.warnings]
  if (faults.length > 0) {
    throw new ConfigurationError(faults.map(({ pos, message }) => ({ where: locator.at(pos[0]), message })))
  }
  applySettings(document, settings)
  const value: unknown = toValue(document, locator) ?? {}
  const result = configSchema.safeParse(value)
  if (!result.success) throw new ConfigurationError(problemsOf(result.error, value, locator))
  const isEmpty = Object.keys(result.data).length === 0
  return { config: result.data, isEmpty, locate: (path) => locator.value(path) }
}

function applySettings(document: Document.Parsed, settings: readonly Setting[]): void {
  for (const { text, path, value } of settings) {
    try {
      document.setIn(path, document.createNode(value))
    } catch (cause) {
      throw new ConfigurationError(
        [{ where: `--set ${text}`, message: `${path.join('.')}: goes through a value that holds no others` }],
        { cause },
      )
    }
  }
}

/** Aliases are resolved here, so too many of them, or one without an anchor, show here. */
function toValue(document: Document.Parsed, locator: Locator): unknown {
  try {
    return document.toJS() as unknown
  } catch (cause) {
    throw new ConfigurationError([{ where: locator.at(0), message: (cause as Error).message }], { cause })
  }
}
