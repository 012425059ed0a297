// Plays the ways of a citizen, a privacy officer, an auditor and an operator through the pages in a
// real Chromium, after the demo has filled a vault. Scripts are ours: the auditor's proves events in
// the browser, the developer's sends a request; axe is injected through the debugger's protocol, past
// the pages' content security policy, in a copy of the browser that is asked nothing else.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { caller, check, data, fetched, go, invented, lap, leave, numbers, run, served, shows, signIn, signInAs, tabTo, tally, together, until, visitor } from './setup.mjs'

const require = createRequire(import.meta.url)
const languages = ['nl', 'fr', 'de', 'en']
const axe = await readFile(require.resolve('axe-core/axe.min.js'), 'utf8')
const html = new Map() // of every page and language, for the HTML checker
const pictures = process.env.SCREENSHOTS

// links are the pages that a signed-in person reaches from some, one of each kind.
async function links(page, ...waiting) {
  const kinds = new Map()
  while (waiting.length) {
    const path = waiting.pop()
    const kind = path.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'ID').replace(/events\/\d+/, 'events/N').replace(/\?.*/, '')
    if (kinds.has(kind)) continue
    kinds.set(kind, path)
    await go(page, path)
    const found = await page.$$eval('a[href]', (all) => all.map((a) => a.getAttribute('href')))
    waiting.push(...found.map((h) => h.split('#')[0]).filter((h) => h.startsWith('/') && !h.startsWith('/assets/') && !/^\/doc(\/|$)/.test(h) && !/\.(pdf|json)$/.test(h) && !/\/(content|manifest|receipt|certificate|file|proof|consistency)(\?|$)/.test(h)))
  }
  return [...kinds.values()]
}

async function accessible(page, what) {
  await page.evaluate(axe)
  const { violations, passes } = await page.evaluate(() => window.axe.run(document, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'], rules: { 'target-size': { enabled: true } },
  }))
  check(passes.length > 5, `${what}: axe looked at nothing`)
  check(violations.length === 0, `${what}: ${violations.map((v) => `${v.id} (${v.help}): ${v.nodes.map((n) => n.html).join(' ')}`).join('; ')}`)
}

async function fits(page, what) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)
  check(over <= 0, `${what} is ${over} px wider than the window`)
}

