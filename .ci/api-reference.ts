import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
// The compiler's API: version 7, which builds the package, has none yet.
import ts from 'typescript-6'

/**
 * Writes a page for every name that the package exports: what stands above its declaration, and the
 * declaration itself as users get it, member by member. Declarations are emitted by the compiler that
 * builds the package, so the pages cannot say anything else.
 */
export interface ReferencePage {
  readonly entry: string
  readonly name: string
  readonly kind: Kind
  /** Below the reference's folder, without `.md`. */
  readonly path: string
  /** Its first sentence; empty: nothing stands above its declaration. */
  readonly summary: string
  readonly text: string
}

type Kind = 'functions' | 'values' | 'types'

interface PublicName {
  readonly entry: string
  readonly name: string
  readonly kind: Kind
  readonly path: string
  readonly symbol: ts.Symbol
}

const repository = join(import.meta.dirname, '..')

interface PackageFile {
  readonly exports: Readonly<Record<string, string | { readonly types: string }>>
}

/** `statemq/testing` and the file of its declarations below `folder`. */
function entriesIn(folder: string): { readonly entry: string; readonly file: string }[] {
  const { exports } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as PackageFile
  return Object.entries(exports).flatMap(([name, target]) => {
    if (typeof target === 'string') return []
    return [{ entry: `statemq${name.slice(1)}`, file: join(folder, target.types.replace('./dist/', '')) }]
  })
}

function emitDeclarations(folder: string): void {
  rmSync(folder, { recursive: true, force: true })
  const tsc = join(repository, 'node_modules', '.bin', 'tsc')
  const options = ['--declaration', '--emitDeclarationOnly', '--sourceMap', 'false', '--outDir', folder]
  const { status, stdout } = spawnSync(tsc, ['-p', 'src/tsconfig.build.json', ...options], {
    cwd: repository,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`no declarations: ${stdout}`)
}

class Reference {
  readonly #checker: ts.TypeChecker
  readonly #names: readonly PublicName[]
  readonly #byName: ReadonlyMap<string, PublicName>

  constructor(entries: readonly { readonly entry: string; readonly file: string }[]) {
    const program = ts.createProgram({
      rootNames: entries.map(({ file }) => file),
      options: {
        module: ts.ModuleKind.NodeNext,
        target: ts.ScriptTarget.ES2024,
        skipLibCheck: true,
        strict: true,
        noEmit: true,
        types: ['node'],
        typeRoots: [join(repository, 'node_modules', '@types')],
      },
    })
    this.#checker = program.getTypeChecker()
    this.#names = entries.flatMap(({ entry, file }) => {
      const source = program.getSourceFile(file)
      const module = source && this.#checker.getSymbolAtLocation(source)
      if (!module) throw new Error(`${entry}: ${file} is no module`)
      return this.#checker.getExportsOfModule(module).map((one) => this.#publicName(entry, one))
    })
    // What two entries export is described where it was exported first.
    this.#byName = new Map(this.#names.toReversed().map((one) => [one.name, one]))
  }

  pages(): ReferencePage[] {
    return this.#names.map((one) => {
      const { symbol, ...rest } = one
      const comment = this.#comment(symbol, one)
      const summary = /^[^]*?[.!?:](?=\s|$)/.exec(comment.replace(/\n\n[^]*$/, ''))?.[0] ?? comment
      return { ...rest, summary: summary.replaceAll('\n', ' '), text: this.#page(one, comment) }
    })
  }

  #publicName(entry: string, exported: ts.Symbol): PublicName {
    const symbol = exported.flags & ts.SymbolFlags.Alias ? this.#checker.getAliasedSymbol(exported) : exported
    const { name } = exported
    const kind: Kind =
      symbol.flags & ts.SymbolFlags.Function
        ? 'functions'
        : symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface)
          ? 'types'
          : symbol.flags & ts.SymbolFlags.Variable
            ? 'values'
            : 'types'
    // Names differ by the case of a letter only (`deny`, `Deny`), which some file systems take for the same.
    const path = `${entry === 'statemq' ? 'statemq' : entry.replace('statemq/', '')}/${kind}/${name}`
    return { entry, name, kind, path, symbol }
  }

  #page(one: PublicName, comment: string): string {
    const declarations = (one.symbol.declarations ?? []).filter((each) => !ts.isModuleDeclaration(each))
    const parts = [`# ${one.name}`, `\`import { ${one.name} } from '${one.entry}'\``]
    if (comment) parts.push(comment)
    for (const declaration of declarations) parts.push(...this.#declaration(declaration, one))
    return `${parts.join('\n\n')}\n`
  }

  #declaration(node: ts.Declaration, from: PublicName): string[] {
    if (ts.isInterfaceDeclaration(node) || ts.isClassDeclaration(node)) return this.#withMembers(node, from)
    const statement = ts.isVariableDeclaration(node) ? node.parent.parent : node
    const text = ts.isVariableDeclaration(node) ? this.#value(node) : textOf(statement)
    return [fence(text), ...this.#mentions([node], from)]
  }

  /** The type of a value may be pages long: a machine's is. */
  #value(node: ts.VariableDeclaration): string {
    const text = textOf(node.parent.parent)
    if (text.length < 4_000) return text
    const type = this.#checker.typeToString(this.#checker.getTypeAtLocation(node))
    return `export declare const ${node.name.getText()}: ${type};`
  }

  #withMembers(node: ts.InterfaceDeclaration | ts.ClassDeclaration, from: PublicName): string[] {
    const text = textOf(node)
    const head = text.slice(0, text.indexOf('{')).trim()
    const bases = [...(node.heritageClauses ?? []), ...(node.typeParameters ?? [])]
    const parts = bases.length === 0 ? [] : [fence(`${head} { … }`), ...this.#mentions(bases, from)]
    const groups = new Map<string, (ts.TypeElement | ts.ClassElement)[]>()
    for (const member of node.members) {
      if (isHidden(member)) continue
      const name = member.name?.getText() ?? (ts.isConstructorDeclaration(member) ? 'constructor' : '(call)')
      groups.set(name, [...(groups.get(name) ?? []), member])
    }
    for (const [name, members] of groups) {
      const symbol = members[0]!.name && this.#checker.getSymbolAtLocation(members[0]!.name)
      parts.push(`### ${name.replaceAll(/[[\]']/g, '')}`, fence(members.map((each) => textOf(each)).join('\n')))
      if (symbol) parts.push(this.#comment(symbol, from))
      parts.push(...this.#mentions(members, from))
    }
    return parts.filter((part) => part !== '')
  }

  /** The public names that a piece of code speaks of, with links. */
  #mentions(nodes: readonly ts.Node[], from: PublicName): string[] {
    const found = new Map<string, PublicName>()
    const visit = (node: ts.Node): void => {
      const name = ts.isTypeReferenceNode(node)
        ? node.typeName.getText()
        : ts.isExpressionWithTypeArguments(node)
          ? node.expression.getText()
          : ts.isTypeQueryNode(node)
            ? node.exprName.getText()
            : undefined
      const known = name === undefined ? undefined : this.#byName.get(name)
      if (known && known.name !== from.name) found.set(known.name, known)
      ts.forEachChild(node, visit)
    }
    for (const node of nodes) visit(node)
    if (found.size === 0) return []
    return [`Types: ${[...found.values()].map((one) => this.#link(one)).join(', ')}.`]
  }

  #link({ name, path }: PublicName): string {
    return `[\`${name}\`](/reference/${path}.md)`
  }

  #comment(symbol: ts.Symbol, from: PublicName): string {
    const parts = symbol.getDocumentationComment(this.#checker).map((part) => {
      if (part.kind === 'linkName' || part.kind === 'linkText') {
        const known = this.#byName.get(part.text.trim())
        return known && known.name !== from.name ? this.#link(known) : `\`${part.text.trim()}\``
      }
      return part.kind === 'link' ? '' : forVue(part.text)
    })
    return parts.join('').trim()
  }
}

