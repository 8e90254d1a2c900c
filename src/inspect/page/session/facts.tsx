import type { ComponentChildren, JSX } from 'preact'

import type { SessionDetail } from '../../../inspected-session.ts'
import { ClientText } from '../parts/client-text.tsx'
import { count, duration, many, moment, relative, unknown } from '../parts/format.ts'
import { plainOf } from '../parts/hostile.ts'
import { nowMs } from '../parts/now.ts'

function Fact({ name, children }: { readonly name: string; readonly children: ComponentChildren }): JSX.Element {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  )
}

function Section({ title, children }: { readonly title: string; readonly children: ComponentChildren }): JSX.Element {
  return (
    <section class="section">
      <header>
        <h2>{title}</h2>
      </header>
      {children}
    </section>
  )
}

function When({ atMs }: { readonly atMs: number }): JSX.Element {
  return (
    <>
      {moment(atMs, nowMs.value)} <span class="quiet">{relative(atMs, nowMs.value)}</span>
    </>
  )
}

const standings = { valid: 'holds', expired: 'has ended', revoked: 'was revoked' } as const

function GrantFacts({ detail }: { readonly detail: SessionDetail }): JSX.Element {
  const { grant, standing } = detail
  if (grant === null) return <p class="quiet">None yet: nobody has decided who it is.</p>
  return (
    <dl class="facts">
      <Fact name="Principal">
        {detail.principal === null ? <i class="quiet">anonymous</i> : <ClientText value={detail.principal} />}
      </Fact>
      <Fact name="Standing">
        <span class={standing === 'valid' ? '' : 'bad'}>{standings[standing]}</span>
      </Fact>
      <Fact name="Roles">
        {grant.roles.length === 0 ? (
          <span class="quiet">none</span>
        ) : (
          grant.roles.map((role) => (
            <span key={role} class="tag">
              {plainOf(role)}
            </span>
          ))
        )}
      </Fact>
      <Fact name="Decided by">
        {plainOf(grant.authenticator)}
        {(grant.method ?? null) === null ? null : <span class="quiet"> with {plainOf(grant.method ?? '')}</span>}
      </Fact>
      <Fact name="Authenticated">
        <When atMs={grant.authenticatedAtMs} />
      </Fact>
      <Fact name="Ends">{(grant.expiresAtMs ?? null) === null ? 'never' : <When atMs={grant.expiresAtMs ?? 0} />}</Fact>
    </dl>
  )
}

const protocols: Readonly<Record<number, string>> = { 3: 'MQTT 3.1', 4: 'MQTT 3.1.1', 5: 'MQTT 5' }

function ConnectionFacts({ detail }: { readonly detail: SessionDetail }): JSX.Element {
  const { connection, connect } = detail
  const tls = connection.tls ?? null
  return (
    <dl class="facts">
      <Fact name="Address">
        <span class="mono">{plainOf(detail.address)}</span>{' '}
        <span class="quiet">
          by {plainOf(detail.listener)}, {connection.transport}
        </span>
      </Fact>
      <Fact name="Protocol">{detail.protocolVersion === null ? unknown : protocols[detail.protocolVersion]}</Fact>
      {tls === null ? null : (
        <Fact name="TLS">
          {plainOf(`${tls.version}, ${tls.cipher}`)}
          {tls.clientCertificate ? <ClientText value={tls.clientCertificate.subject} class="block" /> : null}
        </Fact>
      )}
      <Fact name={detail.state === 'online' ? 'Connected' : 'Connected last'}>
        <When atMs={detail.connectedAtMs} />
      </Fact>
      <Fact name="Connections">
        {count(detail.epoch)}{' '}
        <span class="quiet">{detail.resumed ? 'the last one found its session' : 'the last one began anew'}</span>
      </Fact>
      {connect === null ? null : (
        <Fact name="Keepalive">
          {connect.keepAliveSeconds === 0 ? 'none' : duration(connect.keepAliveSeconds * 1_000)}
        </Fact>
      )}
      <Fact name="Session expiry">
        {detail.sessionExpiryIntervalSeconds === 0
          ? 'with its connection'
          : detail.sessionExpiryIntervalSeconds === 4_294_967_295
            ? 'never'
            : `${duration(detail.sessionExpiryIntervalSeconds * 1_000)} after its connection`}
      </Fact>
      {connect === null || connect.userProperties.length === 0 ? null : (
        <Fact name="Says of itself">
          {connect.userProperties.map(([name, value], index) => (
            <div key={index}>
              <ClientText value={name} /> = <ClientText value={value} />
            </div>
          ))}
        </Fact>
      )}
      {detail.deadlines.map(({ name, atMs }) => (
        <Fact key={name} name={`Deadline: ${plainOf(name)}`}>
          <When atMs={atMs} />
        </Fact>
      ))}
    </dl>
  )
}

const sources: Readonly<Record<string, string>> = {
  client: 'the client',
  authenticator: 'the authenticator',
  server: 'the server',
  fixed: 'the broker',
}

interface Property {
  readonly name: string
  readonly value: string
  readonly source: string
}

function Rows({ rows }: { readonly rows: readonly Property[] }): JSX.Element {
  return (
    <div class="table-box">
      <table>
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">Value</th>
            <th scope="col">From</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ name, value, source }) => (
            <tr key={`${source} ${name}`}>
              <td>
                <ClientText value={name} />
              </td>
              <td>
                <ClientText value={value} />
              </td>
              <td class="quiet">{source}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function Properties({ detail }: { readonly detail: SessionDetail }): JSX.Element {
  const attributes = (['session', 'connection'] as const).flatMap((scope) =>
    Object.entries(detail.attributes[scope]).map(([name, value]) => ({
      name: `@${name}`,
      value: String(value),
      source: `the server, for the ${scope}`,
    })),
  )
  const named = detail.properties.map(({ source, ...rest }) => ({ ...rest, source: sources[source] ?? source }))
  const own = [...named.filter(({ source }) => source !== sources['fixed']), ...attributes]
  const fixed = named.filter(({ source }) => source === sources['fixed'])
  return (
    <>
      {own.length === 0 ? <p class="quiet">Nobody gave it any.</p> : <Rows rows={own} />}
      {fixed.length === 0 ? null : (
        <details class="more">
          <summary>{many(fixed.length, 'property', 'properties')} that the broker knows itself</summary>
          <Rows rows={fixed} />
        </details>
      )}
    </>
  )
}

/** Who it is, how it is connected, and what is known of it. */
export function Facts({ detail }: { readonly detail: SessionDetail }): JSX.Element {
  return (
    <>
      <Section title="Grant">
        <GrantFacts detail={detail} />
      </Section>
      <Section title={detail.state === 'online' ? 'Connection' : 'Last connection'}>
        <ConnectionFacts detail={detail} />
      </Section>
      <Section title="Properties">
        <Properties detail={detail} />
      </Section>
    </>
  )
}
