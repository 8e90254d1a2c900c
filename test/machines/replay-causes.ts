/**
 * What makes each event of the session's model happen in a broker, and where nothing outside of it can.
 * A replay sends an event to the actor itself only where this table says why it has to.
 */
import { leavesOf } from './session-model.ts'
import type { SessionSnapshot, StepName } from './session-model.ts'

interface Cause {
  /** What is done from outside. */
  readonly from: string
  /** It goes to the actor, which is the way that an embedder has as well. */
  readonly isOfServer?: true
  /** Why that cannot be done in this state; undefined where it can. */
  readonly never?: (at: SessionSnapshot, rest: readonly StepName[]) => string | undefined
}

type Place = 'connecting' | 'unanswered' | 'online' | 'offline'

export function placeOf({ value }: SessionSnapshot): Place {
  if (value === 'connecting') return 'connecting'
  if (value === 'offline') return 'offline'
  return typeof value === 'object' && 'online' in value ? 'online' : 'unanswered'
}

function isThrottled(at: SessionSnapshot): boolean {
  return leavesOf(at.value).includes('throttled')
}

function except(reason: string, isPossible: (at: SessionSnapshot) => boolean): NonNullable<Cause['never']> {
  return (at) => (isPossible(at) ? undefined : reason)
}

const gone = 'there is no connection that could bring it'

const ofClient: NonNullable<Cause['never']> = (at) => {
  if (placeOf(at) === 'offline') return gone
  return isThrottled(at) ? 'a client that does not read is not read either' : undefined
}

const ofConnection = except(gone, (at) => placeOf(at) !== 'offline')

const ofRegistered = except('a session is found under its identifier only once it was online', (at) =>
  ['online', 'offline'].includes(placeOf(at)),
)

const ofServer = { from: 'the actor of a session that was found', never: ofRegistered, isOfServer: true } as const

const ofOnline = except('it is watched for while online only', (at) => placeOf(at) === 'online')

/** The answer of an actor that the chart has invoked: where the model offers it, somebody waits for it. */
const hostDenies = 'the host turns whatever a hook throws into a denial; the chart does not rely on it'

const onlyRaised = { from: 'nothing', never: () => 'only the chart itself raises it' }

const ofGrant = (...states: readonly string[]): NonNullable<Cause['never']> =>
  except('the grant has no such deadline now', (at) =>
    states.some((state) => leavesOf(at.value).startsWith(`online(${state}`)),
  )

const packet = { from: 'the bytes of the packet', never: ofClient }
const decision = { from: 'the answer of the authenticator' }

function grantsOther(at: SessionSnapshot, granted: number, rest: readonly StepName[]): string | undefined {
  const asked = at.context.connect?.sessionExpiryIntervalSeconds ?? 0
  if (asked === granted) return undefined
  if (asked < granted) return 'a broker never grants more than was asked'
  const later: readonly StepName[] = ['resume', 'takeover', 'disconnect 0x00, expiry 90']
  const needsMore = at.context.connect?.clientId === 'returning' || rest.some((step) => later.includes(step))
  return needsMore ? 'the limit that cuts this expiry would cut those that follow' : undefined
}

