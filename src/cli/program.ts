import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'

import { StatemqError, type ErrorCode } from '../errors.ts'
import { addAdminCommands } from './admin-commands.ts'
import { packageVersion } from '../version.ts'
import { addChartCommand } from './chart.ts'
import { ConfigurationError, nearest, problemLine } from './config-problems.ts'
import { logLevels } from './log-levels.ts'
import { addClientCommands } from './mqtt-commands.ts'
import { addPasswdCommand } from './passwd.ts'
import type { Flags } from './settings.ts'
import { addStoreCommand } from './store.ts'
import { durabilities, storeTypes } from './store-kinds.ts'

const help = `
Precedence: defaults < --config < --set < named flags. --port and --host change the first tcp
listener of the file, --ws-port and --ws-host the first ws listener, --unix the first unix listener;
where there is none they add one. Every key of the file is in docs/configuration.md.

Without authenticators configured, listeners open on loopback addresses only, unless --allow-anonymous.

What is acknowledged is on disk first: --store lmdb, in --data, which begins with mode 0700. --durability os
flushes nothing: it survives a killed process, but no power cut. --store memory forgets with the process.

--redis URL keeps all of it in a Redis server instead (npm install ioredis bullmq): redis://host:port,
rediss:// with TLS, redis+sentinel://host:port,host:port/master-name, redis+cluster://host:port,host:port,
or the path of a socket. --durability fsync waits until the server has flushed.

SIGTERM and SIGINT drain and stop. SIGHUP reads the configuration again: roles, authenticators, TLS
files, listeners; one that is not valid changes nothing, and the log says why.

Exit status: 0 after a drain, 1 for a failure at run time, 2 for a wrong command line or configuration.`

const usageHint = "Run 'statemq --help' for usage."

function port(text: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value > 65_535) throw new InvalidArgumentError('Expected a number from 0 to 65535.')
  return value
}

/** What a shell makes of a variable that is not set must not be the folder that it runs in. */
function filled(text: string): string {
  if (text === '') throw new InvalidArgumentError('Expected a name.')
  return text
}

function collect(text: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, text]
}

/** The options of `start` and `check`: what can be started can be checked with the same words. */
function withSettings(command: Command): Command {
  return command
    .option('--port <number>', 'TCP port; 0 takes a free one (default: 1883)', port)
    .option('--host <address>', 'address to listen on (default: 127.0.0.1)')
    .option('--ws-port <number>', 'also listen for WebSocket connections on this port', port)
    .option('--ws-host <address>', 'address of the WebSocket listener (default: that of --host)')
    .option('--unix <path>', 'also listen on a unix socket')
    .addOption(new Option('--store <kind>', 'where sessions and messages are kept (default: lmdb)').choices(storeTypes))
    .option('--data <directory>', 'what lmdb keeps, one process at a time (default: ./statemq-data)', filled)
    .option('--redis <url>', 'keep them in Redis; one with a password goes into STATEMQ_REDIS_URL', filled)
    .addOption(
      new Option(
        '--durability <kind>',
        'what an acknowledged message survives (default: disk; redis: everysec)',
      ).choices(durabilities),
    )
    .option('--inspect-port <number>', 'open the inspector and the admin API on this port (default: closed)', port)
    .option('--inspect-host <address>', 'address of the inspector (default: 127.0.0.1)')
    .option('--config <file>', 'configuration file (YAML)')
    .option('--set <path=value>', 'set any option of the file, such as limits.maxConnections=1000; repeatable', collect)
    .addOption(new Option('--log-level <level>', 'how much to log (default: info)').choices(logLevels))
    .option('--allow-anonymous', 'let everyone in, on any address')
    .allowExcessArguments(false)
}

// A command loads what it needs: keeping a password file takes no broker, whose modules are most of a second.

async function startCommand(flags: Flags): Promise<void> {
  const { start } = await import('./start.ts')
  await start(flags)
}

async function checkCommand(flags: Flags): Promise<string> {
  const [{ describeSettings }, { resolveSettings }] = await Promise.all([import('./check.ts'), import('./settings.ts')])
  return describeSettings(resolveSettings(flags))
}

