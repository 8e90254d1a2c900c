/** When a message came outlives the process, and what was written before that was noted is read as ever. */
import { expect, test } from 'vitest'

import { msOfTenths, Publication, tenthsOf } from '../../../src/publication.ts'
import { readMessage, writeMessage } from '../../../src/store/message-record.ts'
import { RecordReader, RecordWriter } from '../../../src/store/record.ts'

function written(arrived: number): Buffer {
  const payload = Buffer.from('hello')
  const publication = new Publication('a/b', 1, true, false, 0, payload, 0, payload.length)
  publication.arrived = arrived
  const out = new RecordWriter()
  writeMessage(out, publication)
  return Buffer.from(out.content())
}

test.each([0, 1_700_000_000_000, Date.now() + 10_000, Date.now() + 86_400_000 * 365 * 50])(
  'a message that came at %i says so after it was read',
  (atMs) => {
    const record = new RecordReader(written(tenthsOf(atMs)))
    const message = readMessage(record)
    expect(record.ended).toBe(true)
    expect([message.topic, message.qos, message.retain, message.payload.toString()]).toEqual(['a/b', 1, true, 'hello'])
    expect(msOfTenths(message.arrived)).toBe(Math.floor(atMs / 100) * 100)
  },
)

test('one without a time has none, and costs no byte', () => {
  const record = written(0)
  expect(msOfTenths(readMessage(new RecordReader(record)).arrived)).toBeUndefined()
  expect(written(tenthsOf(Date.now() + 10_000)).length - record.length).toBe(5)
})

test('the moment from which tenths are counted is a time as any other', () => {
  const begin = msOfTenths(1)! - 100
  expect(tenthsOf(begin)).not.toBe(0)
})
