/** One page of a long table, as the routes of docs/admin-api.md answer. */
export interface RowsPage<Row> {
  readonly total: number
  readonly offset: number
  readonly rows: readonly Row[]
}

export type FetchRows<Row> = (offset: number, limit: number, signal: AbortSignal) => Promise<RowsPage<Row>>

export const rowsPerPage = 100
/** Pages that are kept: some screens around the one that shows. */
const maxPages = 40
/** Who scrolls through ten thousand rows does not ask for them all: it is waited until it rests. */
const restMs = 60

interface Page<Row> {
  rows: readonly Row[] | undefined
  /** Which reload it belongs to; an older one shows until the new one is there. */
  turn: number
}

/**
 * The rows of a table that is far longer than the screen, as far as they were fetched. Whoever shows it
 * says which rows are in sight; what is not there yet is asked for, a page at a time.
 */
export class RowPages<Row> {
  /** Undefined before the first answer. */
  total: number | undefined = undefined
  error: unknown = undefined
  readonly #fetch: FetchRows<Row>
  readonly #onChange: () => void
  readonly #pages = new Map<number, Page<Row>>()
  readonly #running = new Map<number, AbortController>()
  #turn = 0
  #first = 0
  #last = rowsPerPage - 1
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(fetch: FetchRows<Row>, onChange: () => void) {
    this.#fetch = fetch
    this.#onChange = onChange
  }

  rowAt(index: number): Row | undefined {
    return this.#pages.get(Math.floor(index / rowsPerPage))?.rows?.[index % rowsPerPage]
  }

  /** All rows that are here. */
  *known(): Generator<Row, void> {
    for (const { rows } of this.#pages.values()) yield* rows ?? []
  }

  /** Rows that are in sight, from the first to the last. */
  look(first: number, last: number): void {
    this.#first = first
    this.#last = last
    for (const [page, running] of this.#running) if (!this.#isInSight(page)) running.abort()
    clearTimeout(this.#timer)
    // The first screen is not waited for, and neither is one that is there.
    if (this.total === undefined) this.#ask()
    else if (this.#missing().length > 0) this.#timer = setTimeout(() => this.#ask(), restMs)
  }

  /** Everything may be different: what is in sight is fetched anew, and shows as it was until then. */
  reload(): void {
    this.#turn += 1
    for (const running of this.#running.values()) running.abort()
    this.#running.clear()
    this.#ask()
  }

  close(): void {
    clearTimeout(this.#timer)
    for (const running of this.#running.values()) running.abort()
  }

  #isInSight(page: number): boolean {
    return page >= Math.floor(this.#first / rowsPerPage) && page <= Math.floor(this.#last / rowsPerPage)
  }

  #missing(): number[] {
    const missing: number[] = []
    for (let page = Math.floor(this.#first / rowsPerPage); page <= Math.floor(this.#last / rowsPerPage); page += 1) {
      if (this.#pages.get(page)?.turn !== this.#turn && !this.#running.has(page)) missing.push(page)
    }
    return missing
  }

  #ask(): void {
    for (const page of this.#missing()) void this.#read(page)
  }

  async #read(page: number): Promise<void> {
    const running = new AbortController()
    const turn = this.#turn
    this.#running.set(page, running)
    try {
      const { total, rows } = await this.#fetch(page * rowsPerPage, rowsPerPage, running.signal)
      if (running.signal.aborted) return
      this.total = total
      this.error = undefined
      this.#pages.delete(page)
      this.#pages.set(page, { rows, turn })
      this.#forget()
    } catch (error) {
      if (running.signal.aborted) return
      this.error = error
    } finally {
      if (this.#running.get(page) === running) this.#running.delete(page)
    }
    this.#onChange()
  }

  #forget(): void {
    for (const page of this.#pages.keys()) {
      if (this.#pages.size <= maxPages) return
      if (!this.#isInSight(page)) this.#pages.delete(page)
    }
  }
}