/** Options before a command would be those of `statemq` alone: `statemq --config FILE check` would judge nothing. */
function refuseOptionsBefore(program: Command, command: Command): void {
  const given = program.options.find((one) => program.getOptionValue(one.attributeName()) !== undefined)
  if (given === undefined) return
  throw new StatemqError('SMQ_USAGE', `${given.long} stands before "${command.name()}": options follow their command`)
}

/** Builds the command; `write` gets what is meant for standard output. */
function buildProgram(write: (text: string) => void): Command {
  const program = withSettings(new Command('statemq'))
    .description('An MQTT broker in which every client session is an actor running a statechart')
    .version(packageVersion())
    // So that options after a command are that command's own.
    .enablePositionalOptions()
    // Commander leaves it out where there is something to do without a command.
    .helpCommand('help [command]', 'display help for command')
    .showHelpAfterError(usageHint)
    .exitOverride()
    .addHelpText('after', help)
    .hook('preSubcommand', refuseOptionsBefore)
    .action(startCommand)
  withSettings(program.command('start').description('run a broker (what statemq does without a command)')).action(
    startCommand,
  )
  withSettings(program.command('check').description('judge a configuration and print what would run')).action(
    async (flags: Flags) => {
      write(await checkCommand(flags))
    },
  )
  addChartCommand(program, write)
  addPasswdCommand(program, write)
  addStoreCommand(program, write)
  addAdminCommands(program, write)
  addClientCommands(program, write)
  return program
}

/** These run a broker until a signal ends it; `statemq` alone does too. */
const runsOn: ReadonlySet<string> = new Set(['start'])

/** Codes that say that the caller is at fault, not the broker or the system. */
const callersFault: ReadonlySet<string> = new Set([
  'SMQ_USAGE',
  'SMQ_CONFIG_INVALID',
  'SMQ_CONFIG_UNREADABLE',
  'SMQ_OPTION_INVALID',
  'SMQ_LISTEN_UNPROTECTED',
  'SMQ_INSPECT_UNPROTECTED',
  'SMQ_TLS_INVALID',
  'SMQ_PASSWORD_FILE_INVALID',
  'SMQ_STORE_MODULE',
])

/** Of commands that speak to a broker: nobody is there, or nobody who knows us; there is nothing of that name. */
const statuses: Readonly<Partial<Record<ErrorCode, number>>> = {
  SMQ_API_UNREACHABLE: 3,
  SMQ_API_UNAUTHENTICATED: 3,
  SMQ_CONNECT_FAILED: 3,
  SMQ_API_NOT_FOUND: 4,
  SMQ_SESSION_UNKNOWN: 4,
}

function statusOf(error: unknown, complain: (text: string) => void): number {
  // Commander has printed its message already; showing help or the version is no fault.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  if (error instanceof ConfigurationError) {
    complain(`${error.problems.map(problemLine).join('\n')}\n`)
    return 2
  }
  if (!(error instanceof StatemqError)) throw error
  complain(`statemq: ${error.message}\n${error.code === 'SMQ_USAGE' ? `${usageHint}\n` : ''}`)
  return callersFault.has(error.code) ? 2 : (statuses[error.code] ?? 1)
}

/**
 * Runs one command line. The status is for the process to end with; undefined means that a broker
 * runs now and that a signal will end the process.
 */
export async function runCommandLine(
  words: readonly string[],
  write: (text: string) => void,
  complain: (text: string) => void,
): Promise<number | undefined> {
  try {
    const program = buildProgram(write)
    const [first] = words
    const commands = [...program.commands.map((command) => command.name()), 'help']
    // Commander would take an unknown word for a superfluous argument of the default command.
    if (first !== undefined && !first.startsWith('-') && !commands.includes(first)) {
      const meant = nearest(first, commands)
      throw new StatemqError('SMQ_USAGE', `unknown command "${first}"${meant ? `; did you mean ${meant}?` : ''}`)
    }
    await program.parseAsync(words, { from: 'user' })
    return first === undefined || first.startsWith('-') || runsOn.has(first) ? undefined : 0
  } catch (error) {
    return statusOf(error, complain)
  }
}
