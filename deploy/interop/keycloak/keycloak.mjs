// Plays with a real Keycloak: people and organisations get tokens there and call a vault that
// knows the realm as docs/identity.md says; keys are rotated; a token is bound to a key.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { browser, call, checks, everybody, flanders, form, freePort, holder, homeAffairs, household, madeUpNumber, must, refused, refusals } from './caller.mjs'
import { freshLogins } from './fresh.mjs'
import { realm } from './realm.mjs'
import { serve, until } from './vault.mjs'

const keycloak = process.env.KEYCLOAK
const [port, management, ownPort] = [await freePort(), await freePort(), await freePort()]
const server = `http://127.0.0.1:${port}`
const issuer = `${server}/realms/coffre`
const endpoint = `${issuer}/protocol/openid-connect/token`
const ssin = madeUpNumber()

await mkdir(join(keycloak, 'data', 'import'), { recursive: true })
await writeFile(join(keycloak, 'data', 'import', 'coffre.json'), JSON.stringify(realm({ issuer: homeAffairs, consumer: flanders, citizen: ssin, pages: `http://127.0.0.1:${ownPort}` })))
const output = join(keycloak, 'said')
const child = spawn(join(keycloak, 'bin', 'kc.sh'), ['start-dev', '--import-realm', '--http-host', '127.0.0.1', '--http-port', String(port), '--http-management-port', String(management)], {
  detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, KC_BOOTSTRAP_ADMIN_USERNAME: 'admin', KC_BOOTSTRAP_ADMIN_PASSWORD: 'password of admin' },
})
const said = createWriteStream(output)
child.stdout.pipe(said)
child.stderr.pipe(said)
const ended = once(child, 'exit')
// The script starts a Java process of its own: the group of both is ended.
const end = () => { try { process.kill(-child.pid, 'SIGKILL') } catch { /* it has ended */ } }
process.once('exit', end)

const secret = (client) => ({ client_id: client, client_secret: `secret of ${client}` })
async function granted(fields, headers) {
  const got = await form(endpoint, fields, headers)
  must(got.status === 200 && got.body.access_token, 'Keycloak gives a token', got.body)
  return got.body.access_token
}
const ofClient = (client) => granted({ grant_type: 'client_credentials', ...secret(client) })
const ofPerson = (username) => granted({ grant_type: 'password', ...secret('people'), username, password: `password of ${username}` })
const header = (token) => JSON.parse(Buffer.from(token.split('.')[0], 'base64url').toString())

