/** A value as JSON carries it: what is undefined is null, so that a reader sees that it is not there. */
export function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (_name, one: unknown) => (one === undefined ? null : one))) as unknown
}
