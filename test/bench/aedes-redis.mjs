// Aedes with what it keeps in Redis, as its readme says: `node aedes-redis.mjs PORT SOCKET FOLDER`.
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [port, path, folder] = process.argv.slice(2)
const require = createRequire(join(folder, 'package.json'))
const load = (name) => import(pathToFileURL(require.resolve(name)).href)
const [{ Aedes }, persistence, emitter] = await Promise.all(
  ['aedes', 'aedes-persistence-redis', 'mqemitter-redis'].map(load),
)
const broker = await Aedes.createBroker({
  persistence: persistence.default({ path, maxSessionDelivery: 10_000_000 }),
  mq: emitter.default({ path }),
})
createServer({ noDelay: true }, broker.handle).listen({ port: Number(port), host: '127.0.0.1', backlog: 1024 })