// The way of a privacy officer without JavaScript: a citizen looked up with a reason, a hold placed,
// an erasure asked for that the second person alone approves, a consent's history, an export
// followed and fetched with its manifest.
const [officerPages, citizenPages] = [[], []]
let lookedUp // id of the citizen whom the officer looked up
const keys = join(tmpdir(), 'keys.json')
await writeFile(keys, (await run(process.env.COFFRE, ['erase', 'keys', '--data', data, '--json'])).stdout)
lap('a vault with the demo')
{
  const { context, page } = await visitor({ script: false })
  const text = () => page.$eval('main', (e) => e.textContent)
  const press = (selector) => Promise.all([page.waitForNavigation(), page.click(selector)])
  const here = () => new URL(page.url()).pathname
  await signInAs(page, 'officer1', '/officer')
  await go(page, '/officer/citizen?lang=en')
  await page.type('#number', numbers[1])
  await page.click('input[value=complaint]')
  await press('main form button')
  const citizen = here()
  check(citizen.startsWith('/officer/citizens/') && !(await page.content()).includes(numbers[1]), `looked up at ${citizen}`)
  officerPages.push(citizen)
  lookedUp = citizen.split('/').pop()
  await press('form[action$="/erase"] button')
  const erasure = here()
  await press('form[action$="/approve"] button')
  check((await text()).includes('A second person decides.'), 'who asked for an erasure does not approve it')
  await go(page, citizen)
  await press('form[action$="/hold"] button')
  check(here().startsWith('/officer/holds/'), `a hold is placed at ${here()}`)
  officerPages.push(here(), erasure)
  await go(page, '/officer/consents')
  await press('main table a')
  check(here().startsWith('/officer/consents/') && (await text()).includes('What happened'), 'a consent has its history')
  officerPages.push(here())
  await go(page, '/officer/exports')
  await page.select('#export-format', 'csv')
  await press('main form button')
  const exported = here()
  check(await shows(page, exported, 'coffre export verify'), 'the export is made, with its manifest')
  officerPages.push(exported)
  const [file, manifest] = [await fetched(page, exported + '/content', 'export.csv'), await fetched(page, exported + '/manifest', 'manifest.txt')]
  const holds = (of) => run(process.env.COFFRE, ['export', 'verify', of, '--manifest', manifest, '--key', keys]).then(() => true, (e) => e.code)
  check((await readFile(file, 'utf8')).split('\n').length > 2 && (await holds(file)) === true, 'the file of the export is what its manifest signs')
  await writeFile(file, (await readFile(file, 'utf8')).replace('granted', 'refused'))
  check((await holds(file)) === 3, 'a changed file of an export is found out')
  await context.close()
  const second = await visitor({ script: false })
  await signInAs(second.page, 'officer2', '/officer')
  await go(second.page, '/officer/inbox')
  await Promise.all([second.page.waitForNavigation(), second.page.click(`a[href="${erasure}"]`)])
  await Promise.all([second.page.waitForNavigation(), second.page.click('form[action$="/approve"] button')])
  check((await second.page.$eval('main', (e) => e.textContent)).includes('legal hold'), 'the second officer is told of the hold, and nothing is erased')
  await second.context.close()
  lap('an officer')

  // The citizen reads of the look-up and disputes it; an officer takes two further months, and the
  // citizen reads why, with the new date; then the answer.
  const [citizenHas, officerHas] = [await visitor({ script: false }), await visitor({ script: false })]
  const [theirs, ours] = [citizenHas.page, officerHas.page]
  const reads = (of) => of.$eval('main', (e) => e.textContent)
  const pressed = (of, selector) => Promise.all([of.waitForNavigation(), of.click(selector)])
  await signIn(theirs, numbers[1])
  await go(theirs, '/looked?lang=en')
  check(await shows(theirs, '/looked/each', 'A privacy officer of the vault looked up your number.'), 'the citizen reads that an officer looked them up')
  const disputes = await theirs.$$eval('main ul.list > li', (all) => all.find((li) => li.textContent.includes('looked up your number')).querySelector('a[href^="/dispute?"]').getAttribute('href'))
  await go(theirs, disputes)
  await theirs.type('#text', 'Why was I looked up?')
  await pressed(theirs, 'main form button')
  const petition = new URL(theirs.url()).pathname
  const latest = () => theirs.$$eval('dt', (all) => all.find((dt) => dt.textContent === 'Answer at the latest').nextElementSibling.textContent)
  const before = await latest()
  await signInAs(ours, 'officer2', '/officer')
  await go(ours, '/officer/inbox?lang=en')
  check(await shows(ours, '/officer/inbox/petitions', 'a privacy officer of the vault'), 'what was disputed waits for an officer')
  await pressed(ours, `a[href="/officer${petition}"]`)
  officerPages.push(`/officer${petition}`)
  await ours.type('form[action$="/extend"] textarea', 'We ask <b>another office</b>.')
  await pressed(ours, 'form[action$="/extend"] button')
  check((await ours.$('form[action$="/extend"]')) === null, 'further months are taken once')
  check(await shows(theirs, petition, 'We ask <b>another office</b>.') && (await latest()) !== before, `the citizen reads why the answer takes longer, and until when: ${before}`)
  await ours.type('form[action$="/answer"] textarea', 'You had complained to us.')
  await ours.click('form[action$="/answer"] input[name=outcome]')
  await pressed(ours, 'form[action$="/answer"] button')
  check(await shows(theirs, petition, 'You had complained to us.'), 'the citizen reads the answer')
  await citizenHas.context.close()
  await officerHas.context.close()
  lap('two further months')
}

// An erasure to its end: a citizen asks for it, an officer approves, the keys are destroyed, and the
// certificate is verified without the vault.
{
  const [number, source] = [invented(2), await caller('issuer', '0308356862')]
  const issued = await source('POST', '/documents', { ssin: number, documentType: 'householdComposition', sourceReference: 'pages-erased', validFrom: '2026-01-01', content: { asOf: '2026-01-01', householdSize: 1, members: [] } })
  check(issued.status === 201, `a document is issued: ${issued.status}`)
  const [asks, approves] = [await visitor({ script: false }), await visitor({ script: false })]
  const pressed = (of, selector) => Promise.all([of.waitForNavigation(), of.click(selector)])
  await signIn(asks.page, number)
  await go(asks.page, '/data?lang=en')
  await pressed(asks.page, 'a[href="/erase"]')
  await pressed(asks.page, 'main form button')
  const erasure = new URL(asks.page.url()).pathname
  check((await asks.page.$eval('main', (e) => e.textContent)).includes('Keep this number'), `an erasure is asked for at ${erasure}`)
  await signInAs(approves.page, 'officer1', '/officer')
  await go(approves.page, '/officer/inbox?lang=en')
  check(await until(approves.page, '/officer/inbox', () => approves.page.$(`a[href="/officer${erasure}"]`)), 'the erasure waits for an officer')
  await pressed(approves.page, `a[href="/officer${erasure}"]`)
  await pressed(approves.page, 'form[action$="/approve"] button')
  check(await shows(approves.page, `/officer${erasure}`, 'The signed proof'), 'the erasure is carried out')
  officerPages.push(`/officer${erasure}`)
  const certificate = await fetched(approves.page, `/officer${erasure}/certificate`, 'certificate.json')
  const told = await run(process.env.COFFRE, ['erase', 'verify', certificate, '--key', keys])
  check(/keys destroyed +1\n/.test(told.stdout), `the certificate of the erasure holds: ${told.stdout}`)
  await go(asks.page, '/wallet')
  check((await asks.page.$eval('main', (e) => e.textContent)).includes('holds no documents'), 'nothing is left in the wallet')
  await asks.context.close()
  await approves.context.close()
  lap('an erasure')
}

