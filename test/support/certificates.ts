import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A key and the certificate for it, both PEM. */
export interface KeyPair {
  readonly key: string
  readonly cert: string
}

export interface CertificateRequest {
  /** Distinguished name as openssl takes it, for example `/CN=press-1/O=Plant`. */
  readonly subject: string
  /** Subject alternative names, for example `DNS:localhost,IP:127.0.0.1`. */
  readonly subjectAltName?: string
  /** How long it is valid. Default 30. */
  readonly days?: number
}

/** Files by name. */
type Files = Readonly<Record<string, string>>

/** An authority that lives in memory for as long as the test process, and whose keys are worth nothing. */
export class TestAuthority {
  readonly #own: Files
  readonly #cache = new Map<string, KeyPair>()
  #serial = 0
  /** The authority's own certificate, PEM. */
  readonly cert: string

  constructor(commonName = 'statemq test authority', days = 30) {
    const subject = ['-days', String(days), '-subj', `/CN=${commonName}`]
    const command = ['req', '-x509', '-keyout', 'ca.key', '-out', 'ca.crt', ...subject, ...newKey]
    const [key, cert] = openssl({}, [command], 'ca.key', 'ca.crt')
    this.#own = { 'ca.key': key, 'ca.crt': cert }
    this.cert = cert
  }

  /** A certificate signed by this authority; the same request gets the same one again. */
  issue(request: CertificateRequest): KeyPair {
    const id = JSON.stringify(request)
    const known = this.#cache.get(id)
    if (known) return known
    this.#serial += 1
    const extensions = request.subjectAltName
      ? `subjectAltName=${request.subjectAltName}\n`
      : 'basicConstraints=CA:FALSE\n'
    const asked = ['req', '-keyout', 'leaf.key', '-out', 'leaf.csr', '-subj', request.subject, '-utf8', ...newKey]
    const issuer = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-set_serial', String(this.#serial)]
    const days = ['-days', String(request.days ?? 30)]
    const signed = ['x509', '-req', '-in', 'leaf.csr', '-extfile', 'leaf.ext', '-out', 'leaf.crt', ...issuer, ...days]
    const files = { ...this.#own, 'leaf.ext': extensions }
    const [key, cert] = openssl(files, [asked, signed], 'leaf.key', 'leaf.crt')
    const pair = { key, cert }
    this.#cache.set(id, pair)
    return pair
  }

  /** The authority's certificate with its key, and another time to live, PEM. */
  renewed(commonName: string, days: number): string {
    const subject = ['-days', String(days), '-subj', `/CN=${commonName}`]
    const command = ['req', '-x509', '-key', 'ca.key', '-out', 'renewed.crt', ...subject]
    return openssl(this.#own, [command], 'renewed.crt', 'renewed.crt')[0]
  }

  /** A list that revokes these certificates of this authority, PEM. */
  revocationList(...revoked: readonly KeyPair[]): string {
    const stamp = (time: Date | string): string => `${new Date(time).toISOString().replace(/\D/g, '').slice(2, 14)}Z`
    const lines = revoked.map(({ cert }) => {
      const { validTo, serialNumber } = new X509Certificate(cert)
      return `R\t${stamp(validTo)}\t${stamp(new Date())}\t${serialNumber}\tunknown\t/CN=revoked\n`
    })
    const config = '[ca]\ndefault_ca=this\n[this]\ndatabase=index.txt\ndefault_md=sha256\ndefault_crl_days=30\n'
    const files = { ...this.#own, 'index.txt': lines.join(''), 'ca.conf': config }
    const ca = ['-config', 'ca.conf', '-cert', 'ca.crt', '-keyfile', 'ca.key']
    return openssl(files, [['ca', '-gencrl', ...ca, '-out', 'ca.crl']], 'ca.crl', 'ca.crl')[0]
  }
}

/**
 * Runs openssl in a folder with these files, and gives two that it made there. The folder is gone at once: a worker of
 * the tests ends without `exit`, and nobody would clean up after it.
 */
function openssl(files: Files, commands: readonly (readonly string[])[], ...made: [string, string]): [string, string] {
  const folder = mkdtempSync(join(tmpdir(), 'statemq-ca-'))
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
    for (const command of commands) execFileSync('openssl', command, { cwd: folder, stdio: 'pipe' })
    const [first, second] = made.map((name) => readFileSync(join(folder, name), 'utf8'))
    return [first!, second!]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Elliptic keys are made in no time. */
const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

let shared: TestAuthority | undefined

/** The authority that most tests share. */
export function testAuthority(): TestAuthority {
  shared ??= new TestAuthority()
  return shared
}

/** The server certificate for loopback, from {@link testAuthority}. */
export function localhostPair(): KeyPair {
  return testAuthority().issue({ subject: '/CN=localhost', subjectAltName: 'DNS:localhost,IP:127.0.0.1' })
}