export const causes: Readonly<Record<StepName, Cause>> = {
  connect: packet,
  'connect, lasting': packet,
  'connect, returning': packet,
  'connect, at once': packet,
  'auth 0x18': packet,
  'auth 0x19': packet,
  'auth 0x18, other method': packet,
  'disconnect 0x00': packet,
  'disconnect 0x04': packet,
  'disconnect 0x00, expiry 0': packet,
  'disconnect 0x00, expiry 90': packet,
  'disconnect 0x04, expiry 0': packet,
  'connection closed': { from: 'the client drops the connection', never: ofConnection },
  'connection failed': { from: 'a CONNECT with its reserved flag, later a PUBLISH with QoS 3', never: ofClient },
  'connection failed, silent': {
    from: 'bytes that are no MQTT, later a packet larger than allowed before CONNACK',
    never: (at) =>
      placeOf(at) === 'online'
        ? 'only a CONNACK too large for its client is that silent, and it comes at once'
        : ofClient(at, []),
  },
  'keepalive lost': { from: 'time passes without a packet', never: ofOnline },
  'connect deadline': {
    from: 'time passes',
    never: except('it was cancelled when the client was let in', (at) =>
      ['connecting', 'unanswered'].includes(placeOf(at)),
    ),
  },
  'authentication deadline': {
    from: 'time passes',
    never: except('no re-authentication is under way', (at) => /deciding|challenged/.test(leavesOf(at.value))),
  },
  'session deadline': {
    from: 'time passes',
    never: except('it runs while offline only', (at) => placeOf(at) === 'offline'),
  },
  resume: { from: 'another connection with its identifier and without a clean start', never: ofRegistered },
  takeover: { from: 'another connection with its identifier and without a clean start', never: ofRegistered },
  discard: { from: 'another connection with its identifier and a clean start', never: ofRegistered },
  'server disconnect': {
    from: 'disconnect() of the session',
    never: except('only one that is online has a connection to end', (at) => placeOf(at) === 'online'),
  },
  expire: { from: 'expire() of the session', never: ofRegistered },
  ready: {
    from: 'the client acknowledges what was sent again until nothing waits',
    never: except('nothing of an earlier connection waits', (at) => leavesOf(at.value).includes('waking')),
  },
  blocked: {
    from: 'the client does not read and a message fills its socket',
    never: except('a socket fills while its session delivers', (at) => placeOf(at) === 'online' && !isThrottled(at)),
  },
  drained: {
    from: 'the client reads again',
    never: except('no socket is full', isThrottled),
  },
  'will settled': {
    from: 'time passes until the will is due',
    never: except(
      'no will of it waits for its time',
      (at) => placeOf(at) === 'offline' && at.context.will !== undefined,
    ),
  },
  'expiring deadline': { from: 'time passes', never: ofGrant('valid') },
  'grant deadline': { from: 'time passes', never: ofGrant('valid', 'expiring', 'grace') },
  'connection deadline': { from: 'time passes', never: ofOnline },
  revoke: ofServer,
  'change roles': ofServer,
  'change roles, same': ofServer,
  'change properties': ofServer,
  'change properties, same': ofServer,
  'change attributes': ofServer,
  'change attributes of the connection': ofServer,
  'change attributes, same': ofServer,
  renewed: onlyRaised,
  're-authentication failed': onlyRaised,
  drain: { from: 'close() of the broker' },
  'identity: allowed': decision,
  'identity: challenged': decision,
  'identity: denied': decision,
  'identity: fails': { from: 'nothing', never: () => hostDenies },
  'admission: admitted': { from: 'the answer of onRegister', never: (at, rest) => grantsOther(at, 0, rest) },
  'admission: admitted, lasting': { from: 'the answer of onRegister', never: (at, rest) => grantsOther(at, 60, rest) },
  'admission: incumbent changed': {
    from: 'onTakeover waits, and the session that it was asked about ends',
  },
  'admission: denied': { from: 'the answer of onRegister' },
  'admission: fails': { from: 'nothing', never: () => hostDenies },
  're-authentication: allowed': decision,
  're-authentication: challenged': decision,
  're-authentication: denied': decision,
  're-authentication: fails': { from: 'nothing', never: () => hostDenies },
}

const nothingWaits = 'the model has every resumed session wake, and nothing waits for one without rights'
const nothingGoes = 'a socket is filled by messages, and none go to a session without rights'
export const noRights: readonly string[] = [nothingWaits, nothingGoes]

/** Ways that cannot be replayed at all, with why; everything else is. */
export function impossible(at: SessionSnapshot, step: StepName): string | undefined {
  if (step === 'auth 0x19' && /^online\(\w+, throttled/.test(leavesOf(at.value))) {
    return 'a re-authentication begins with the data of its AUTH, which only a packet brings to the host'
  }
  const { standing, connect } = at.context
  const hasNoRights = standing === 'revoked' || (standing === 'expired' && connect?.username === 'known')
  if (hasNoRights && (step === 'resume' || step === 'takeover')) return nothingWaits
  if (hasNoRights && step === 'blocked' && placeOf(at) === 'online' && !isThrottled(at)) return nothingGoes
  return undefined
}
