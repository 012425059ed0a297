// A consumer's whole story, played with the generated client. Organisations, purposes and
// deliberations are those of deploy/registry; people are made up, numbers included.
import { randomInt, randomUUID } from 'node:crypto'
import { isDeepStrictEqual as same } from 'node:util'
import type { components } from './api.js'
import { Contract } from './contract.js'
import { until, type Vault } from './vault.mjs'

type Problem = components['schemas']['Problem']
type AccessLogItem = components['schemas']['AccessLogItem']

const homeAffairs = '0308356862' // issues household compositions
const flanders = '0316380841' // grants school allowances, by law
const railways = '0203430576' // gives discounts to families, by consent
const householdComposition = 'householdComposition'
const schoolAllowance = { purpose: 'schoolAllowance', legalBasis: 'publicTask', deliberation: 'EX-26/010' }
const schoolEnrolment = 'schoolEnrolmentAllowance'
const familyDiscount = 'familyDiscount'
const household = {
  asOf: '2025-01-01',
  householdSize: 3,
  address: { postalCode: '9999', municipality: 'Nergenshuizen' },
  members: [{ relation: 'partner' }, { relation: 'child', minor: true }],
}

let passed = 0

/** Ends the story when something is wrong. */
function must(holds: boolean, what: string, seen?: unknown): asserts holds {
  if (!holds) throw new Error(`${what}${seen === undefined ? '' : `\nseen: ${JSON.stringify(seen, null, 1)}`}`)
  passed++
}

interface Outcome<T> {
  data?: T
  error?: unknown
  response: Response
}

/** The answer to a request that must succeed in that way. */
function got<T>(what: string, status: number, r: Outcome<T>): NonNullable<T> {
  must(r.response.status === status && r.data !== undefined && r.data !== null, `${what}: ${r.response.status}, not ${status}`, r.error)
  return r.data
}

/** The problem of a request that must be refused in that way. */
function refused(what: string, status: number, type: string, r: Outcome<unknown>): Problem {
  const problem = r.error as Problem | undefined
  must(r.response.status === status && problem?.type === `urn:problem-type:${type}`, `${what}: ${r.response.status}, not ${status} ${type}`, r.error ?? r.data)
  return problem
}

/** Where a write stands, for a reading that must see it. */
function position(r: Outcome<unknown>): string {
  const at = r.response.headers.get('Coffre-Position')
  must(at !== null, 'a write says its position')
  return at
}

const key = () => ({ 'Idempotency-Key': randomUUID() })

/** A number with right check digits and a month that nobody was born in. */
function madeUpNumber(): string {
  const n = (70 + randomInt(20)) * 10_000_000 + (13 + randomInt(7)) * 100_000 + (1 + randomInt(28)) * 1_000 + 1 + randomInt(997)
  return String(n).padStart(9, '0') + String(97 - (n % 97)).padStart(2, '0')
}

