/** One server-sent event. */
export interface StreamEvent {
  readonly type: string
  readonly data: string
}

/** Takes the text of an event stream apart as it comes in, in pieces of any length. */
export class EventStreamParser {
  #rest = ''
  #type = ''
  #data: string[] = []

  /** The events that are complete with this piece. */
  push(piece: string): StreamEvent[] {
    const lines = (this.#rest + piece).split(/\r\n|\n|\r(?!$)/)
    this.#rest = lines.pop() ?? ''
    return lines.flatMap((line) => this.#take(line))
  }

  #take(line: string): StreamEvent[] {
    if (line === '') {
      const event = { type: this.#type || 'message', data: this.#data.join('\n') }
      const isEvent = this.#data.length > 0
      this.#type = ''
      this.#data = []
      return isEvent ? [event] : []
    }
    const [, field = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? []
    if (field === 'event') this.#type = value
    else if (field === 'data') this.#data.push(value)
    return []
  }
}
