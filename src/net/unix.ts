import { chmodSync, lstatSync, unlinkSync } from 'node:fs'
import { createConnection } from 'node:net'

import { StatemqError } from '../errors.ts'
import type { UnixListenerOptions } from '../options.ts'
import { SocketServer } from './socket-server.ts'
import type { ListenContext, Listener } from './types.ts'

/** Only the broker's own user may connect unless the option says otherwise. */
const defaultMode = 0o600

/** Whether a process listens on this socket; what can't be told counts as alive, so nothing of others is removed. */
function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    )
  })
}

/** A crashed process leaves its socket file behind, and the name stays taken until someone removes it. */
async function removeStaleSocket(path: string): Promise<void> {
  const stats = lstatSync(path, { throwIfNoEntry: false })
  // A plain file of this name also refuses connections, and it is not ours to remove.
  if (!stats?.isSocket() || (await isAlive(path))) return
  unlinkSync(path)
}

/** Opens a unix socket; its file is removed when the listener closes. */
export async function openUnixListener(options: UnixListenerOptions, context: ListenContext): Promise<Listener> {
  const { path, mode = defaultMode } = options
  if (path === '') throw new StatemqError('SMQ_OPTION_INVALID', 'path of a unix listener is empty')
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o777)
    throw new StatemqError('SMQ_OPTION_INVALID', `mode ${mode} of a unix listener`)
  try {
    await removeStaleSocket(path)
  } catch (error) {
    throw new StatemqError('SMQ_LISTEN_FAILED', `unix ${path}: ${(error as NodeJS.ErrnoException).code}`, {
      cause: error,
    })
  }
  return SocketServer.open(
    // Between bind and chmod the file has the process's own mask, which gives no write right, and
    // so no right to connect, to others; no event is handled in between.
    { transport: 'unix', name: options.name, bind: { path }, prepare: () => chmodSync(path, mode) },
    context,
  )
}