/** Pages are Vue templates: what looks like a tag or a binding is neither. */
function forVue(text: string): string {
  return text
    .split(/(`[^`]*`)/)
    .map((piece, index) => (index % 2 === 1 ? piece : piece.replaceAll('<', '&lt;').replaceAll('{{', '&#123;&#123;')))
    .join('')
}

function textOf(node: ts.Node): string {
  // Members are indented as they stand in their parent.
  const { line, character } = ts.getLineAndCharacterOfPosition(node.getSourceFile(), node.getStart())
  const text = node.getSourceFile().text.slice(node.getStart(), node.getEnd())
  return line === 0 ? text : text.replaceAll(new RegExp(`\n {0,${character}}`, 'g'), '\n')
}

function isHidden(member: ts.TypeElement | ts.ClassElement): boolean {
  if (member.name && ts.isPrivateIdentifier(member.name)) return true
  const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected
  return (ts.getCombinedModifierFlags(member as ts.Declaration) & hidden) !== 0
}

function fence(code: string): string {
  return `\`\`\`ts\n${code}\n\`\`\``
}

/** The pages, in the order of the entries and of their names. */
export function referencePages(cache: string): ReferencePage[] {
  const folder = join(cache, 'declarations')
  emitDeclarations(folder)
  const pages = new Reference(entriesIn(folder)).pages()
  return pages.toSorted((a, b) => (a.entry === b.entry ? (a.name.toLowerCase() < b.name.toLowerCase() ? -1 : 1) : 0))
}

/** Names that an entry's own text exports, read without a compiler, so that a page that is missing is missed. */
export function exportedNames(cache: string): { readonly entry: string; readonly name: string }[] {
  return entriesIn(join(cache, 'declarations')).flatMap(({ entry, file }) => {
    const text = readFileSync(file, 'utf8').replaceAll(/\/\*[^]*?\*\//g, '')
    const lists = [...text.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap(([, list]) => list!.split(','))
    const listed = lists.map((one) => /(\w+)\s*$/.exec(one)?.[1]).filter((name) => name !== undefined)
    const declared = [...text.matchAll(/^export (?:declare )?(?:const|function|class|interface|type) (\w+)/gm)]
    const names = [...listed, ...declared.map((match) => match[1]!)]
    return [...new Set(names)].map((name) => ({ entry, name }))
  })
}

/** Writes the pages and their list below `folder`. */
export function writeReference(folder: string, pages: readonly ReferencePage[]): void {
  for (const { path, text } of pages) write(join(folder, `${path}.md`), text)
  const parts = ['# API reference', 'Every name that the package exports, from its declarations.']
  for (const entry of new Set(pages.map((page) => page.entry))) {
    parts.push(`## ${entry}`)
    for (const kind of ['functions', 'values', 'types'] as const) {
      const own = pages.filter((page) => page.entry === entry && page.kind === kind)
      if (own.length === 0) continue
      const rows = own.map(({ name, path, summary }) => `| [\`${name}\`](/reference/${path}.md) | ${cell(summary)} |`)
      parts.push(
        `### ${{ functions: 'Functions', values: 'Values', types: 'Types' }[kind]} {#${entry.replace('/', '-')}-${kind}}`,
      )
      parts.push(['| Name | |', '|---|---|', ...rows].join('\n'))
    }
  }
  write(join(folder, 'index.md'), `${parts.join('\n\n')}\n`)
}

/** The links of a summary are relative to nothing, so they may stand anywhere; its bars may not. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}

function write(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}
