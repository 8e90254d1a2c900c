/** Whom a ban is about. At least one of them is named; where several are, all of them have to be so. */
export interface BanSubject {
  /** Exactly this client identifier. */
  readonly clientId?: string
  /** Exactly this principal, under whatever client identifier. */
  readonly principal?: string
  /** An address or a range: `203.0.113.7`, `198.51.100.0/24`, `2001:db8::/32`. */
  readonly address?: string
}

/** What `broker.bans.add` takes. */
export interface BanInput extends BanSubject {
  /** For operators; clients learn only that they are banned. Default empty. At most 1,024 characters. */
  readonly reason?: string
  /** Default: until it is removed. */
  readonly seconds?: number
}

/** Somebody who may not connect. */
export interface Ban extends BanSubject {
  /** The same for the same subject, in every process. Fit for a URL. */
  readonly id: string
  readonly reason: string
  /** `broker`: by one of the limits that are there against flapping and guessing. */
  readonly by: 'operator' | 'configuration' | 'broker'
  /** Broker time. */
  readonly createdAtMs: number
  /** Null: until it is removed. */
  readonly untilMs: number | null
}

/** Why a ban is no more. `forgotten`: one of the broker's own that made room for another. */
export type BanEnd = 'operator' | 'configuration' | 'ended' | 'forgotten'

/** Who may not connect. */
export interface BrokerBans {
  /** The oldest first. */
  list(): readonly Ban[]
  get(id: string): Ban | undefined
  /**
   * Bans, and sends away who is connected now with DISCONNECT 0x98; their sessions stay what they are. The
   * same subject again takes the place of what there was. Throws SMQ_BAN_INVALID or SMQ_BAN_LIMIT.
   */
  add(ban: BanInput): Ban
  /** False: there is none. One of the configuration is there again after the next reload. */
  remove(id: string): boolean
}