// The way of an auditor: an event is proven in the browser, by a checkpoint that was pasted too, and
// a changed event, another root and another key are found out; the log goes on from an earlier
// checkpoint. The page's own policy counts here.
{
  const { context, page } = await visitor()
  await page.setBypassCSP(false)
  await signInAs(page, 'auditor', '/auditor')
  const verdict = async () => {
    await page.evaluate(() => { document.getElementById('verdict').textContent = '' })
    await page.click('#compute button')
    await page.waitForFunction(() => document.getElementById('verdict').textContent !== '')
    return page.$eval('#verdict', (e) => e.textContent)
  }
  const set = (id, value) => page.$eval('#' + id, (e, v) => { e.value = v }, value)
  const value = (id) => page.$eval('#' + id, (e) => e.value)
  await go(page, '/auditor/checkpoint?lang=en')
  const kept = await value('checkpoint')
  const event = '/auditor/events/5'
  for (let n = 0; n < 100 && !(await value('checkpoint').then((now) => now !== kept)); n++) {
    await go(page, `/auditor?role=system&leaf=${n}`) // a reading is on record, so the log grows
    await go(page, '/auditor/checkpoint')
  }
  const later = await value('checkpoint')
  await go(page, event)
  const proven = await verdict()
  check(proven.startsWith('True') && proven.includes('signed by the log'), `an event is proven: ${proven}`)
  await set('checkpoint', kept)
  check((await verdict()).startsWith('True'), 'an event is proven by a checkpoint that was kept')
  await set('checkpoint', later.replace(/\n(\d+)\n(.)/, (_, size, c) => `\n${size}\n${c === 'A' ? 'B' : 'A'}`))
  check((await verdict()).startsWith('Not true'), 'another root is found out')
  await go(page, event)
  await page.$eval('#verify', (e) => { e.dataset.clear = btoa('{"changed":true}') })
  check((await verdict()).startsWith('Not true'), 'a changed event is found out')
  await go(page, event)
  await set('keys', 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=')
  check((await verdict()).includes('none of these keys'), 'another key is found out')
  await go(page, '/auditor/checkpoint')
  await set('former', kept)
  const goesOn = await verdict()
  check(goesOn.startsWith('True'), `the log goes on from a checkpoint that was kept: ${goesOn}`)
  await set('former', kept.replace(/\n(\d+)\n(.)/, (_, size, c) => `\n${size}\n${c === 'A' ? 'B' : 'A'}`))
  check((await verdict()).startsWith('Not true'), 'a log that does not go on is found out')
  check((await page.evaluate(() => localStorage.length + sessionStorage.length)) === 0, 'the script stores something')

  // By keys of the table's own, which are nobody's elsewhere.
  const [key, focus] = [(k) => page.keyboard.press(k), () => page.evaluate(() => document.activeElement.textContent.trim() || document.activeElement.id)]
  await go(page, '/auditor')
  await key('j')
  check((await page.evaluate(() => document.activeElement === document.body)) && await page.$eval('#keys', (e) => !e.hidden), 'a key outside the table does nothing, and the page says which there are')
  await page.focus('#events')
  for (const k of ['j', 'j', 'j', 'k']) await key(k)
  check((await focus()) === '1', `the keys lead to the second event: ${await focus()}`)
  await key('g')
  await page.keyboard.type('7')
  await Promise.all([page.waitForNavigation(), key('Enter')])
  check((await page.$eval('main tbody th', (e) => e.textContent)) === '7', 'the log from a number on, by keys alone')

  // As of a checkpoint, and of an instant: the log, a stream and what a citizen held end where they did.
  const [size, events] = [Number(kept.split('\n')[1]), () => page.$$eval('main tbody tr', (all) => all.map((tr) => ({ leaf: Number(tr.querySelector('th').textContent), stream: tr.querySelector('a[href*="stream="]').getAttribute('href') })))]
  const text = () => page.$eval('main', (e) => e.textContent)
  await go(page, `/auditor?leaf=${size - 2}`)
  check((await events()).some((e) => e.leaf >= size), 'the log goes on after the checkpoint')
  await go(page, `/auditor?leaf=${size - 2}&size=${size}`)
  check((await events()).map((e) => e.leaf).join() === `${size - 2},${size - 1}` && (await text()).includes('as it was with'), 'the log as of a checkpoint ends with it')
  await go(page, '/auditor?category=document&type=document.revoked')
  const [{ leaf, stream }] = await events()
  await go(page, stream)
  check((await text()).includes('A document was revoked'), 'the story of a stream tells of its end')
  await go(page, `${stream}&size=${leaf}`)
  check(!(await text()).includes('A document was revoked') && (await text()).includes('A document was issued'), 'the story as of a checkpoint does not know what came later')
  await go(page, `/auditor/wallet?citizen=${lookedUp}`)
  const documents = () => page.$$eval('main ul.list > li', (all) => all.length)
  check((await documents()) > 0, 'an auditor sees what a citizen holds')
  await go(page, `/auditor/wallet?citizen=${lookedUp}&asOf=2026-01-01`)
  check((await documents()) === 0, 'nothing was held before anything was issued')
  await context.close()
  lap('an auditor')
}

// The way of an operator without JavaScript: a read model is built anew, after a page asked whether it
// is meant.
{
  const { context, page } = await visitor({ script: false })
  await signInAs(page, 'operator', '/operator')
  await Promise.all([page.waitForNavigation(), page.click('a[href^="/operator/acts/rebuild"]')])
  await Promise.all([page.waitForNavigation(), page.click('main form button')])
  check(new URL(page.url()).pathname === '/operator', `a rebuild leads to ${page.url()}`)
  await context.close()
}

// The way of a developer: a request is tried out with a token, which is kept nowhere, under the
// page's own policy; what the vault refuses is shown.
{
  const { context, page } = await visitor()
  await page.setBypassCSP(false)
  const token = (await run(process.env.COFFRE, ['token', '--data', data, '--role', 'issuer', '--org', '0308356862'])).stdout.trim()
  const send = async () => {
    await page.$eval('#try-status', (e) => { e.textContent = '' })
    await page.click('#try button')
    await page.waitForFunction(() => document.getElementById('try-status').textContent !== '')
    return page.$eval('#try-status', (e) => e.textContent)
  }
  await go(page, '/doc/operations/queryDocuments?lang=en')
  check((await send()).startsWith('401'), 'a request without a token is refused')
  await page.type('#try-token', token)
  const status = await send()
  check(status.startsWith('200') && (await page.$eval('#try-answer', (e) => e.textContent)).includes('"items"'), `a request is tried out: ${status}`)
  await page.$eval('#try-body', (e) => { e.value = '{"unknown": 1}' })
  check((await send()).startsWith('400') && (await page.$eval('#try-answer', (e) => e.textContent)).includes('unknownInput'), 'what is wrong with a request is told')
  check(!page.url().includes(token) && (await page.evaluate(() => localStorage.length + sessionStorage.length)) === 0 && (await page.cookies()).every((c) => !c.value.includes(token)), 'the token is kept')
  await page.reload()
  check((await page.$eval('#try-token', (e) => e.value)) === '', 'the token is there after a reload')
  await context.close()
}

// The pages are installed: the browser keeps the shell and nothing of anybody, also after signing out,
// and says that there is no connection.
{
  const { context, page } = await visitor()
  await page.setBypassCSP(false)
  await signIn(page, numbers[0])
  await go(page, '/signin')
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => true))
  const kept = () => page.evaluate(async () => {
    const all = []
    for (const name of await caches.keys()) for (const request of await (await caches.open(name)).keys()) all.push([new URL(request.url).pathname, await (await caches.match(request)).text()])
    return all
  })
  for (const path of ['/wallet', '/looked', '/consents', '/data']) await go(page, path)
  const label = await go(page, '/wallet').then(() => page.$eval('main h3', (e) => e.textContent))
  check(await page.evaluate(() => navigator.serviceWorker.controller !== null), 'the service worker sees to the pages')
  const shell = (before) => {
    check(before.length >= 3 && before.every(([path]) => path === '/offline' || path.startsWith('/assets/')), `the browser keeps ${before.map(([path]) => path)}`)
    check(before.every(([, text]) => !text.includes(numbers[0]) && !text.includes(label)), 'the browser keeps something personal')
  }
  shell(await kept())
  const target = await context.browser().waitForTarget((t) => t.type() === 'service_worker' && t.browserContext() === context)
  const below = await target.createCDPSession()
  const offline = (is) => Promise.all([below.send('Network.emulateNetworkConditions', { offline: is, latency: 0, downloadThroughput: -1, uploadThroughput: -1 }), page.setOfflineMode(is)])
  await below.send('Network.enable')
  await offline(true)
  await page.goto(served + '/looked')
  check((await page.$$eval('main [lang] h2', (all) => all.length)) === 3 && !(await page.content()).includes(label), 'without a connection the page says so, in four languages')
  await offline(false)
  await go(page, '/wallet')
  await Promise.all([page.waitForNavigation(), page.click('form[action="/signout"] button')])
  shell(await kept())
  check((await page.evaluate(() => localStorage.length + sessionStorage.length)) === 0, 'something stays after signing out')
  await context.close()
}

