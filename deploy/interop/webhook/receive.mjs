// Receives what a running vault tells of a document, with other people's libraries for
// Standard Webhooks and CloudEvents, and judges it as a consumer should.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createPublicKey, randomBytes, randomUUID, verify as check } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { HTTP } from 'cloudevents'
import { Webhook } from 'standardwebhooks'
import { serve } from './vault.mjs'

const homeAffairs = '0308356862'
const person = '70130100175' // nobody's: there is no month 13
/** How long a delivery may take; the second try comes five seconds after the first. */
const patience = 60_000

let passed = 0
/** @param {string} what @param {() => void} check */
function must(what, check) {
  try {
    check()
  } catch (e) {
    throw new Error(what, { cause: e })
  }
  passed++
}

// What comes in is kept until it is asked for; the answer to each is said beforehand.
const arrived = []
const answers = [] // statuses; without one, 204
let tell = () => {}
const receiver = createServer(async (request, response) => {
  const parts = []
  for await (const part of request) parts.push(part)
  response.writeHead(answers.shift() ?? 204).end()
  arrived.push({ method: request.method, url: request.url, headers: request.headers, body: Buffer.concat(parts) })
  tell()
})
receiver.listen(0, '127.0.0.1')
await once(receiver, 'listening')

/** The next delivery, the longest wait for it being `patience`. */
async function delivery() {
  if (arrived.length === 0) {
    await new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error('no delivery')), patience)
      tell = () => { clearTimeout(late); resolve() }
    })
  }
  return arrived.shift()
}

