import { spawn } from 'node:child_process'

import type { Logger } from '../options.ts'

/** What systemd can be told: see sd_notify(3). */
export type ServiceState = 'READY=1' | 'STOPPING=1' | `STATUS=${string}`

/**
 * Tells systemd what has become of the service, where it was started with `Type=notify`. It listens on a
 * datagram socket, which Node has no way to send to: systemd's own tool does, for which the unit has
 * `NotifyAccess=all`. Elsewhere nothing happens.
 */
export function tellSystemd(states: readonly ServiceState[], log: Logger): void {
  if (!process.env['NOTIFY_SOCKET']) return
  // A line break would begin a variable of its own.
  const words = states.map((state) => state.replaceAll(/[\r\n]/g, ' '))
  const child = spawn('systemd-notify', ['--', ...words], { stdio: 'ignore' })
  child.on('error', (error) => log.warn({ err: error }, 'systemd was not told: systemd-notify does not run'))
  child.on('exit', (status) => {
    if (status !== 0) log.warn({ status }, 'systemd was not told: systemd-notify failed')
  })
  child.unref()
}