// The way of a consent by keyboard alone, without JavaScript and at 320 px: asked by an
// administration, granted, used, stopped by as many presses, refused from then on, and all of it told
// in the list of who looked, with why.
{
  const railways = '0203430576'
  const ask = await caller('consumer', railways)
  const purpose = 'familyDiscount'
  const asked = await ask('POST', '/consentRequests', { ssin: numbers[0], purpose, documentTypes: ['householdComposition'], fields: ['householdSize'], message: 'For <b>you</b>.' })
  check(asked.status === 202, `asking for consent: ${asked.status}`)
  const consentId = asked.body.consentId
  const { context, page } = await visitor({ script: false, width: 320 })
  const text = () => page.$eval('main', (e) => e.textContent)
  const press = async (selector) => {
    await tabTo(page, selector)
    await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')])
  }
  await signIn(page, numbers[0])
  await go(page, `/consents?lang=en&at=${encodeURIComponent(asked.at)}`)
  await press(`a[href="/consents/${consentId}"]`)
  check((await text()).includes('For <b>you</b>.'), 'the message of whoever asks is text')
  const buttons = await page.$$eval('button[name=answer]', (all) => all.map((b) => { const { height } = b.getBoundingClientRect(); const style = getComputedStyle(b); return [height, style.color, style.backgroundColor, style.fontWeight].join() }))
  check(buttons.length === 2 && buttons[0] === buttons[1], `yes and no look alike: ${buttons}`)
  await press('button[value=yes]')
  check((await text()).includes('granted'), 'the consent is granted')
  const { body: { items: [{ documentId }] } } = await ask('GET', `/consents/${consentId}/documents`)
  const read = await ask('POST', `/documents/${documentId}/access`, { purpose, consentId })
  check(read.status === 200 && Object.keys(read.body.content).join() === 'householdSize', `they read the size alone: ${read.status}`)
  await press('form[action$="/stop"] button')
  check((await text()).includes('You stopped this consent.'), 'the consent is stopped')
  const refused = await ask('POST', `/documents/${documentId}/access`, { purpose, consentId })
  check(refused.status === 403 && refused.body.type.endsWith(':consentWithdrawn'), `they are refused: ${refused.status} ${refused.body.type}`)
  await go(page, `/consents/${consentId}/looked?at=${encodeURIComponent(read.at)}`)
  await press('a[href^="/dispute?"]')
  await tabTo(page, '#text')
  await page.keyboard.type('I did not <i>know</i>.')
  await press('main form button')
  check(new URL(page.url()).pathname.startsWith('/petitions/') && (await text()).includes('I did not <i>know</i>.'), 'what looks wrong is disputed')
  check(await shows(page, '/looked/each', 'It was refused: nothing was given.'), 'the citizen reads of the refusal')
  const told = await page.$$eval('main ul.list > li', (all) => all.map((li) => li.textContent).filter((t) => t.includes('Purpose: Family discount.')))
  check(told.some((t) => t.includes('On the basis of your consent. The data were given.')) && told.some((t) => t.includes('It was refused')), `who looked, and why: ${told}`)
  await go(page, `/consents?at=${encodeURIComponent(read.at)}`)
  check(await page.$$eval('main section', (all, id) => all[2].querySelector(`a[href="/consents/${id}"]`) !== null, consentId), 'the consent is among those that are past')

  // A parent and a child: every page says that one acts for another, until one goes back.
  await go(page, '/people')
  await press('a[href^="/wallet?of="]')
  const child = new URL(page.url()).searchParams.get('of')
  for (const at of ['/wallet', '/looked', '/consents']) {
    if (at !== '/wallet') await press(`a[href="${at}?of=${child}"]`)
    check((await text()).includes(`You act in the name of another person (code ${child.slice(0, 4).toUpperCase()}).`), `${at} says in whose name`)
    await fits(page, `${at} of a child at 320 px`)
    if (at === '/wallet') check((await page.$$('main ul.list > li')).length > 0, 'the child holds a document')
    check((await page.$eval('h1', (e) => e.textContent)).includes('this person'), `${at} speaks of the child`)
    if (at === '/looked') check((await text()).includes('Government of Flanders'), 'who looked at the data of the child')
  }
  await press('main p.warning a[href="/wallet"]')
  check(!(await text()).includes('in the name of another'), 'back to oneself')

  // One consent that is asked, and one that runs, are there for whoever looks at every page.
  for (const [why, type, answer] of [[purpose, 'householdComposition', 'yes'], ['ageVerification', 'identityData', '']]) {
    const { status, at, body } = await ask('POST', '/consentRequests', { ssin: numbers[0], purpose: why, documentTypes: [type] })
    check(status === 202, `asking for consent: ${JSON.stringify(body)}`)
    citizenPages.push(`/consents/${body.consentId}`)
    await go(page, `/consents/${body.consentId}?at=${encodeURIComponent(at)}`)
    if (answer) await press(`button[value=${answer}]`)
  }
  await context.close()
  lap('a consent, a parent and a child')
}

