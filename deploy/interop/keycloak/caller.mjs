// What the two plays share: counting checks, calling a vault, and proofs of possession.
import { createHash, randomUUID } from 'node:crypto'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { SignJWT, exportJWK, generateKeyPair } from 'jose'

let passed = 0
export const checks = () => passed

/** Fails the run unless it is so. */
export function must(so, what, seen) {
  if (!so) throw new Error(`${what}: ${JSON.stringify(seen)}`)
  passed++
}

/** A free port of this machine. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

/** A number with right check digits and a month that nobody was born in. */
export function madeUpNumber() {
  const pick = (n) => Math.floor(Math.random() * n)
  const n = (70 + pick(20)) * 10_000_000 + (13 + pick(7)) * 100_000 + (1 + pick(28)) * 1_000 + 1 + pick(997)
  return String(n).padStart(9, '0') + String(97 - (n % 97)).padStart(2, '0')
}

/** Asks a vault as whoever the token says; `headers` come beside it. */
export async function call(vault, method, path, token, body, headers = {}) {
  const response = await fetch(`${vault.url}/vault/v1${path}`, {
    method,
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json', ...(method === 'POST' ? { 'Idempotency-Key': randomUUID() } : {}), ...headers },
    body: body && JSON.stringify(body),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text ? JSON.parse(text) : undefined }
}

/** A form sent to an endpoint of a provider. */
export async function form(url, fields, headers = {}) {
  const response = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/x-www-form-urlencoded', ...headers }, body: new URLSearchParams(fields) })
  return { status: response.status, headers: response.headers, body: await response.json() }
}

/** A browser without scripts: it keeps cookies of each host, and follows where it is led. */
export function browser() {
  const jars = new Map()
  const jar = (url) => jars.get(new URL(url).host) ?? jars.set(new URL(url).host, new Map()).get(new URL(url).host)
  /** Sends one request: a form where there are fields. */
  async function send(url, fields) {
    const response = await fetch(url, {
      method: fields ? 'POST' : 'GET', redirect: 'manual', body: fields && new URLSearchParams(fields),
      headers: { Cookie: [...jar(url)].map(([name, value]) => `${name}=${value}`).join('; ') },
    })
    for (const line of response.headers.getSetCookie()) {
      const [pair, ...attributes] = line.split(/;\s*/)
      const [name, value] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]
      if (value === '' || attributes.some((a) => /^max-age=0$/i.test(a))) jar(url).delete(name)
      else jar(url).set(name, value)
    }
    const body = await response.text()
    const action = /<form[^>]+action="([^"]+)"/.exec(body)?.[1].replaceAll('&amp;', '&')
    return { url, status: response.status, location: response.headers.get('Location'), body, action: action && new URL(action, url).href }
  }
  async function follow(answer) {
    for (let steps = 0; answer.location && steps < 10; steps++) answer = await send(new URL(answer.location, answer.url).href)
    return answer
  }
  /** Forgets the cookies of a host, as the browser of somebody else. */
  const forget = (url) => jar(url).clear()
  return { send, follow, forget, names: () => [...jars.values()].flatMap((one) => [...one.keys()]) }
}

/** The key pair of a caller, which makes proofs (RFC 9449). */
export async function holder(alg) {
  const { publicKey, privateKey } = await generateKeyPair(alg)
  const jwk = await exportJWK(publicKey)
  return (method, url, { token, nonce } = {}) =>
    new SignJWT({ htm: method, htu: url, ...(token && { ath: createHash('sha256').update(token).digest('base64url') }), ...(nonce && { nonce }) })
      .setProtectedHeader({ typ: 'dpop+jwt', alg, jwk }).setJti(randomUUID()).setIssuedAt().sign(privateKey)
}

/** Enterprise numbers of the sample registry: who issues household compositions, and who reads them by law. */
export const homeAffairs = '0308356862'
export const flanders = '0316380841'

/** A document for an issuer to issue about a person. */
export const household = (ssin) => ({
  ssin, documentType: 'householdComposition', sourceReference: `interop-${randomUUID()}`, validFrom: '2025-01-01',
  content: { asOf: '2025-01-01', householdSize: 3, address: { postalCode: '9999', municipality: 'Nergenshuizen' }, members: [{ relation: 'partner' }, { relation: 'child', minor: true }] },
})

/**
 * Has the four callers of a provider do what their roles may, over one vault.
 *
 * @param {{ url: string }} vault
 * @param {{ issuer: string, consumer: string, citizen: string, officer?: string }} tokens
 * @param {string} ssin of the citizen
 */
export async function everybody(vault, tokens, ssin) {
  const issued = await call(vault, 'POST', '/documents', tokens.issuer, household(ssin))
  must(issued.status === 201, 'the issuer issues', issued)
  const known = await call(vault, 'POST', '/citizens/get', tokens.consumer, { ssin })
  must(known.status === 200 && known.body.citizenRef, 'the consumer learns its name for the citizen', known)
  const me = await call(vault, 'POST', '/citizens/get', tokens.citizen, {})
  must(me.status === 200 && me.body.citizenId, 'the citizen is known by the number of their login', me)
  const wallet = await call(vault, 'GET', `/citizens/${me.body.citizenId}/wallet`, tokens.citizen, undefined, { 'Coffre-Min-Position': issued.headers.get('Coffre-Position') })
  must(wallet.status === 200 && wallet.body.items.length === 1, 'the citizen sees the document', wallet)
  if (tokens.officer) {
    const log = await call(vault, 'POST', '/consentLog/query', tokens.officer, {})
    must(log.status === 200, 'the officer reads the log of consents', log)
  }
  const other = await call(vault, 'POST', '/documents', tokens.citizen, household(ssin))
  must(other.status === 403, 'a citizen does not issue', other)
}

/** The lines of a vault's log that say why a token was refused. */
export const refusals = (vault) => vault.log().split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line)).filter((line) => line.msg === 'access token refused')

/** A token must not count: 401, one line of the log that names the check, and no value anywhere. */
export async function refused(vault, what, check, token, headers = {}) {
  const before = refusals(vault).length
  const answer = await call(vault, 'POST', '/documents/query', token, {}, headers)
  must(answer.status === 401 && answer.body.type.endsWith('AccessToken'), what, answer)
  const lines = refusals(vault).slice(before)
  must(lines.length === 1 && lines[0].check === check && lines[0].trace === answer.headers.get('BelGov-Trace-Id'), `${what}: the log names ${check}`, lines)
  return answer
}
