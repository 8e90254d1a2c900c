// Aedes as its readme starts it, with TCP_NODELAY as everybody else here: `node aedes.mjs PORT`.
import { createServer } from 'node:net'

import { Aedes } from 'aedes'

const broker = await Aedes.createBroker()
createServer({ noDelay: true }, broker.handle).listen({
  port: Number(process.argv[2]),
  host: '127.0.0.1',
  backlog: 1024,
})