// weighed opens a page as a phone with a quarter of this processor does on a line of 1.6 Mbit/s, with
// nothing cached, and returns the bytes that came and when something was first seen.
async function weighed(page, path) {
  const session = await page.createCDPSession()
  await session.send('Network.enable')
  await session.send('Network.clearBrowserCache')
  await session.send('Network.setBypassServiceWorker', { bypass: true }) // what it fetches is another target's
  await session.send('Network.emulateNetworkConditions', { offline: false, latency: 150, downloadThroughput: 1.6e6 / 8, uploadThroughput: 750e3 / 8 })
  await session.send('Emulation.setCPUThrottlingRate', { rate: 4 })
  let bytes = 0
  session.on('Network.loadingFinished', (e) => (bytes += e.encodedDataLength))
  await go(page, path)
  const paint = await page.evaluate(() => new Promise((resolve) => new PerformanceObserver((l) => l.getEntriesByName('first-contentful-paint').forEach((e) => resolve(e.startTime))).observe({ type: 'paint', buffered: true })))
  await session.detach()
  check(bytes > 0 && bytes <= 100_000, `the first load of ${path} is ${bytes} bytes`)
  return `${bytes} bytes, first contentful paint after ${Math.round(paint)} ms`
}

{
  const { context, page } = await visitor()
  await signIn(page, numbers[0])
  console.log(`pages: on a slow phone the first load of a wallet: ${await weighed(page, '/wallet')} (at most 100,000 bytes; 1,000 ms wanted)`)
  check((await page.evaluate(() => localStorage.length + sessionStorage.length)) === 0, 'a page stores something')
  await context.close()
}

