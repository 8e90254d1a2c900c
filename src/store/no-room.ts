const codes: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

/** Whether the system refused a write because there is no room: on the disk, in a quota, under a limit on files. */
export function isNoRoom(error: unknown): boolean {
  return codes.has((error as NodeJS.ErrnoException).code)
}
