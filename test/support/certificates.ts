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

/** An authority that lives as long as the test process, and whose keys are worth nothing. */
export class TestAuthority {
  readonly #directory: string
  readonly #cache = new Map<string, KeyPair>()
  #serial = 0
  /** The authority's own certificate, PEM. */
  readonly cert: string

  constructor(commonName = 'statemq test authority', days = 30) {
    this.#directory = mkdtempSync(join(tmpdir(), 'statemq-ca-'))
    process.once('exit', () => rmSync(this.#directory, { recursive: true, force: true }))
    this.#openssl([
      'req',
      '-x509',
      '-keyout',
      'ca.key',
      '-out',
      'ca.crt',
      '-days',
      String(days),
      '-subj',
      `/CN=${commonName}`,
      ...newKey,
    ])
    this.cert = this.#read('ca.crt')
  }

  /** A certificate signed by this authority; the same request gets the same one again. */
  issue(request: CertificateRequest): KeyPair {
    const id = JSON.stringify(request)
    const known = this.#cache.get(id)
    if (known) return known
    this.#serial += 1
    const name = `leaf${this.#serial}`
    const extensions = request.subjectAltName
      ? `subjectAltName=${request.subjectAltName}\n`
      : 'basicConstraints=CA:FALSE\n'
    writeFileSync(join(this.#directory, `${name}.ext`), extensions)
    this.#openssl([
      'req',
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
      '-subj',
      request.subject,
      '-utf8',
      ...newKey,
    ])
    const issuer = [
      '-CA',
      'ca.crt',
      '-CAkey',
      'ca.key',
      '-set_serial',
      String(this.#serial),
      '-days',
      String(request.days ?? 30),
    ]
    this.#openssl(['x509', '-req', '-in', `${name}.csr`, '-extfile', `${name}.ext`, '-out', `${name}.crt`, ...issuer])
    const pair = { key: this.#read(`${name}.key`), cert: this.#read(`${name}.crt`) }
    this.#cache.set(id, pair)
    return pair
  }

  /** The authority's certificate with its key, and another time to live, PEM. */
  renewed(commonName: string, days: number): string {
    const subject = ['-days', String(days), '-subj', `/CN=${commonName}`]
    this.#openssl(['req', '-x509', '-key', 'ca.key', '-out', 'renewed.crt', ...subject])
    return this.#read('renewed.crt')
  }

  /** A list that revokes these certificates of this authority, PEM. */
  revocationList(...revoked: readonly KeyPair[]): string {
    const stamp = (time: Date | string): string => `${new Date(time).toISOString().replace(/\D/g, '').slice(2, 14)}Z`
    const lines = revoked.map(({ cert }) => {
      const { validTo, serialNumber } = new X509Certificate(cert)
      return `R\t${stamp(validTo)}\t${stamp(new Date())}\t${serialNumber}\tunknown\t/CN=revoked\n`
    })
    writeFileSync(join(this.#directory, 'index.txt'), lines.join(''))
    const config = '[ca]\ndefault_ca=this\n[this]\ndatabase=index.txt\ndefault_md=sha256\ndefault_crl_days=30\n'
    writeFileSync(join(this.#directory, 'ca.conf'), config)
    this.#openssl(['ca', '-gencrl', '-config', 'ca.conf', '-cert', 'ca.crt', '-keyfile', 'ca.key', '-out', 'ca.crl'])
    return this.#read('ca.crl')
  }

  #openssl(args: readonly string[]): void {
    execFileSync('openssl', args, { cwd: this.#directory, stdio: 'pipe' })
  }

  #read(name: string): string {
    return readFileSync(join(this.#directory, name), 'utf8')
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