// Somebody with 200 documents and 5,000 entries in their access log: nothing takes longer to load
// than with few, and the last of them are a few presses away.
{
  const [number, school, readers] = [invented(1), await caller('issuer', '0220916609'), await caller('consumer', '0671516647')]
  const documents = []
  await together(200, 20, async (n) => {
    const issued = await school('POST', '/documents', { ssin: number, documentType: 'diploma', sourceReference: `pages-${n}`, validFrom: '2006-07-01', content: { title: `Course ${n}`, institution: 'University', awardedOn: '2006-06-30', level: 7 } })
    assert.equal(issued.status, 201, JSON.stringify(issued.body))
    documents.push(issued.body.documentId)
  })
  let at
  await together(5000, 20, async (n) => {
    const read = await readers('POST', `/documents/${documents[n % documents.length]}/access`, { purpose: 'recruitment', procedure: 'publicJobApplication', legalBasis: 'publicTask', deliberation: 'EX-26/050' })
    assert.equal(read.status, 200, JSON.stringify(read.body))
    at = read.at
  })
  const { context, page } = await visitor()
  await signIn(page, number)
  const seen = encodeURIComponent(at)
  for (const path of ['/wallet', `/looked?at=${seen}`, `/looked/each?at=${seen}`]) console.log(`pages: 200 documents, 5,000 entries: ${path.replace(/\?.*/, '')}: ${await weighed(page, path)}`)
  for (const [path, least] of [['/wallet', 200], [`/looked/each?at=${seen}`, 5000]]) {
    await go(page, path)
    let found = 0
    for (let pages = 1; ; pages++) {
      found += await page.$$eval('main ul.list > li', (all) => all.length)
      const next = await page.$('main a.button[href*="after="]')
      if (!next) break
      await Promise.all([page.waitForNavigation(), next.click()])
      if (pages === 300) break
    }
    check(found >= least, `${path}: ${found} of ${least}`)
  }
  await context.close()
  lap('200 documents and 5,000 entries')
}