/** The administration of the realm, as Keycloak's administrator. */
async function administer(method, path, body) {
  const { access_token: token } = (await form(`${server}/realms/master/protocol/openid-connect/token`, { grant_type: 'password', client_id: 'admin-cli', username: 'admin', password: 'password of admin' })).body
  const response = await fetch(`${server}/admin/realms/coffre${path}`, { method, headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' }, body: body && JSON.stringify(body) })
  must(response.ok, `Keycloak does ${method} ${path}`, response.status)
  return response.status === 200 ? response.json() : undefined
}

const profile = [
  '--oidc-claims', 'role=/realm_access/roles',
  '--oidc-roles', 'issuer=vault-issuer,consumer=vault-consumer,citizen=vault-citizen,privacyOfficer=vault-officer',
  '--oidc-refresh', '30s',
]
const vaults = []
async function vaultOf(issuer, ...more) {
  const vault = await serve(more, ['--oidc-issuer', issuer, ...profile])
  vaults.push(vault)
  return vault
}

try {
  await until('Keycloak answers', () => fetch(`${issuer}/.well-known/openid-configuration`).then((r) => r.ok, () => false), (ok) => ok, 1800)
    .catch(async (e) => { throw new Error(await readFile(output, 'utf8'), { cause: e }) })
  const secretFile = join(keycloak, 'secret-of-pages')
  await writeFile(secretFile, 'secret of pages\n')
  const vault = await vaultOf(issuer, '--listen', `127.0.0.1:${ownPort}`, '--pages-client', 'pages', '--pages-client-secret-file', secretFile, '--pages-scopes', 'openid')

  const tokens = { issuer: await ofClient('issuer'), consumer: await ofClient('consumer'), citizen: await ofPerson('marie'), officer: await ofPerson('officer') }
  must(header(tokens.issuer).alg === 'PS256' && header(tokens.issuer).typ === 'at+jwt', 'the realm signs access tokens by PS256', header(tokens.issuer))
  await everybody(vault, tokens, ssin)

  // A person logs in to the pages at Keycloak, reads, and logs out of both.
  const person = browser()
  const login = async () => person.follow(await person.send(`${vault.url}/signin`, {}))
  const asked = await login()
  must(asked.url.startsWith(server) && asked.body.includes('name="password"'), 'Keycloak asks who they are', asked.url)
  const wallet = await person.follow(await person.send(asked.action, { username: 'marie', password: 'password of marie' }))
  must(wallet.url === `${vault.url}/wallet` && wallet.status === 200 && wallet.body.includes('class="list"'), 'they read their wallet', [wallet.url, wallet.status])
  must(!wallet.body.includes(ssin) && person.names().includes('__Host-coffre-session') && !person.names().includes('__Host-coffre-login'), 'the cookie of the session is there alone', person.names())
  const out = await person.follow(await person.send(`${vault.url}/signout`, { form: /name="form" value="([^"]+)"/.exec(wallet.body)[1] }))
  must(out.url === `${vault.url}/signedout` && out.status === 200, 'they are logged out, and led back', [out.url, out.status])
  must((await person.follow(await person.send(`${vault.url}/wallet`))).url === `${vault.url}/signin`, 'the session is over at the vault')
  must((await login()).body.includes('name="password"'), 'and at Keycloak, which asks anew')
  must((await person.follow(await person.send(`${vault.url}/signin/back?code=stolen&state=guessed`))).status === 400, 'nobody comes back who did not go')

  await freshLogins(vault, server, administer, ssin)

  // What must not count, and what the log says of it.
  const plain = await ofClient('plain')
  must(header(plain).typ === 'JWT', 'Keycloak’s default is typ JWT', header(plain))
  const answer = await refused(vault, 'typ JWT by default', 'typ', plain)
  must(answer.body.detail.includes('at+jwt'), 'the answer says which typ is accepted', answer.body)
  await refused(vault, 'a citizen without a number', 'ssin', await ofPerson('nobody'))
  await refused(vault, 'a changed token', 'signature', tokens.issuer.slice(0, -6) + 'AAAAAA')
  const jwt = await vaultOf(issuer, '--oidc-types', 'at+jwt,JWT')
  must((await call(jwt, 'POST', '/documents/query', plain, {})).status === 200, 'typ JWT by configuration')

  // A token that is bound to a key (DPoP).
  const proof = await holder('ES256')
  const bound = await granted({ grant_type: 'client_credentials', ...secret('bound') }, { DPoP: await proof('POST', endpoint) })
  await refused(vault, 'a bound token as a bearer token', 'cnf.jkt', bound)
  const url = `${vault.url}/vault/v1/documents`
  const first = await call(vault, 'POST', '/documents', '', household(ssin), { Authorization: `DPoP ${bound}`, DPoP: await proof('POST', url, { token: bound }) })
  const nonce = first.headers.get('DPoP-Nonce')
  must(first.status === 401 && first.headers.get('WWW-Authenticate').includes('use_dpop_nonce') && nonce, 'the vault gives a nonce', first)
  const good = await proof('POST', url, { token: bound, nonce })
  const issued = await call(vault, 'POST', '/documents', '', household(ssin), { Authorization: `DPoP ${bound}`, DPoP: good })
  must(issued.status === 201, 'a proof makes the bound token count', issued)
  const again = await call(vault, 'POST', '/documents', '', household(ssin), { Authorization: `DPoP ${bound}`, DPoP: good })
  must(again.status === 401 && again.headers.get('WWW-Authenticate').includes('invalid_dpop_proof') && refusals(vault).at(-1).check === 'dpop.jti', 'a proof counts once', again)
  const stranger = await holder('ES256')
  const foreign = await call(vault, 'POST', '/documents', '', household(ssin), { Authorization: `DPoP ${bound}`, DPoP: await stranger('POST', url, { token: bound, nonce }) })
  must(foreign.status === 401 && refusals(vault).at(-1).check === 'dpop.jwk', 'another’s key does not do', foreign)

  // Keys are rotated seconds after they were fetched, and the old one is withdrawn.
  const { id: parent } = await administer('GET', '')
  const components = await administer('GET', '/components?type=org.keycloak.keys.KeyProvider')
  await administer('POST', '/components', { name: 'second', providerId: 'rsa-generated', providerType: 'org.keycloak.keys.KeyProvider', parentId: parent, config: { algorithm: ['PS256'], priority: ['200'] } })
  const renewed = await ofClient('issuer')
  must(header(renewed).kid !== header(tokens.issuer).kid, 'Keycloak signs with another key', header(renewed))
  must((await call(vault, 'POST', '/documents/query', renewed, {})).status === 200, 'a token of the new key counts at once')
  must((await call(vault, 'POST', '/documents/query', tokens.issuer, {})).status === 200, 'one of the old key counts until it is withdrawn')
  await administer('DELETE', `/components/${components.find((c) => c.name === 'first').id}`)
  const began = Date.now()
  let late
  do {
    await pause(1000)
    late = await call(vault, 'POST', '/documents/query', tokens.issuer, {})
  } while (late.status === 200 && Date.now() - began < 60_000)
  must(late.status === 401 && refusals(vault).at(-1).check === 'kid', 'a withdrawn key takes its tokens with it within the refresh', late)
  must(vault.log().includes('withdrew keys'), 'the operator is told that keys were withdrawn')
  must((await call(vault, 'POST', '/documents/query', renewed, {})).status === 200, 'the new key goes on')

  // An issuer with a slash too many.
  const wrong = await vaultOf(`${issuer}/`)
  const away = await call(wrong, 'POST', '/documents/query', renewed, {})
  must(away.status === 503 && Number(away.headers.get('Retry-After')) > 1, 'nobody is known, and when to come again', away)
  const line = wrong.log().split('\n').find((line) => line.includes('does not tell its keys'))
  must(line?.includes(`${issuer}/\\"`) && line.includes(`${issuer}\\"`), 'both issuers are said', line)

  for (const vault of vaults) must(!vault.log().includes(ssin) && !vault.log().includes(bound), 'no number and no token in the log')
  console.log(`keycloak: ${checks()} checks`)
} finally {
  for (const vault of vaults) await vault.stop()
  end()
  await ended
}
