import type { CommonListenerOptions } from '../options.ts'
import type { Listener } from './types.ts'

/** A listener for its embedder: its broker has a say in what is done to it. */
export function ownedListener(
  opened: Listener,
  broker: {
    readonly reload: (options: CommonListenerOptions) => Promise<void>
    readonly close: () => Promise<void>
  },
) {
  return {
    name: opened.name,
    transport: opened.transport,
    address: opened.address,
    get connections() {
      return opened.connections
    },
    reload: broker.reload,
    setSecureContext: opened.setSecureContext.bind(opened),
    close: broker.close,
  }
}
