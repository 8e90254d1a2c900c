/**
 * The two messages that a SCRAM client sends (RFC 5802 section 7), read strictly: one spelling of
 * everything, fixed order, nothing extra. What the grammar calls optional extensions is refused as
 * well, since the server knows none and nothing unknown should lie under a proof that it accepts.
 */

/** A message that breaks the grammar; the text is for the broker's events, never for the client. */
export class ScramSyntaxError extends Error {
  override readonly name = 'ScramSyntaxError'
}

/** What the client says of channel binding: `n` can't, `y` could but takes it that the server can't, `p` does. */
export type ChannelBindingFlag = 'n' | 'y' | 'p'

export interface ClientFirst {
  /** The gs2 header, to be repeated in the client's final message. */
  readonly header: string
  readonly flag: ChannelBindingFlag
  /** With flag `p`, the name of the binding, for example `tls-exporter`. */
  readonly bindingName: string | undefined
  /** Who the client wants to act as; undefined: as its user. */
  readonly authorizationId: string | undefined
  readonly username: string
  readonly nonce: string
  /** The part that the proof covers. */
  readonly bare: string
}

export interface ClientFinal {
  /** The gs2 header and the channel's data. */
  readonly channelBinding: Buffer
  readonly nonce: string
  readonly proof: Buffer
  /** The part that the proof covers. */
  readonly withoutProof: string
}

/** Longer than any honest message: a user name of 1,000 bytes, a nonce and a hash fit. */
const MAX_MESSAGE_BYTES = 4_096

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const clientFirst = /^((n|y|p=([A-Za-z0-9.-]+)),(?:a=([^,]+))?,)(n=([^,]+),r=([\x21-\x2b\x2d-\x7e]+))$/u
const clientFinal = /^(c=([A-Za-z0-9+/=]+),r=([\x21-\x2b\x2d-\x7e]+)),p=([A-Za-z0-9+/=]+)$/u

/** Throws {@link ScramSyntaxError}. */
export function parseClientFirst(data: Buffer): ClientFirst {
  const parts = clientFirst.exec(textOf(data))
  if (!parts) throw new ScramSyntaxError('the first message of the client is not valid')
  const [, header, flag, bindingName, authorizationId, bare, username, nonce] = parts
  return {
    header: header!,
    flag: flag![0] as ChannelBindingFlag,
    bindingName,
    authorizationId: authorizationId === undefined ? undefined : saslName(authorizationId),
    username: saslName(username!),
    nonce: nonce!,
    bare: bare!,
  }
}

/** Throws {@link ScramSyntaxError}. */
export function parseClientFinal(data: Buffer): ClientFinal {
  const parts = clientFinal.exec(textOf(data))
  if (!parts) throw new ScramSyntaxError('the final message of the client is not valid')
  const [, withoutProof, channelBinding, nonce, proof] = parts
  return {
    channelBinding: base64(channelBinding!),
    nonce: nonce!,
    proof: base64(proof!),
    withoutProof: withoutProof!,
  }
}

function textOf(data: Buffer): string {
  if (data.length > MAX_MESSAGE_BYTES) throw new ScramSyntaxError(`a message is over ${MAX_MESSAGE_BYTES} bytes`)
  let text: string
  try {
    text = utf8.decode(data)
  } catch {
    throw new ScramSyntaxError('a message is not UTF-8')
  }
  if (text.includes('\0')) throw new ScramSyntaxError('a message holds NUL')
  return text
}

/** Section 5.1: `=2C` stands for a comma, `=3D` for an equals sign, and no other equals sign may occur. */
function saslName(text: string): string {
  if (/=(?!2C|3D)/u.test(text)) throw new ScramSyntaxError('a name has an equals sign that stands for nothing')
  return text.replace(/=2C|=3D/gu, (escape) => (escape === '=2C' ? ',' : '='))
}

/** Node skips what is no base64; here only the one right spelling of the bytes counts. Throws {@link ScramSyntaxError}. */
export function base64(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) throw new ScramSyntaxError('base64 is not valid')
  return bytes
}