const secret = `whsec_${randomBytes(32).toString('base64')}`
const file = join(tmpdir(), 'webhook.secret')
await writeFile(file, secret, { mode: 0o600 })
const vault = await serve(['--webhook-url', `http://127.0.0.1:${receiver.address().port}/coffre?token=hidden`, '--webhook-secret-file', file])
try {
  const token = await vault.token({ role: 'issuer', org: homeAffairs })
  const post = async (path, body, headers = {}) => {
    const answer = await fetch(`${vault.url}/vault/v1${path}`, {
      method: 'POST', body: JSON.stringify(body),
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json', 'Idempotency-Key': randomUUID(), ...headers },
    })
    assert.ok(answer.ok, `${path}: ${answer.status} ${await answer.clone().text()}`)
    return { etag: answer.headers.get('ETag'), body: await answer.json() }
  }
  const consumer = new Webhook(secret)

  /** Checks one delivery as far as all are alike, and returns its event. */
  function judge(d, what) {
    must(`${what}: the signature fits`, () => assert.deepEqual(consumer.verify(d.body, d.headers), JSON.parse(d.body.toString())))
    must(`${what}: posted to the URL`, () => assert.deepEqual([d.method, d.url, d.headers['content-type']], ['POST', '/coffre?token=hidden', 'application/cloudevents+json']))
    const event = HTTP.toEvent({ headers: d.headers, body: d.body.toString() })
    must(`${what}: CloudEvents 1.0`, () => assert.ok(event.validate()))
    must(`${what}: named after the Belgian guide`, () => assert.deepEqual([event.specversion, event.service, event.type], ['1.0', 'be.coffre.vault.v1', `be.coffre.vault.v1.documents.notify.${what}`]))
    must(`${what}: one id`, () => assert.equal(event.id, d.headers['webhook-id']))
    must(`${what}: thin, and nothing of the person`, () => {
      assert.ok(d.body.length < 20_000)
      assert.ok(!d.body.includes(person) && !d.body.includes('Nergenshuizen'))
      assert.deepEqual(Object.keys(event.data).sort(), ['change', 'documentId', 'state', 'version'])
    })
    return event
  }

  const issued = await post('/documents', {
    ssin: person, documentType: 'householdComposition', sourceReference: 'webhook-1', validFrom: '2025-01-01',
    content: { asOf: '2025-01-01', householdSize: 1, members: [], address: { postalCode: '9999', municipality: 'Nergenshuizen' } },
  })
  const { documentId } = issued.body
  const first = judge(await delivery(), 'issued')
  must('what was issued', () => assert.deepEqual(first.data, { documentId, version: 1, change: 1, state: 'valid' }))

  answers.push(503)
  await post(`/documents/${documentId}/revoke`, { reason: 'issuedInError' }, { 'If-Match': issued.etag })
  const refused = await delivery()
  const revoked = await delivery()
  must('what was answered 503 comes again, the same', () => {
    assert.equal(revoked.headers['webhook-id'], refused.headers['webhook-id'])
    assert.deepEqual(revoked.body, refused.body)
    assert.ok(Number(revoked.headers['webhook-timestamp']) > Number(refused.headers['webhook-timestamp']))
  })
  judge(refused, 'revoked')
  const second = judge(revoked, 'revoked')
  must('what was revoked', () => assert.deepEqual(second.data, { documentId, version: 1, change: 2, state: 'revoked' }))
  must('each notice has an id, all have one source', () => {
    assert.notEqual(second.id, first.id)
    assert.equal(second.source, first.source)
  })

  // Nothing can be changed on the way.
  const { headers, body } = revoked
  must('no byte of the body', () => {
    for (let i = 0; i < body.length; i++) {
      const altered = Buffer.from(body)
      altered[i] ^= 1
      assert.throws(() => consumer.verify(altered, headers), /No matching signature/, `byte ${i}`)
    }
  })
  must('nor the id', () => assert.throws(() => consumer.verify(body, { ...headers, 'webhook-id': randomUUID() }), /No matching signature/))
  must('nor the time', () => assert.throws(() => consumer.verify(body, { ...headers, 'webhook-timestamp': String(Number(headers['webhook-timestamp']) + 1) }), /No matching signature/))
  must('nor sent again much later', () => assert.throws(() => consumer.verify(body, { ...headers, 'webhook-timestamp': '1700000000' }), /too old/))
  must('nor by somebody with another secret', () => assert.throws(() => new Webhook(`whsec_${randomBytes(32).toString('base64')}`).verify(body, headers), /No matching signature/))
  must('nothing else came', () => assert.equal(arrived.length, 0))

  // The organisation has itself told, by a webhook of its own for each kind of key. Its receiver is
  // asked whether it wants to be told, and says at first that it does not.
  const own = []
  let heard = () => {}
  let wanted = false
  const asked = []
  const organisation = createServer(async (request, response) => {
    const parts = []
    for await (const part of request) parts.push(part)
    if (request.method === 'OPTIONS') {
      asked.push(request.headers['webhook-request-origin'])
      response.writeHead(200, wanted ? { 'WebHook-Allowed-Origin': request.headers['webhook-request-origin'] } : {}).end()
      return
    }
    response.writeHead(204).end()
    own.push({ url: request.url, headers: request.headers, body: Buffer.concat(parts) })
    heard()
  })
  organisation.listen(0, '127.0.0.1')
  await once(organisation, 'listening')
  const told = (n) => new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${own.length} deliveries of ${n}`)), patience)
    heard = () => { if (own.length >= n) { clearTimeout(late); resolve() } }
    heard()
  })
  try {
    const ask = { url: `http://127.0.0.1:${organisation.address().port}/own?token=hidden`, types: ['be.coffre.vault.v1.documents.notify.revoked'] }
    await assert.rejects(post('/webhookSubscriptions', ask), /webhookHandshake/)
    wanted = true
    const hmac = (await post('/webhookSubscriptions', ask)).body
    const pair = (await post('/webhookSubscriptions', { ...ask, signature: 'ed25519' })).body
    must('the handshake names the vault', () => assert.deepEqual(asked, ['coffre', 'coffre', 'coffre']))
    must('its address is not shown again', () => assert.ok(!JSON.stringify([hmac, pair]).includes('hidden')))
    const next = await post('/documents', {
      ssin: person, documentType: 'householdComposition', sourceReference: 'webhook-2', validFrom: '2025-01-01',
      content: { asOf: '2025-01-01', householdSize: 1, members: [], address: { postalCode: '9999', municipality: 'Nergenshuizen' } },
    })
    await post(`/documents/${next.body.documentId}/revoke`, { reason: 'issuedInError' }, { 'If-Match': next.etag })
    await told(2)
    const byHMAC = own.find((d) => d.headers['webhook-signature'].startsWith('v1,'))
    const byEd25519 = own.find((d) => d.headers['webhook-signature'].startsWith('v1a,'))
    must('the secret verifies', () => assert.deepEqual(new Webhook(hmac.key).verify(byHMAC.body, byHMAC.headers), JSON.parse(byHMAC.body.toString())))
    must('the public key verifies', () => {
      const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), Buffer.from(pair.key.slice('whpk_'.length), 'base64')])
      const { headers, body } = byEd25519
      const signed = Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`)
      assert.ok(check(null, signed, createPublicKey({ key: der, format: 'der', type: 'spki' }), Buffer.from(headers['webhook-signature'].slice('v1a,'.length), 'base64')))
    })
    // What Python's library is to judge.
    await writeFile(join(tmpdir(), 'delivery.json'), JSON.stringify({ key: hmac.key, headers: byHMAC.headers, body: byHMAC.body.toString(), documentId: next.body.documentId }), { mode: 0o600 })
    for (const d of own) {
      const event = HTTP.toEvent({ headers: d.headers, body: d.body.toString() })
      must('CloudEvents 1.0 of what was asked for', () => assert.deepEqual([event.validate(), event.type, event.data.documentId], [true, ask.types[0], next.body.documentId]))
      must('nothing of the person', () => assert.ok(!d.body.includes(person) && !d.body.includes('Nergenshuizen')))
    }
    must('nothing but what was asked for', () => assert.equal(own.length, 2))
    for (const { webhookSubscriptionId } of [hmac, pair]) {
      await post(`/webhookSubscriptions/${webhookSubscriptionId}/replay`, {})
    }
  } finally {
    organisation.close()
  }
  must('the server’s log holds neither the secret nor the URL’s token', () => assert.ok(!vault.log().includes(secret) && !vault.log().includes('hidden')))
} finally {
  await vault.stop()
  receiver.close()
}
console.log(`${passed} passed, 0 failed`)
