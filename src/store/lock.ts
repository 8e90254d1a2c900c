import { createHash } from 'node:crypto'
import { chmod, realpath, unlink } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'

import { StatemqError } from '../errors.ts'

/** Systems take no longer path for a unix socket, its closing NUL included. */
const MAX_SOCKET_PATH_BYTES = 104

/**
 * Makes a directory one process's alone: a unix socket in it that its owner listens on. The system
 * closes it when the process ends, however it ends, so that a lock never outlives its owner, and a
 * process identifier that was given to somebody else is never mistaken for one. Rejects with
 * SMQ_STORE_LOCKED. Returns what gives the lock up.
 */
export async function lockDirectory(directory: string): Promise<() => Promise<void>> {
  const path = await socketPath(directory)
  for (let attempt = 0; attempt < 3; attempt++) {
    const server = await listen(path)
    if (server) {
      await chmod(path, 0o600)
      return () => close(server)
    }
    if (await isAnswered(path)) break
    // Its owner was killed. Should two find that at once, one of them listens and the other is answered.
    await unlink(path).catch(() => {})
  }
  throw new StatemqError('SMQ_STORE_LOCKED', directory)
}

async function socketPath(directory: string): Promise<string> {
  const real = await realpath(directory)
  const inside = join(real, 'lock.sock')
  const fromHere = relative(process.cwd(), inside)
  for (const path of [inside, fromHere]) if (Buffer.byteLength(path) < MAX_SOCKET_PATH_BYTES) return path
  return join(tmpdir(), `statemq-${createHash('sha256').update(real).digest('hex').slice(0, 32)}.sock`)
}

/** Undefined: the path is taken. */
function listen(path: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined)
      else reject(new StatemqError('SMQ_STORE_FAILED', `the lock ${path}: ${error.message}`, { cause: error }))
    })
    server.listen(path, () => {
      // It must not keep the process alive.
      server.unref()
      resolve(server)
    })
  })
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()))
}