/** Plays everything; `url` is where the contract was published. Returns how many checks passed. */
export async function play(vault: Vault, url: string): Promise<number> {
  const contract = await Contract.read('openapi.yaml', url)
  const mother = madeUpNumber()
  const [anybody, issuer, byLaw, byConsent, citizen, stranger] = [
    contract.client(),
    contract.client(await vault.token({ role: 'issuer', org: homeAffairs })),
    contract.client(await vault.token({ role: 'consumer', org: flanders })),
    contract.client(await vault.token({ role: 'consumer', org: railways })),
    contract.client(await vault.token({ role: 'citizen', ssin: mother })),
    contract.client(await vault.token({ role: 'citizen', ssin: madeUpNumber() })),
  ]
  const began = Date.now()

  // What anybody may see.
  const health = got('health', 200, await anybody.GET('/health'))
  must(health.status === 'UP', 'the vault is up', health)
  const registry = got('registry', 200, await anybody.GET('/registry'))
  const type = registry.documentTypes.find((t) => t.documentType === householdComposition)
  must(type?.issuers.includes(homeAffairs) === true, 'Home Affairs issue household compositions', type)
  must(registry.purposes.some((p) => p.code === familyDiscount && p.labels.fr), 'the discount is a purpose with a French name', registry.purposes)
  must(registry.caller === undefined && registry.reasons?.some((r) => r.kind === 'revocation' && r.code === 'issuedInError') === true, 'reasons say what they are for', registry.reasons)
  const ours = await byConsent.GET('/registry')
  const discounts = got('what the registry lets the consumer ask for', 200, ours).caller?.registrations.find((r) => r.purpose === familyDiscount)
  must(discounts?.consent === true && discounts.documentTypes.includes(householdComposition) && discounts.bases === undefined, 'a consent, and no law', ours.data?.caller)
  const offered = type.minimum?.find((m) => m.purpose === familyDiscount && m.procedure === undefined)?.fields
  must(offered?.includes('householdSize') === true, 'the type says what it offers for the discount', type)
  const lawyers = await byLaw.GET('/registry')
  must(got('the registry for a consumer by law', 200, lawyers).caller?.registrations.some((r) => r.purpose === schoolAllowance.purpose && r.bases?.some((b) => b.deliberation === schoolAllowance.deliberation)) === true, 'its basis by law', lawyers.data?.caller)
  must(lawyers.response.headers.get('ETag') !== ours.response.headers.get('ETag') && ours.response.headers.get('Vary')?.includes('Authorization') === true, 'the answer depends on who asks')
  const nobody = await anybody.POST('/documents/query', { body: {} })
  refused('without a token', 401, 'belgif:noAccessToken', nobody)
  must(nobody.response.headers.get('WWW-Authenticate')?.startsWith('Bearer ') === true, 'who has no token is told how to come back')

  // An issuer issues; a repetition changes nothing.
  const issue = { ssin: mother, documentType: householdComposition, sourceReference: 'interop-1', validFrom: '2025-01-01', content: household }
  const first = key()
  const issued = await issuer.POST('/documents', { params: { header: first }, body: issue })
  const receipt = got('issue', 201, issued)
  must(receipt.version === 1 && receipt.state === 'valid', 'the first version is valid', receipt)
  must(issued.response.headers.get('ETag') === '"1"' && issued.response.headers.get('Location') === receipt.href, 'its version and place', receipt)
  const { documentId } = receipt
  const path = { documentId }
  const repeated = await issuer.POST('/documents', { params: { header: first }, body: issue })
  must(same(got('the same request again', 201, repeated), receipt), 'the same key gets the first answer', repeated.data)
  must(position(repeated) === position(issued), 'nothing was recorded again')
  const known = got('the same content again', 200, await issuer.POST('/documents', { params: { header: key() }, body: issue }))
  must(known.documentId === documentId, 'it is the same document', known)
  const changed = { ...issue, content: { ...household, householdSize: 4 } }
  must((await issuer.POST('/documents', { params: { header: first }, body: changed })).response.status === 422, 'one key is for one request')
  must((await issuer.POST('/documents', { params: { header: key() }, body: changed })).response.status === 409, 'other content is an update')
  // Neither of somebody born before 2000 nor of somebody born since.
  const digits = mother.slice(0, 9)
  const right = [Number(digits), Number('2' + digits)].map((n) => 97 - (n % 97))
  const impossible = digits + String([1, 2, 3].find((check) => !right.includes(check))).padStart(2, '0')
  const invalid = refused('a number that is none', 400, 'belgif:badRequest', await issuer.POST('/documents', { params: { header: key() }, body: { ...issue, ssin: impossible } }))
  must(invalid.issues?.[0]?.in === 'body' && invalid.issues[0].name === '/ssin' && !JSON.stringify(invalid).includes(impossible), 'the refusal names the member and not the value', invalid)

  // A consumer by law. Its name for the citizen is its own.
  const ref = got('how the issuer names the citizen', 200, await issuer.POST('/citizens/get', { body: { ssin: mother } }))
  must(ref.citizenRef !== undefined && ref.citizenRef === receipt.citizenRef, 'the name in the receipt', ref)
  const its = got('how the consumer names the citizen', 200, await byLaw.POST('/citizens/get', { body: { ssin: mother } })).citizenRef
  must(its !== undefined && its !== ref.citizenRef, 'no two organisations have one name for a citizen')
  const unrelated = refused('a consumer without any basis', 404, 'belgif:resourceNotFound', await byConsent.POST('/citizens/get', { body: { ssin: mother } }))
  const unknown = refused('a person the vault does not know', 404, 'belgif:resourceNotFound', await byConsent.POST('/citizens/get', { body: { ssin: madeUpNumber() } }))
  must(same({ ...unrelated, instance: '' }, { ...unknown, instance: '' }), 'the two answers do not differ', [unrelated, unknown])

  const access = { ...schoolAllowance, procedure: schoolEnrolment, fields: ['householdSize'], caseReference: 'school-4711' }
  const wrong = { deliberation: 'EX-00/000' }
  const neither = refused('no basis stated', 400, 'belgif:badRequest', await byLaw.POST('/documents/{documentId}/access', { params: { path, header: key() }, body: { purpose: schoolAllowance.purpose } }))
  must(neither.issues?.[0]?.type?.endsWith(':exactlyOneOfExpected') === true, 'it says what is missing', neither)
  const without = refused('a deliberation that is not the consumer’s', 404, 'coffre:noBasis', await byLaw.POST('/documents/{documentId}/access', { params: { path, header: key() }, body: { ...access, ...wrong } }))
  const absent = refused('a document that is not there', 404, 'coffre:noBasis', await byLaw.POST('/documents/{documentId}/access', { params: { path: { documentId: randomUUID() }, header: key() }, body: { ...access, ...wrong } }))
  must(same({ ...without, instance: '' }, { ...absent, instance: '' }), 'without a basis nobody learns what is held', [without, absent])
  refused('a citizen’s token', 403, 'belgif:missingPermission', await citizen.POST('/documents/{documentId}/access', { params: { path, header: key() }, body: access }))

  const asked = { citizenRef: its, documentType: householdComposition, ...schoolAllowance, procedure: schoolEnrolment }
  const unlawful = got('would it be lawful', 200, await byLaw.POST('/consents/validate', { body: { ...asked, ...wrong } }))
  must(!unlawful.lawful && unlawful.reason === 'noBasis', 'no, and why', unlawful)
  const lawful = got('would it be lawful', 200, await byLaw.POST('/consents/validate', { body: asked }))
  must(lawful.lawful && lawful.reason === undefined, 'yes', lawful)

  // Only once.
  const seen = { 'Coffre-Min-Position': position(issued) }
  const question = { procedure: schoolEnrolment, ...schoolAllowance, caseReference: 'school-4711', needs: [{ documentType: householdComposition }, { documentType: 'isiPlusCard' }] }
  const query = { citizenRef: its, ...question }
  const ownWord = refused('evidence under another deliberation', 403, 'coffre:wordsNotCovered', await byLaw.POST('/evidence/query', { params: { header: { ...seen, ...key() } }, body: { ...query, ...wrong } }))
  must(ownWord.issues?.length === 1 && ownWord.issues[0]?.name === '/deliberation', 'which word is not covered', ownWord)
  const noWord = refused('evidence without any basis', 404, 'coffre:noBasis', await byConsent.POST('/evidence/query', { params: { header: { ...seen, ...key() } }, body: { ...question, ssin: mother } }))
  const noPerson = refused('evidence about somebody unknown', 404, 'coffre:noBasis', await byConsent.POST('/evidence/query', { params: { header: { ...seen, ...key() } }, body: { ...question, ssin: madeUpNumber() } }))
  must(noWord.issues === undefined && same({ ...noWord, instance: '' }, { ...noPerson, instance: '' }), 'to others the answers do not differ', [noWord, noPerson])
  const presence = got('what is held', 200, await byLaw.POST('/evidence/query', { params: { header: { ...seen, ...key() } }, body: { ...query, presenceOnly: true } }))
  must(presence.items.length === 2 && presence.items[0]?.outcome === 'held' && presence.items[0].documentId === documentId, 'the document is held', presence)
  must(presence.items.every((i) => i.content === undefined && i.accessId === undefined), 'nothing was disclosed', presence)
  const asking = key()
  const evidence = got('evidence', 200, await byLaw.POST('/evidence/query', { params: { header: { ...seen, ...asking } }, body: query }))
  const [held, notHeld] = evidence.items
  must(held?.outcome === 'held' && same(held.content, { householdSize: 3, members: household.members }), 'the least the procedure needs', held)
  must(held.accessId !== undefined && held.issuer === homeAffairs && held.version === 1, 'the access is on record', held)
  must(notHeld?.outcome === 'notHeld' && notHeld.content === undefined && evidence.notAsked === 1, 'one question is spared, the other is not', evidence)
  const retried = got('the same query again', 200, await byLaw.POST('/evidence/query', { params: { header: { ...seen, ...asking } }, body: query })).items[0]
  must(retried?.accessId === held.accessId && same(retried.content, held.content), 'a retry is the same access', retried)

  // Reading one document by law.
  const once = key()
  const read = await byLaw.POST('/documents/{documentId}/access', { params: { path, header: once }, body: access })
  const byLawRead = got('reading by law', 200, read)
  must(same(byLawRead.content, { householdSize: 3 }) && byLawRead.issuer === homeAffairs && byLawRead.state === 'valid', 'the field that was asked for, and whose word it is', byLawRead)
  must(read.response.headers.get('ETag') === '"1"', 'of which version')
  const again = got('the same reading again', 200, await byLaw.POST('/documents/{documentId}/access', { params: { path, header: once }, body: access }))
  must(again.accessId === byLawRead.accessId && again.attempt === 2 && same(again.content, byLawRead.content), 'the same access, its second attempt', again)
  refused('more than the law covers', 403, 'coffre:fieldsNotCovered', await byLaw.POST('/documents/{documentId}/access', { params: { path, header: key() }, body: { ...access, fields: ['householdSize', 'address'] } }))

  // The citizen's wallet.
  const { citizenId } = got('who am I', 200, await citizen.POST('/citizens/get', { body: {} }))
  must(citizenId !== undefined, 'the citizen has a name')
  const me = { citizenId }
  const wallet = got('the wallet', 200, await citizen.GET('/citizens/{citizenId}/wallet', { params: { path: me, query: { lang: 'fr' }, header: seen } }))
  const card = wallet.items[0]
  must(wallet.items.length === 1 && card?.documentId === documentId && card.state === 'valid' && card.heldAs === 'subject', 'the document is in it', wallet)
  must(card.label === type.labels.fr && same(card.content, household), 'in French, and whole', card)
  refused('a stranger at the wallet', 404, 'belgif:resourceNotFound', await stranger.GET('/citizens/{citizenId}/wallet', { params: { path: me } }))

  // A consumer by consent asks; whether the person is known does not show.
  const ask = { ssin: mother, purpose: familyDiscount, documentTypes: [householdComposition], fields: ['householdSize'], message: 'For your family discount.' }
  const request = await byConsent.POST('/consentRequests', { params: { header: key() }, body: ask })
  const waiting = got('asking for consent', 202, request)
  const { consentId } = waiting
  const vain = got('asking nobody', 202, await byConsent.POST('/consentRequests', { params: { header: key() }, body: { ...ask, ssin: madeUpNumber() } }))
  must(waiting.state === 'requested' && vain.state === waiting.state && same(Object.keys(vain), Object.keys(waiting)), 'the same answer for somebody unknown', [waiting, vain])
  const discount = { purpose: familyDiscount, consentId, caseReference: 'discount-4711' }
  const readByConsent = (more = {}) => byConsent.POST('/documents/{documentId}/access', { params: { path, header: key() }, body: { ...discount, ...more } })
  const early = refused('reading before the citizen answered', 404, 'coffre:noBasis', await readByConsent())
  const never = refused('reading where nobody was asked', 404, 'coffre:noBasis', await readByConsent({ consentId: vain.consentId }))
  must(same({ ...early, instance: '' }, { ...never, instance: '' }), 'the two refusals do not differ', [early, never])
  const would = (more = {}) => byConsent.POST('/consents/validate', { body: { documentId, purpose: familyDiscount, consentId, ...more } })
  const unanswered = got('would it be lawful yet', 200, await would())
  must(!unanswered.lawful && unanswered.reason === 'noBasis', 'no, and why', unanswered)
  must(same(got('would it be lawful where nobody was asked', 200, await would({ consentId: vain.consentId })), unanswered), 'the two judgements do not differ', unanswered)

  const polled = got('the request, for its consumer', 200, await byConsent.GET('/consents/{consentId}', { params: { path: { consentId }, header: { 'Coffre-Min-Position': position(request) } } }))
  const inVain = got('a request to nobody, for its consumer', 200, await byConsent.GET('/consents/{consentId}', { params: { path: { consentId: vain.consentId } } }))
  const alike = (c: typeof polled) => ({ ...c, href: '', consentId: '', requestedAt: '', until: '' })
  must(polled.state === 'requested' && polled.citizenRef === undefined && same(alike(polled), alike(inVain)), 'both wait, and do not differ', [polled, inVain])
  refused('a request that was never made', 404, 'belgif:resourceNotFound', await byConsent.GET('/consents/{consentId}', { params: { path: { consentId: randomUUID() } } }))
  const mine = got('requests that the consumer made', 200, await byConsent.GET('/consentRequests', { params: { query: { state: ['requested'] } } }))
  must([consentId, vain.consentId].every((id) => mine.items.some((c) => c.consentId === id)), 'both are listed', mine)
  refused('documents of a request', 404, 'coffre:noBasis', await byConsent.GET('/consents/{consentId}/documents', { params: { path: { consentId } } }))

  // The citizen says yes; nobody else can.
  const requests = got('requests that wait', 200, await citizen.GET('/consentRequests', { params: { query: { lang: 'de' }, header: { 'Coffre-Min-Position': position(request) } } }))
  const shown = requests.items.find((c) => c.consentId === consentId)
  must(shown?.consumer === railways && shown.purpose === familyDiscount && same(shown.fields, ['householdSize']) && shown.purposeLabel !== undefined, 'the citizen sees who asks for what and why', requests)
  const registered = registry.consentTexts?.find((t) => t.purpose === familyDiscount)
  const english = (labels?: { en?: string }) => labels?.en ?? ''
  const asks = english(registry.organizations.find((o) => o.enterpriseNumber === railways)?.labels)
  const purpose = english(registry.purposes.find((p) => p.code === familyDiscount)?.labels)
  const text = english(registered?.texts).replaceAll('{consumer}', asks).replaceAll('{purpose}', purpose)
  const shownText = { text, language: 'en' as const, version: registered?.version ?? '' }
  const other = { params: { path: { consentRequestId: consentId }, header: key() }, body: { shownText: { ...shownText, text: `${text} And more.` } } }
  const words = refused('yes to words of one\'s own', 400, 'belgif:badRequest', await citizen.POST('/consentRequests/{consentRequestId}/grant', other))
  must(words.issues?.some((i) => i.type?.endsWith('shownTextNotRegistered')) === true, 'why those words are none', words)
  const yes = { params: { path: { consentRequestId: consentId }, header: key() }, body: { shownText } }
  must((await stranger.POST('/consentRequests/{consentRequestId}/grant', yes)).response.status === 404, 'a stranger cannot say yes')
  const grant = await citizen.POST('/consentRequests/{consentRequestId}/grant', yes)
  const granted = got('saying yes', 200, grant)
  must(granted.state === 'granted' && granted.consentId === consentId, 'the consent is granted', granted)
  must(Date.parse(granted.until ?? '') > began, 'it has an end', granted)
  const sees = { 'Coffre-Min-Position': position(grant) }

  // The consumer reads what the consent covers, and nothing else.
  const own = got('the consent, for its consumer', 200, await byConsent.GET('/consents/{consentId}', { params: { path: { consentId }, header: sees } }))
  must(own.state === 'granted' && own.citizenRef !== undefined && own.citizenId === undefined && own.shownText === undefined, 'it names the citizen as the consumer does', own)
  must(own.citizenRef !== its && own.citizenRef !== ref.citizenRef, 'which nobody else does', own)
  const named = got('how the second consumer names the citizen', 200, await byConsent.POST('/citizens/get', { body: { ssin: mother } }))
  must(named.citizenRef === own.citizenRef, 'by consent it may know now', named)
  const valid = got('would it be lawful now', 200, await byConsent.POST('/consents/validate', { body: { citizenRef: own.citizenRef, documentType: householdComposition, purpose: familyDiscount, consentId } }))
  must(valid.lawful && valid.until === granted.until, 'yes, and until when', valid)
  refused('another purpose', 403, 'coffre:consentOtherPurpose', await readByConsent({ purpose: 'ageVerification' }))
  refused('another consumer', 404, 'coffre:noBasis', await byLaw.POST('/documents/{documentId}/access', { params: { path, header: key() }, body: discount }))
  const readable = got('what may be read', 200, await byConsent.GET('/consents/{consentId}/documents', { params: { path: { consentId }, header: sees } }))
  must(readable.items.length === 1 && readable.items[0]?.documentId === documentId && readable.items[0].version === 1 && readable.items[0].state === 'valid', 'the document that was issued before', readable)
  const learnt = { params: { path: { documentId: readable.items[0].documentId }, header: key() }, body: discount }
  const consentRead = got('reading under consent', 200, await byConsent.POST('/documents/{documentId}/access', learnt))
  must(same(consentRead.content, { householdSize: 3 }), 'the field that was consented to', consentRead)
  const readers = got('the wallet with readers', 200, await citizen.GET('/citizens/{citizenId}/wallet', { params: { path: me, header: sees } })).items[0]?.whoMayRead
  must(readers?.some((r) => r.organization === railways && r.consentId === consentId) === true, 'the wallet says who may read', readers)

  // The citizen withdraws; from the answer on, nothing is authorised.
  const taken = { params: { path: { consentId }, header: key() } }
  must((await stranger.POST('/consents/{consentId}/withdraw', taken)).response.status === 404, 'a stranger cannot withdraw')
  const withdrawal = await citizen.POST('/consents/{consentId}/withdraw', taken)
  must(got('withdrawing', 200, withdrawal).state === 'withdrawn', 'the consent is withdrawn')
  refused('reading after the withdrawal', 403, 'coffre:consentWithdrawn', await readByConsent())
  const ended = got('would it be lawful still', 200, await would())
  must(!ended.lawful && ended.reason === 'consentWithdrawn', 'no, and why', ended)
  const after = { 'Coffre-Min-Position': position(withdrawal) }
  const kept = got('the consent, for its citizen', 200, await citizen.GET('/consents/{consentId}', { params: { path: { consentId }, header: after } }))
  must(kept.state === 'withdrawn' && kept.uses === 1 && same(kept.shownText, shownText) && kept.message === ask.message, 'what was said, shown and used is kept', kept)
  must((await stranger.GET('/consents/{consentId}', { params: { path: { consentId } } })).response.status === 404, 'it is nobody else’s affair')

  // The issuer takes the document back; evidence says so.
  const taking = { params: { path, header: { ...key(), 'If-Match': '"1"' } }, body: { reason: 'issuedInError' } }
  const revocation = await issuer.POST('/documents/{documentId}/revoke', taking)
  must(got('revoking', 200, revocation).state === 'revoked', 'the document is revoked')
  const gone = got('evidence of what is revoked', 200, await byLaw.POST('/evidence/query', { params: { header: { ...key(), 'Coffre-Min-Position': position(revocation) } }, body: query })).items[0]
  must(gone?.outcome === 'revoked' && gone.content === undefined && gone.accessId === undefined, 'it is not relied on', gone)
  must((await byLaw.POST('/documents/{documentId}/access', { params: { path, header: key() }, body: access })).response.status === 409, 'it is not read either')

  // The citizen sees who read what, when and why, and who tried. How a reading ended is
  // recorded after its answer, so the log is asked until it says so.
  const atLast = { 'Coffre-Min-Position': position(revocation) }
  const log = await until(
    'the access log tells how every reading ended',
    async () => (await citizen.GET('/citizens/{citizenId}/accessLog', { params: { path: me, query: { lang: 'en' }, header: atLast } })).data?.items ?? [],
    (items) => items.every((i) => i.outcome !== 'mayHaveBeenDisclosed') && items.some((i) => i.reason === 'documentRevoked'),
  )
  const entries = (accessId: string | undefined, times: number, fields: string[]): AccessLogItem[] => {
    const found = log.filter((i) => i.accessId === accessId)
    must(found.length === times, `access ${accessId} stands ${times} times in the log`, log)
    for (const e of found) {
      must(e.outcome === 'disclosed' && e.documentId === documentId && e.documentType === householdComposition && same([...(e.fields ?? [])].sort(), fields), 'what was read', e)
      must(Date.parse(e.at) >= began - 1000 && Date.parse(e.at) <= Date.now() + 1000, 'when', e)
    }
    return found
  }
  const byLawOnes = [...entries(held.accessId, 2, ['householdSize', 'members']), ...entries(byLawRead.accessId, 2, ['householdSize'])]
  must(same(byLawOnes.map((e) => e.attempts), [2, 1, 2, 1]), 'each time it was answered, the newest first', byLawOnes)
  for (const e of byLawOnes) {
    must(e.role === 'consumer' && e.organization === flanders && e.organizationName !== undefined, 'who', e)
    must(e.purpose === schoolAllowance.purpose && e.purposeLabel !== undefined && e.procedure === schoolEnrolment, 'why', e)
    must(e.legalBasis === schoolAllowance.legalBasis && e.deliberation === schoolAllowance.deliberation && e.consentId === undefined, 'under which law', e)
    must(e.caseReference === 'school-4711', 'for which file', e)
  }
  for (const e of entries(consentRead.accessId, 1, ['householdSize'])) {
    must(e.organization === railways && e.purpose === familyDiscount && e.consentId === consentId && e.legalBasis === undefined, 'who, why, under which consent', e)
  }
  const told = log.filter((i) => i.kind === 'presence')
  const looked = log.filter((i) => i.kind === 'lookup' && i.outcome === 'disclosed').map((i) => i.organization).sort()
  must(same(looked, [railways, homeAffairs, flanders].sort()), 'who looked the citizen up by number', log)
  must(log.filter((i) => i.outcome === 'disclosed').length === 5 + told.length + looked.length, 'nobody else read', log)
  must(told.every((i) => i.outcome === 'disclosed' && i.documentId === undefined) && told.filter((i) => i.organization === flanders).length === 4, 'what was told of what is held', told)
  const listed = told.filter((i) => i.organization === railways)
  must(told.length === 5 && listed.length === 1 && listed[0]?.consentId === consentId && listed[0].answers?.[0]?.documentId === documentId, 'what the consumer by consent was told', listed)
  const tried = (organization: string, reason: string) => log.some((i) => i.outcome === 'refused' && i.organization === organization && i.reason === reason)
  must(tried(flanders, 'noBasis') && tried(railways, 'consentWithdrawn') && tried(flanders, 'documentRevoked'), 'who tried in vain', log)
  must(log.every((i, n) => n === 0 || Date.parse(i.at) <= Date.parse(log[n - 1]?.at ?? '')), 'the newest comes first', log)
  refused('a stranger at the access log', 404, 'belgif:resourceNotFound', await stranger.GET('/citizens/{citizenId}/accessLog', { params: { path: me } }))
  refused('a consumer at the access log', 403, 'belgif:missingPermission', await byLaw.GET('/citizens/{citizenId}/accessLog', { params: { path: me } }))

  const line = vault.log().split('\n').find((l) => l.includes(mother))
  must(line === undefined, 'the server’s log does not hold the number')
  console.log(`client: ${contract.answers} answers fit the contract they were made from`)
  return passed
}