// An export and a comparison of the read models are followed by the script, without a reload. There
// is something to follow: the log has grown, and the exports that were asked for before come first.
const follow = async (page, path, over) => {
  const running = () => page.$eval('#progress', (e) => e.dataset.live === 'running')
  check(await running(), `${path} is shown while it is made`)
  await page.evaluate(() => { window.kept = true })
  await page.waitForFunction(() => document.getElementById('progress').dataset.live !== 'running', { timeout: 300_000 })
  check(await page.evaluate(() => window.kept), `${path} is followed without a reload`)
  const told = await page.$eval('main', (e) => e.textContent)
  check(told.includes(over), `${path} tells its end: ${told}`)
  check((await page.evaluate(() => performance.getEntriesByType('resource').filter((e) => e.initiatorType === 'fetch').length)) > 0, `the script asks how far ${path} is`)
}
{
  const { context, page } = await visitor()
  await page.setBypassCSP(false)
  await signInAs(page, 'officer1', '/officer')
  for (let n = 0; n < 8; n++) {
    await go(page, '/officer/exports?lang=en')
    await page.select('#export-kind', 'accessLog')
    await page.select('#export-format', 'xlsx')
    await Promise.all([page.waitForNavigation(), page.click('main form button')])
  }
  const exported = new URL(page.url()).pathname
  await follow(page, exported, 'coffre export verify')
  check((await page.$(`a[href="${exported}/content"]`)) !== null, 'the file is there to be fetched')
  await context.close()
}
{
  const { context, page } = await visitor()
  await page.setBypassCSP(false)
  await signInAs(page, 'auditor', '/auditor')
  await go(page, '/auditor/drift?lang=en')
  await Promise.all([page.waitForNavigation(), page.click('main form button')])
  await follow(page, new URL(page.url()).pathname, 'Every row is as the log makes it.')
  await context.close()
}
{
  const { context, page } = await visitor()
  await page.setBypassCSP(false)
  await signInAs(page, 'operator', '/operator')
  await go(page, '/operator/traffic?lang=en')
  await page.evaluate(() => { window.kept = document.getElementById('now').textContent })
  check(await page.$eval('#refreshed', (e) => !e.hidden), 'the page says that it refreshes by itself')
  await page.waitForFunction(() => document.getElementById('now').textContent !== window.kept, { timeout: 60_000 })
  const drawn = () => page.$$eval('svg.columns rect, svg.columns text', (all) => all.map((e) => getComputedStyle(e).fill))
  const media = await page.createCDPSession()
  await media.send('Emulation.setEmulatedMedia', { features: [{ name: 'forced-colors', value: 'active' }, { name: 'prefers-color-scheme', value: 'dark' }] })
  const [paper, colours] = [await page.$eval('body', (e) => getComputedStyle(e).backgroundColor), await drawn()]
  check(colours.length > 1 && !colours.includes(paper), `a chart is seen in forced colours: ${colours} on ${paper}`)
  await media.detach()
  await Promise.all([page.waitForNavigation(), page.click('#refreshed a')])
  check((await page.$$eval('script', (all) => all.length)) === 0, 'somebody has stopped that')
  await context.close()
  lap('an export, a comparison and the traffic are followed')
}


// Every page of everybody, in four languages, two widths, light and dark.
const open = ['/signin', '/signedout', '/accessibility', '/offline', '/nowhere', '/doc', '/doc/connect', '/doc/types', '/doc/types/householdComposition', '/doc/codes', '/doc/problems',
  '/doc/operations/grantMandate', '/doc/operations/uploadAttachment', '/doc/operations/getRegistry', '/doc/schemas/ConsentGrant', '/doc/schemas/DocumentState']
