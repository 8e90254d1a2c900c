/**
 * Steps of a persistent session at which a broker can be told to kill itself, by the method that takes
 * each: what comes from publishers, what goes to subscribers, and the commit of the store.
 */
export const killSteps = {
  /** PUBLISH of QoS 2 from a client: its identifier is written. */
  received: 'Keeper.received',
  /** PUBREL from a client. */
  released: 'Keeper.released',
  /** A message is put into the line of a session. */
  kept: 'Keeper.keep',
  /** PUBLISH to a client gets its identifier; PUBREC from it has come. */
  assigned: 'Keeper.assign',
  /** PUBACK or PUBCOMP from a client: the identifier is free. */
  freed: 'Keeper.free',
  /** It is out of the line. */
  settled: 'Keeper.settle',
  subscribed: 'Keeper.subscribed',
  unsubscribed: 'Keeper.unsubscribed',
  /** Its chart has taken a step. */
  updated: 'Keeper.update',
  committed: 'Store.commit',
  /** A page of a line is read. */
  paged: 'Keeper.page',
} as const

/** `received:before`, and so on. */
export const killPointNames: readonly string[] = Object.keys(killSteps).flatMap((step) => [
  `${step}:before`,
  `${step}:after`,
])
