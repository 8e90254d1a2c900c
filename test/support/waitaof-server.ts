import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Where Debian's backports are kept that this machine's own release does not have. */
const backports =
  'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm-backports main'

/**
 * A server that knows `WAITAOF`, which Redis has from 7.2 on and Debian 12 has not: the installed one
 * where it is new enough, Valkey where that is installed, else Valkey from Debian's backports, unpacked
 * in a temporary folder. Undefined where none can be had: the tests that need it are skipped.
 */
export function serverWithWaitAof(): string | undefined {
  for (const name of ['redis-server', 'valkey-server']) {
    const stdout = String(spawnSync(name, ['--version'], { encoding: 'utf8' }).stdout)
    const [, major = '0', minor = '0'] = /v=(\d+)\.(\d+)/.exec(stdout) ?? []
    if (Number(major) > 7 || (Number(major) === 7 && Number(minor) >= 2)) return name
  }
  const folder = join(process.env['STATEMQ_LASTING_TMP'] ?? tmpdir(), `statemq-valkey-${process.getuid?.() ?? 0}`)
  const program = join(folder, 'valkey-server')
  if (!existsSync(program)) unpack(folder, program)
  return runs(program) ? program : undefined
}

/** One binary is all of Valkey's programs, by the name that it is called by. */
function unpack(folder: string, program: string): void {
  mkdirSync(join(folder, 'lists', 'partial'), { recursive: true })
  const script = `
set -e
echo '${backports}' > sources.list
options="-o Dir::Etc::sourcelist=$PWD/sources.list -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists=$PWD/lists"
options="$options -o Dir::Cache=$PWD/cache -o APT::Sandbox::User=root"
mkdir -p cache/archives/partial
timeout 60 apt-get $options update
timeout 60 apt-get $options download valkey-tools
dpkg -x valkey-tools_*.deb tree`
  spawnSync('sh', ['-c', script], { cwd: folder, stdio: 'ignore' })
  const binary = join(folder, 'tree', 'usr', 'bin', 'valkey-check-rdb')
  if (existsSync(binary) && !existsSync(program)) symlinkSync(binary, program)
}

function runs(program: string): boolean {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0
}