const everybody = [
  { enter: (page) => signIn(page, numbers[0]), from: ['/wallet', '/looked', '/consents'], also: [...open, ...citizenPages] },
  { enter: (page) => signInAs(page, 'officer1', '/officer'), from: ['/officer', ...officerPages], also: [] },
  { enter: (page) => signInAs(page, 'auditor', '/auditor'), from: ['/auditor', '/auditor/events/5', '/auditor/stream?stream=registry'], also: [] },
  { enter: (page) => signInAs(page, 'operator', '/operator'), from: ['/operator', '/operator/acts/drop?leaf=9&name=one'], also: [] },
]
const shown = (one) => one.also.concat(one.pages)
for (const one of everybody) {
  const { context, page } = await visitor()
  await one.enter(page)
  one.pages = (await links(page, ...one.from)).filter((path) => !open.includes(path))
  await context.close()
}
const looks = [360, 1280].flatMap((width) => ['light', 'dark'].flatMap((scheme) => everybody.map((one) => ({ width, scheme, one }))))
let entered = Promise.resolve() // one after the other: a page that opens takes the keys of another
await together(looks.length, 2, async (n) => {
  const { width, scheme, one } = looks[n]
  const entering = entered.then(async () => {
    const opened = await visitor({ width, scheme })
    await one.enter(opened.page)
    return opened
  })
  entered = entering
  const { context, page } = await entering
  for (const path of shown(one)) {
    for (const lang of languages) {
      const what = `${path} ${lang} ${width} ${scheme}`
      const at = path + (path.includes('?') ? '&' : '?') + 'lang=' + lang
      const answer = await go(page, at, path === '/nowhere' ? 404 : 200)
      check((await page.$eval('html', (e) => e.lang)) === lang, `${what} is in another language`)
      await accessible(page, what)
      await fits(page, what)
      if (width === 360 && scheme === 'light') html.set(`${lang}${path}`, await answer.text())
      if (pictures && scheme === 'light' && lang === 'nl' && path !== '/nowhere') {
        await mkdir(pictures, { recursive: true })
        await page.screenshot({ path: join(pictures, `${path.slice(1).replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'one').replace(/\?.*/, '').replaceAll('/', '-')}-${width}.png`) })
      }
    }
  }
  await context.close()
})
lap('every page, in four languages, two widths, light and dark')

// By keyboard alone and without JavaScript, at 320 px: sign in, skip to the content, read, sign out.
{
  const { context, page } = await visitor({ script: false, width: 320 })
  await go(page, '/signin')
  await tabTo(page, '#number')
  await page.keyboard.type('12345678901')
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')])
  check((await page.$('[role=alert]')) !== null && (await page.$eval('#number', (e) => e.getAttribute('aria-invalid'))) === 'true', 'a wrong number is told')
  await tabTo(page, '#number')
  await page.keyboard.type(numbers[1])
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')])
  for (const path of everybody[0].pages) {
    await go(page, path, 200, 404) // what one person has, another need not
    await fits(page, `${path} at 320 px`)
  }
  await go(page, '/wallet')
  check(!(await page.content()).includes(numbers[1]), 'the wallet shows no number')
  await page.keyboard.press('Tab')
  check(await page.evaluate(() => document.activeElement.matches('.skip')), 'the first key leads past the navigation')
  await page.keyboard.press('Enter')
  check(await page.evaluate(() => document.activeElement.id === 'content'), 'the content has the focus')
  const before = await page.cookies()
  check(before.filter((c) => c.httpOnly && c.sameSite === 'Lax').length >= 1 && before.every((c) => !c.value.includes(numbers[1])), 'the cookie of the session is no script\'s and no other site\'s')
  await go(page, '/wallet')
  await tabTo(page, 'form[action="/signout"] button')
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')])
  check(new URL(page.url()).pathname === '/signedout', 'signed out')

  // Back shows nothing, and neither does the cookie that somebody kept.
  await Promise.all([page.waitForNavigation(), page.evaluate(() => history.back())]).catch(() => {})
  check(!(await page.content()).includes('class="list"'), 'back shows a page of before')
  for (const kept of before) await page.setCookie(kept)
  await page.goto(served + '/wallet')
  check(new URL(page.url()).pathname === '/signin', 'a cookie that was kept opens nothing')
  await context.close()
}

// By keyboard alone and without JavaScript at 320 px, the pages of the other roles.
for (const one of everybody.slice(1)) {
  const { context, page } = await visitor({ script: false, width: 320 })
  await one.enter(page)
  for (const path of one.pages) {
    await go(page, path)
    await fits(page, `${path} at 320 px`)
    await page.keyboard.press('Tab')
    check(await page.evaluate(() => document.activeElement.matches('.skip')), `${path}: the first key leads past the navigation`)
  }
  await context.close()
}

// The HTML itself.
const files = []
for (const [name, text] of html) {
  const file = join(tmpdir(), name.replace(/[^a-z0-9]+/gi, '-') + '.html')
  await writeFile(file, text)
  files.push(file)
}
lap('by keyboard alone')
const checked = await run('java', ['-jar', require('vnu-jar'), '--errors-only', '--exit-zero-always', '--format', 'json', ...files], { maxBuffer: 1 << 26 })
const { messages } = JSON.parse(checked.stderr)
check(messages.length === 0, messages.map((m) => `${m.url}:${m.lastLine}: ${m.message}: ${m.extract}`).join('\n'))
lap('the HTML checker')

await leave()
for (const what of new Set(tally.failed)) console.error(`pages: ${what}`)
console.log(`pages: ${tally.passed} checks of ${everybody.flatMap(shown).length} pages passed, ${tally.failed.length} failed`)
process.exit(tally.failed.length ? 1 : 0)
