// The realm of Keycloak that docs/identity.md describes: what a provider has to be told so that
// its tokens count at Coffre. The test imports it into a real Keycloak.

/** Scopes of Coffre that the clients of this realm may get, by role. */
const scopes = {
  issuer: ['documents:issue', 'documents:read', 'citizens:read'],
  consumer: ['documents:access', 'citizens:read', 'consents:request'],
  people: ['citizens:read', 'wallet:read', 'consents:read', 'consents:write', 'consentLog:read', 'accessLog:read', 'erasures:read', 'erasures:write'],
}

const mapper = (name, protocolMapper, config) => ({
  name, protocol: 'openid-connect', protocolMapper, config: { 'access.token.claim': 'true', 'introspection.token.claim': 'true', ...config },
})

/**
 * What every access token for Coffre holds: subject, audience, roles of the realm, and of people their number.
 * ID tokens hold when somebody logged in, for grave acts at the pages.
 */
const coffre = {
  name: 'coffre',
  protocol: 'openid-connect',
  attributes: { 'include.in.token.scope': 'false' },
  protocolMappers: [
    mapper('subject', 'oidc-sub-mapper', {}),
    mapper('audience', 'oidc-audience-mapper', { 'included.custom.audience': 'coffre', 'id.token.claim': 'false' }),
    mapper('roles', 'oidc-usermodel-realm-role-mapper', { 'claim.name': 'realm_access.roles', 'jsonType.label': 'String', multivalued: 'true' }),
    mapper('number', 'oidc-usermodel-attribute-mapper', { 'user.attribute': 'ssin', 'claim.name': 'ssin', 'jsonType.label': 'String', 'id.token.claim': 'false', 'userinfo.token.claim': 'false' }),
    mapper('login', 'oidc-usersessionmodel-note-mapper', { 'user.session.note': 'AUTH_TIME', 'claim.name': 'auth_time', 'jsonType.label': 'long', 'id.token.claim': 'true', 'access.token.claim': 'false' }),
  ],
}

const scope = (name) => ({ name, protocol: 'openid-connect', attributes: { 'include.in.token.scope': 'true' } })

/** A client of an organisation: it gets tokens by itself, and its number stands in each of them. */
const organisation = (clientId, number, granted, attributes = {}) => ({
  clientId,
  secret: `secret of ${clientId}`,
  enabled: true,
  publicClient: false,
  standardFlowEnabled: false,
  serviceAccountsEnabled: true,
  attributes: { 'access.token.header.type.rfc9068': 'true', ...attributes },
  defaultClientScopes: ['coffre', ...granted],
  protocolMappers: [mapper('organisation', 'oidc-hardcoded-claim-mapper', { 'claim.name': 'organization', 'claim.value': number, 'jsonType.label': 'String' })],
})

const account = (clientId, role) => ({ username: `service-account-${clientId}`, enabled: true, serviceAccountClientId: clientId, realmRoles: [role] })

const person = (username, role, attributes = {}) => ({
  username, enabled: true, email: `${username}@example.be`, emailVerified: true, firstName: 'Test', lastName: 'Person',
  credentials: [{ type: 'password', value: `password of ${username}`, temporary: false }], realmRoles: [role], attributes,
})

// The number is the administrator's to set: whoever may change their own number may be anybody.
const attribute = (name) => ({ name, permissions: { view: ['admin'], edit: ['admin'] } })
const profile = { attributes: ['username', 'email', 'firstName', 'lastName', 'ssin'].map(attribute) }

/** @param {{ issuer: string, consumer: string, citizen: string, pages: string }} numbers and where browsers reach the vault */
export const realm = (numbers) => ({
  realm: 'coffre',
  enabled: true,
  sslRequired: 'none',
  defaultSignatureAlgorithm: 'PS256',
  accessTokenLifespan: 600,
  roles: { realm: ['vault-issuer', 'vault-consumer', 'vault-citizen', 'vault-officer'].map((name) => ({ name })) },
  clientScopes: [coffre, ...[...new Set(Object.values(scopes).flat())].map(scope)],
  clients: [
    organisation('issuer', numbers.issuer, scopes.issuer),
    organisation('consumer', numbers.consumer, scopes.consumer),
    organisation('bound', numbers.issuer, scopes.issuer, { 'dpop.bound.access.tokens': 'true' }),
    organisation('plain', numbers.issuer, scopes.issuer, { 'access.token.header.type.rfc9068': 'false' }),
    {
      clientId: 'people', secret: 'secret of people', enabled: true, publicClient: false, directAccessGrantsEnabled: true, standardFlowEnabled: false,
      attributes: { 'access.token.header.type.rfc9068': 'true' }, defaultClientScopes: ['coffre', ...scopes.people],
    },
    {
      clientId: 'pages', secret: 'secret of pages', enabled: true, publicClient: false, standardFlowEnabled: true,
      redirectUris: [`${numbers.pages}/signin/back`],
      attributes: { 'access.token.header.type.rfc9068': 'true', 'pkce.code.challenge.method': 'S256', 'post.logout.redirect.uris': `${numbers.pages}/signedout` },
      defaultClientScopes: ['coffre', ...scopes.people],
    },
  ],
  users: [
    account('issuer', 'vault-issuer'), account('consumer', 'vault-consumer'), account('bound', 'vault-issuer'), account('plain', 'vault-issuer'),
    person('marie', 'vault-citizen', { ssin: [numbers.citizen] }), person('officer', 'vault-officer'), person('second', 'vault-officer'), person('nobody', 'vault-citizen'),
  ],
  components: {
    'org.keycloak.userprofile.UserProfileProvider': [{ providerId: 'declarative-user-profile', config: { 'kc.user.profile.config': [JSON.stringify(profile)] } }],
    'org.keycloak.keys.KeyProvider': [{ name: 'first', providerId: 'rsa-generated', config: { algorithm: ['PS256'], priority: ['100'] } }],
  },
})
