// Plays grave acts at the pages: lifting a legal hold asks a real provider for a login of now.
import { browser, must } from './caller.mjs'

/** How many seconds ago Keycloak states that somebody logged in, who is to be asked anew. */
const longAgo = 400

/**
 * @param {{ url: string }} vault with pages, whose provider is the realm
 * @param {string} server of the realm
 * @param {(method: string, path: string, body?: object) => Promise<any>} administer the realm
 * @param {string} ssin of a citizen whom the vault knows
 */
export async function freshLogins(vault, server, administer, ssin) {
  // Keycloak states when somebody logged in by a mapper. Another one states a time of long ago: the
  // vault cannot tell, and nobody has to wait for a login to grow old.
  const { id: scope } = (await administer('GET', '/client-scopes')).find((one) => one.name === 'coffre')
  const mappers = `/client-scopes/${scope}/protocol-mappers/models`
  const stated = async (how) => {
    const { id, ...was } = (await administer('GET', mappers)).find((one) => one.name === 'login')
    await administer('DELETE', `${mappers}/${id}`)
    await administer('POST', mappers, how)
    return was
  }
  const truly = await stated({
    name: 'login', protocol: 'openid-connect', protocolMapper: 'oidc-hardcoded-claim-mapper',
    config: { 'claim.name': 'auth_time', 'claim.value': String(Math.floor(Date.now() / 1000) - longAgo), 'jsonType.label': 'long', 'id.token.claim': 'true', 'access.token.claim': 'false' },
  })

  const person = browser()
  const go = async (path, fields) => person.follow(await person.send(`${vault.url}${path}`, fields))
  const field = (page, name) => new RegExp(`name="${name}" value="([^"]+)"`).exec(page.body)?.[1]
  const send = (page, path, fields = {}) => go(path, { form: field(page, 'form'), key: field(page, 'key'), ...fields })
  const logIn = async (page, username) => person.follow(await person.send(page.action, { username, password: `password of ${username}` }))
  const asks = (page) => page.url.startsWith(server) && page.body.includes('name="password"')
  const at = (page) => new URL(page.url).pathname

  const home = await logIn(await go('/signin', {}), 'officer')
  must(at(home) === '/officer' && home.status === 200, 'an officer logs in', [home.url, home.status])
  const citizen = await send(await go('/officer/citizen'), '/officer/citizen', { number: ssin, reason: 'complaint' })
  must(at(citizen).startsWith('/officer/citizens/') && citizen.status === 200, 'and looks a citizen up', [at(citizen), citizen.status])
  const reason = /<select id="hold-reason"[^>]*>\s*<option value="([^"]+)"/.exec(citizen.body)[1]
  const place = async () => {
    const held = await send(await go(at(citizen)), `${at(citizen)}/hold`, { reason })
    must(at(held).startsWith('/officer/holds/') && held.body.includes('/lift"'), 'a hold is placed', [at(held), held.status])
    return held
  }
  const hold = at(await place())
  const stands = async () => (await go(hold)).body.includes(`action="${hold}/lift"`)
  const lift = async (of = hold) => send(await go(of), `${of}/lift`)

  // Whoever logged in long ago is sent to the provider, which asks for the password although it knows
  // them; and a provider that states an old login all the same has nothing done.
  const asked = await lift()
  must(asks(asked), 'a login of long ago is asked for anew', [asked.url, asked.status])
  const old = await logIn(asked, 'officer')
  must(old.status === 403 && old.url.startsWith(vault.url) && await stands(), 'a login that is old all the same lifts nothing', [old.url, old.status])

  // Somebody else who logs in there has nothing done, and the officer is still who they were.
  await stated(truly)
  const again = await lift()
  must(asks(again), 'it is asked for again', [again.url, again.status])
  const withoutASession = async (page) => {
    person.forget(server)
    return person.follow(await person.send(page.url))
  }
  const other = await logIn(await withoutASession(again), 'second')
  must(other.status === 403 && other.url.startsWith(vault.url) && await stands(), 'another person lifts nothing', [other.url, other.status])

  // The officer logs in anew, and the act goes on as it was filled in.
  const once = await lift()
  must(asks(once), 'it is asked for a third time', [once.url, once.status])
  const done = await logIn(await withoutASession(once), 'officer') // Keycloak has nobody but the other person log in in their session
  must(at(done) === hold && done.status === 200 && !await stands(), 'the act goes on after a login of now', [done.url, done.status])

  // The login counts for the next act, too.
  const next = at(await place())
  const lifted = await lift(next)
  must(at(lifted) === next && lifted.url.startsWith(vault.url) && !lifted.body.includes('/lift"'), 'a login of now is not asked for again', [lifted.url, lifted.status])
}
