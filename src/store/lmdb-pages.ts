import { readSync } from 'node:fs'
import { open } from 'node:fs/promises'

import { StatemqError } from '../errors.ts'

/**
 * LMDB trusts its file: it maps it into memory and follows what it finds there. A file that was cut
 * off, or a page in which bits flipped, would end the process by a signal. So the pages are walked
 * first, the way LMDB would, by reads that can't crash:
 *
 *     meta page ─▶ tree of tables ─▶ tree of a table ─▶ values on pages of their own
 *             └──▶ tree of free pages
 *
 * Integers are little-endian; this is format 2 of LMDB's files, with pages that begin with 24 bytes.
 */
const META = {
  magic: 0xbeefc0de,
  magicAt: 24,
  version: 2,
  versionAt: 28,
  freeAt: 48,
  mainAt: 96,
  lastPageAt: 144,
  transactionAt: 152,
} as const
const PAGE = { numberAt: 0, flagsAt: 18, lowerAt: 20, upperAt: 22, pagesAt: 20, headBytes: 24 } as const
const TREE = { pageBytesAt: 0, flagsAt: 4, depthAt: 6, entriesAt: 32, rootAt: 40, bytes: 48 } as const
const Flag = { Branch: 1, Leaf: 2, Overflow: 4 } as const
const Node = { BigData: 1, Table: 2, headBytes: 8 } as const
const NONE = 0xffff_ffff_ffff_ffffn
const MAX_DEPTH = 32
/** `MDB_OVERLAPPINGSYNC`: what was written last may not have been flushed. */
const OVERLAPPING = 0x1000

/** The time that it takes at once. */
const TURN_MS = 10

export interface PageFacts {
  /** The file was written without a flush at each commit. */
  readonly isOverlapping: boolean
}

/** Rejects with SMQ_STORE_DAMAGED. Undefined: there is no file, or an empty one. */
export async function checkPages(file: string): Promise<PageFacts | undefined> {
  const handle = await open(file, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new StatemqError('SMQ_STORE_FAILED', error.message, { cause: error })
  })
  if (handle === undefined) return undefined
  try {
    const { size } = await handle.stat()
    if (size === 0) return undefined
    return await new PageWalk(file, handle.fd, size).run()
  } finally {
    await handle.close()
  }
}

class PageWalk {
  readonly #file: string
  readonly #fd: number
  readonly #size: number
  #pageBytes = 4_096
  #pages = 0
  #turnEndsAtMs = performance.now() + TURN_MS
  /** Pages that were come to, a bit each: none belongs to two. */
  #seen = new Uint8Array(0)

  constructor(file: string, fd: number, size: number) {
    this.#file = file
    this.#fd = fd
    this.#size = size
  }

  async run(): Promise<PageFacts> {
    const first = this.#read(0, META.transactionAt + 8)
    if (first === undefined || !isMeta(first)) throw this.#damaged('it is no LMDB file')
    const version = first.readUInt32LE(META.versionAt)
    if (version !== META.version) {
      throw new StatemqError('SMQ_STORE_VERSION', `${this.#file} has version ${version} of LMDB's format`)
    }
    this.#pageBytes = first.readUInt32LE(META.freeAt + TREE.pageBytesAt)
    if (this.#pageBytes < 256 || this.#pageBytes > 65_536 || (this.#pageBytes & (this.#pageBytes - 1)) !== 0) {
      throw this.#damaged(`pages of ${this.#pageBytes} bytes`)
    }
    const second = this.#read(this.#pageBytes, META.transactionAt + 8)
    // LMDB takes the newer one, and thinks nothing of the other but its mark.
    if (second === undefined || !isMeta(second)) throw this.#damaged('its second page is no meta page')
    const meta = second.readBigUInt64LE(META.transactionAt) > first.readBigUInt64LE(META.transactionAt) ? second : first
    this.#pages = Number(meta.readBigUInt64LE(META.lastPageAt)) + 1
    if (!Number.isSafeInteger(this.#pages) || this.#pages > 2 ** 40) throw this.#damaged('it has no last page')
    this.#seen = new Uint8Array(Math.ceil(Math.min(this.#pages, this.#size / this.#pageBytes + 1) / 8))
    await this.#tree(meta, META.freeAt)
    await this.#tree(meta, META.mainAt)
    return { isOverlapping: (meta.readUInt16LE(META.freeAt + TREE.flagsAt) & OVERLAPPING) !== 0 }
  }

  /** A tree that a record of LMDB's is about. */
  async #tree(record: Buffer, at: number): Promise<void> {
    const root = record.readBigUInt64LE(at + TREE.rootAt)
    const depth = record.readUInt16LE(at + TREE.depthAt)
    if (root === NONE) {
      if (depth !== 0 || record.readBigUInt64LE(at + TREE.entriesAt) !== 0n)
        throw this.#damaged('a table without a root')
      return
    }
    if (depth < 1 || depth > MAX_DEPTH) throw this.#damaged(`a tree ${depth} pages deep`)
    const entries = await this.#branch(Number(root), depth)
    if (entries !== record.readBigUInt64LE(at + TREE.entriesAt)) throw this.#damaged('a table counts wrong')
  }

  /** Returns how many entries are below a page. */
  async #branch(number: number, depth: number): Promise<bigint> {
    if (performance.now() > this.#turnEndsAtMs) {
      await new Promise<void>((resolve) => setImmediate(resolve))
      this.#turnEndsAtMs = performance.now() + TURN_MS
    }
    const page = this.#page(number, depth > 1 ? Flag.Branch : Flag.Leaf)
    const nodes = this.#nodes(page, number)
    if (depth === 1) {
      for (const at of nodes) await this.#leaf(page, at, number)
      return BigInt(nodes.length)
    }
    let entries = 0n
    for (const at of nodes) {
      const child = page.readUIntLE(at, 6)
      this.#assertInside(page, at, Node.headBytes + page.readUInt16LE(at + 6), number)
      entries += await this.#branch(child, depth - 1)
    }
    return entries
  }

