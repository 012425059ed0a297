// Plays with a provider that is like CSAM: people log in by authorization code and PKCE, and
// their token has their number under a name of its own and no role; organisations come by
// client credentials. It is npm's oidc-provider, which is a certified OpenID provider.
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import Provider from 'oidc-provider'
import { exportJWK, generateKeyPair } from 'jose'
import { call, checks, everybody, flanders, form, freePort, holder, homeAffairs, madeUpNumber, must, refused } from './caller.mjs'
import { serve } from './vault.mjs'

const port = await freePort()
const ownPort = await freePort()
const issuer = `http://127.0.0.1:${port}`
const ssin = madeUpNumber()
const personal = 'urn:be:fgov:person:ssin'
const organisational = 'urn:be:fgov:kbo-bce:organization:cbe-number'
const redirect = 'http://127.0.0.1/callback'
const scopes = ['documents:issue', 'documents:read', 'citizens:read', 'documents:access', 'wallet:read', 'consents:read']
const resource = 'urn:coffre'
const [{ privateKey: signing }, { publicKey: sealing }] = [await generateKeyPair('ES256', { extractable: true }), await generateKeyPair('ECDH-ES', { crv: 'P-256', extractable: true })]

const organisation = (id, role, number, more = {}) => ({
  client_id: id, client_secret: `secret-of-${id}`, grant_types: ['client_credentials'], response_types: [], redirect_uris: [], role, number, ...more,
})
const provider = new Provider(issuer, {
  jwks: { keys: [{ ...(await exportJWK(signing)), alg: 'ES256', use: 'sig' }] },
  scopes,
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  clients: [
    organisation('issuer', 'issuer', homeAffairs), organisation('consumer', 'consumer', flanders), organisation('bound', 'issuer', homeAffairs, { dpop_bound_access_tokens: true }),
    { client_id: 'wallet', client_secret: 'secret-of-wallet', redirect_uris: [redirect], grant_types: ['authorization_code'], response_types: ['code'] },
  ],
  extraClientMetadata: { properties: ['role', 'number'] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  // Who has logged in has a number; who is a client has a role and an organisation.
  extraTokenClaims: (ctx, token) => (token.accountId ? { [personal]: ssin } : { role: ctx.oidc.client.role, [organisational]: ctx.oidc.client.number }),
  features: {
    clientCredentials: { enabled: true },
    dPoP: { enabled: true },
    encryption: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: async (_, indicator) => ({
        scope: scopes.join(' '), audience: 'coffre', accessTokenFormat: 'jwt', accessTokenTTL: 600,
        jwt: { sign: { alg: 'ES256' }, ...(indicator.endsWith(':sealed') && { encrypt: { alg: 'ECDH-ES', enc: 'A256GCM', key: sealing } }) },
      }),
    },
  },
})
provider.on('server_error', (_, err) => console.error(err))
const server = createServer(provider.callback()).listen(port, '127.0.0.1')
await once(server, 'listening')

const basic = (id) => ({ Authorization: `Basic ${Buffer.from(`${id}:secret-of-${id}`).toString('base64')}` })
async function granted(id, fields, headers = {}) {
  const got = await form(`${issuer}/token`, fields, { ...basic(id), ...headers })
  must(got.status === 200 && got.body.access_token, 'the provider gives a token', got.body)
  return got.body.access_token
}
const ofClient = (id, scope, more = {}, headers = {}) => granted(id, { grant_type: 'client_credentials', scope, resource, ...more }, headers)

/** Logs a person in as their browser does, and returns the access token. */
async function login(scope) {
  const verifier = randomBytes(32).toString('base64url')
  const cookies = new Map()
  let next = `${issuer}/auth?${new URLSearchParams({
    client_id: 'wallet', redirect_uri: redirect, response_type: 'code', scope: `openid ${scope}`, resource,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
  })}`
  let body
  for (let i = 0; i < 12 && !next.startsWith(redirect); i++) {
    const response = await fetch(next, { method: body ? 'POST' : 'GET', redirect: 'manual', body, headers: { Cookie: [...cookies].map((c) => c.join('=')).join('; ') } })
    for (const cookie of response.headers.getSetCookie()) {
      const [name, value] = cookie.split(';')[0].split(/=(.*)/s)
      cookies.set(name, value)
    }
    body = undefined
    const location = response.headers.get('location')
    if (location) {
      next = new URL(location, next).href
      continue
    }
    const page = await response.text() // asks who it is, and then whether the client may know
    body = new URLSearchParams({ prompt: /name="prompt" value="(\w+)"/.exec(page)[1], login: 'marie', password: 'x' })
    next = new URL(/action="([^"]+)"/.exec(page)[1], next).href
  }
  const code = new URL(next).searchParams.get('code')
  must(code, 'the person is sent back with a code', next)
  return granted('wallet', { grant_type: 'authorization_code', code, redirect_uri: redirect, code_verifier: verifier, resource })
}

const vault = await serve(
  ['--listen', `127.0.0.1:${ownPort}`],
  ['--oidc-issuer', issuer, '--oidc-claims', `ssin=${personal},organization=${organisational}`, '--oidc-default-role', 'citizen', '--oidc-algorithms', 'ES256'],
)
try {
  const tokens = {
    issuer: await ofClient('issuer', 'documents:issue documents:read citizens:read'), consumer: await ofClient('consumer', 'citizens:read'),
    citizen: await login('citizens:read wallet:read'),
  }
  await everybody(vault, tokens, ssin)
  await refused(vault, 'an encrypted access token', 'encryption', await ofClient('issuer', 'documents:read', { resource: `${resource}:sealed` }))
  const proof = await holder('EdDSA')
  const bound = await ofClient('bound', 'documents:read', {}, { DPoP: await proof('POST', `${issuer}/token`) })
  await refused(vault, 'a bound token as a bearer token', 'cnf.jkt', bound)
  const url = `${vault.url}/vault/v1/documents/query`
  const asked = async (nonce) => call(vault, 'POST', '/documents/query', '', {}, { Authorization: `DPoP ${bound}`, DPoP: await proof('POST', url, { token: bound, nonce }) })
  const first = await asked()
  must(first.status === 401 && first.headers.get('DPoP-Nonce'), 'the vault gives a nonce', first)
  const second = await asked(first.headers.get('DPoP-Nonce'))
  must(second.status === 200, 'a proof makes the bound token count', second)
  must(!vault.log().includes(ssin), 'no number in the log')
  console.log(`like CSAM: ${checks()} checks`)
} finally {
  await vault.stop()
  server.close()
  server.closeAllConnections()
}