  async #leaf(page: Buffer, at: number, number: number): Promise<void> {
    const flags = page.readUInt16LE(at + 4)
    const bytes = page.readUInt32LE(at)
    const keyBytes = page.readUInt16LE(at + 6)
    const dataAt = at + Node.headBytes + keyBytes
    if (keyBytes === 0 || keyBytes > this.#pageBytes) throw this.#damaged(`page ${number} has a key that can't be`)
    if (flags === Node.BigData) {
      this.#assertInside(page, dataAt, 24, number)
      const first = Number(page.readBigUInt64LE(dataAt))
      const pages = Number(page.readBigUInt64LE(dataAt + 16))
      if (pages !== Math.floor((PAGE.headBytes - 1 + bytes) / this.#pageBytes) + 1) {
        throw this.#damaged(`page ${number} has a value of ${bytes} bytes on ${pages} pages`)
      }
      const head = this.#page(first, Flag.Overflow, pages)
      if (head.readUInt32LE(PAGE.pagesAt) !== pages) throw this.#damaged(`page ${first} is one of another number`)
      return
    }
    this.#assertInside(page, dataAt, bytes, number)
    if (flags === 0) return
    if (flags !== Node.Table || bytes !== TREE.bytes) throw this.#damaged(`page ${number} has flags that can't be`)
    await this.#tree(page, dataAt)
  }

  /** Where the nodes of a page begin. */
  #nodes(page: Buffer, number: number): number[] {
    const lower = page.readUInt16LE(PAGE.lowerAt)
    const upper = page.readUInt16LE(PAGE.upperAt)
    const room = this.#pageBytes - PAGE.headBytes
    if (lower % 2 !== 0 || lower === 0 || lower > upper || upper > room) {
      throw this.#damaged(`page ${number} has bounds that can't be`)
    }
    return Array.from({ length: lower / 2 }, (_, index) => {
      const offset = page.readUInt16LE(PAGE.headBytes + index * 2)
      if (offset < upper || offset + Node.headBytes > room) throw this.#damaged(`page ${number} has a node outside`)
      return PAGE.headBytes + offset
    })
  }

  #assertInside(page: Buffer, at: number, bytes: number, number: number): void {
    if (at + bytes > page.length) throw this.#damaged(`page ${number} has a node that ends outside`)
  }

  /** A page of the tree, or the first one of a value's. */
  #page(number: number, kind: number, pages = 1): Buffer {
    if (number < 2 || number + pages > this.#pages) throw this.#damaged(`page ${number} can't be one`)
    if ((number + pages) * this.#pageBytes > this.#size) {
      throw this.#damaged(`it was cut off: page ${number} lies behind its end at ${this.#size} bytes`)
    }
    for (let at = number; at < number + pages; at++) {
      const bit = 1 << (at & 7)
      if (this.#seen[at >> 3]! & bit) throw this.#damaged(`page ${at} belongs to two`)
      this.#seen[at >> 3]! |= bit
    }
    const page = this.#read(number * this.#pageBytes, kind === Flag.Overflow ? PAGE.headBytes : this.#pageBytes)
    if (page === undefined) throw this.#damaged(`page ${number} can't be read`)
    if (page.readUIntLE(PAGE.numberAt, 6) !== number || page.readUInt16LE(PAGE.flagsAt) !== kind) {
      throw this.#damaged(`page ${number} is another one`)
    }
    return page
  }

  #read(at: number, bytes: number): Buffer | undefined {
    const buffer = Buffer.allocUnsafe(bytes)
    return readSync(this.#fd, buffer, 0, bytes, at) === bytes ? buffer : undefined
  }

  #damaged(what: string): StatemqError {
    return new StatemqError('SMQ_STORE_DAMAGED', `${this.#file}: ${what}`)
  }
}

function isMeta(page: Buffer): boolean {
  return page.readUInt32LE(META.magicAt) === META.magic && page.readUInt16LE(PAGE.flagsAt) === 8
}
