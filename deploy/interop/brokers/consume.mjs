// Reads at RabbitMQ and at NATS JetStream what a running vault tells an issuer, with other people's
// libraries, and ends and begins NATS in between. RabbitMQ runs already, NATS not yet.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import amqp from 'amqplib'
import { HTTP } from 'cloudevents'
import { connect } from 'nats'
import { serve, until } from './vault.mjs'

const homeAffairs = '0308356862'
const person = '70130100175' // nobody's: there is no month 13
const { AMQP_PORT, NATS_PORT, WORK } = process.env
/** How long an event may take; a link that waited tries again within half a minute. */
const patience = 90_000

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

/** @template T @param {string} what @param {Promise<T>} p @returns {Promise<T>} */
function soon(what, p) {
  return Promise.race([p, new Promise((_, reject) => setTimeout(() => reject(new Error(`${what}: not within ${patience} ms`)), patience).unref())])
}

let broker
async function startNATS() {
  broker = spawn(join(WORK, 'jetstream'), { stdio: 'ignore' })
  let c
  await until('NATS begins', async () => {
    try {
      return c = await connect({ servers: `127.0.0.1:${NATS_PORT}`, user: 'coffre', pass: 'secret', reconnect: false })
    } catch {
      return undefined
    }
  }, Boolean)
  return c
}
async function stopNATS() {
  broker.kill('SIGTERM')
  await once(broker, 'exit')
}

const password = async (name, text) => {
  const file = join(WORK, name)
  await writeFile(file, text, { mode: 0o600 })
  return file
}
const link = { role: 'issuer', organisation: homeAffairs, begin: 'kept' }
const config = join(WORK, 'brokers.json')
await writeFile(config, JSON.stringify({
  links: [
    { name: 'rabbit', ...link, amqp: { url: `amqp://127.0.0.1:${AMQP_PORT}/`, exchange: 'administrations', routingKey: 'coffre.home', user: 'guest', passwordFile: await password('rabbit.key', 'guest') } },
    { name: 'jetstream', ...link, nats: { url: `nats://127.0.0.1:${NATS_PORT}`, subject: 'coffre.home', user: 'coffre', passwordFile: await password('nats.key', 'secret') } },
  ],
}))

// RabbitMQ has the exchange and no queue yet: nothing may be lost meanwhile.
const rabbit = await amqp.connect({ protocol: 'amqp', hostname: '127.0.0.1', port: Number(AMQP_PORT), username: 'guest', password: 'guest' })
const channel = await rabbit.createChannel()
await channel.assertExchange('administrations', 'topic', { durable: true })

const vault = await serve(['--brokers-config', config])
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
  const issue = n => post('/documents', {
    ssin: person, documentType: 'householdComposition', sourceReference: `broker-${n}`, validFrom: '2025-01-01',
    content: { asOf: '2025-01-01', householdSize: 1, members: [], address: { postalCode: '9999', municipality: 'Nergenshuizen' } },
  })

  /** Checks one event as far as all are alike, and returns it. */
  function judge(where, what, m) {
    const event = HTTP.toEvent({ headers: { 'content-type': m.type }, body: m.body.toString() })
    must(`${where}: CloudEvents 1.0`, () => assert.ok(event.validate()))
    must(`${where}: named after the Belgian guide`, () => assert.deepEqual([event.specversion, event.service, event.type], ['1.0', 'be.coffre.vault.v1', `be.coffre.vault.v1.documents.notify.${what}`]))
    must(`${where}: sent to where its type is read`, () => assert.equal(m.to, `coffre.home.documents.notify.${what}`))
    must(`${where}: one id`, () => assert.equal(event.id, m.id))
    must(`${where}: thin, and nothing of the person`, () => assert.ok(m.body.length < 20_000 && !m.body.includes(person) && !m.body.includes('Nergenshuizen')))
    return event
  }

  const one = await issue(1)
  await until('the vault says that RabbitMQ has no queue', async () => vault.log(), log => log.includes('nobodyKeepsIt'))
  passed++
  const { queue } = await channel.assertQueue('home', { durable: true })
  await channel.bindQueue(queue, 'administrations', 'coffre.home.#')
  const atRabbit = [], waiting = []
  await channel.consume(queue, m => {
    channel.ack(m)
    const read = { id: m.properties.messageId, to: m.fields.routingKey, type: m.properties.contentType, body: m.content, durable: m.properties.deliveryMode }
    waiting.length > 0 ? waiting.shift()(read) : atRabbit.push(read)
  })
  const fromRabbit = () => soon('an event at RabbitMQ', atRabbit.length > 0 ? Promise.resolve(atRabbit.shift()) : new Promise(r => waiting.push(r)))

  const first = await fromRabbit()
  const issued = judge('RabbitMQ', 'issued', first)
  must('RabbitMQ: it is kept on disk', () => assert.equal(first.durable, 2))
  must('RabbitMQ: the document', () => assert.equal(issued.data.documentId, one.body.documentId))

  // NATS begins late, ends, and begins again.
  let c = await startNATS()
  let manager = await c.jetstreamManager()
  await manager.streams.add({ name: 'COFFRE', subjects: ['coffre.>'] })
  const fromNATS = async n => {
    const all = []
    const consumer = await c.jetstream().consumers.get('COFFRE')
    const messages = await consumer.consume()
    await soon(`${n} events at NATS`, (async () => {
      for await (const m of messages) {
        all.push({ id: m.headers.get('Nats-Msg-Id'), to: m.subject, type: m.headers.get('Content-Type'), body: Buffer.from(m.data) })
        if (all.length === n) break
      }
    })())
    return all
  }
  let [same] = await fromNATS(1)
  must('NATS: the same event', () => assert.deepEqual(judge('NATS', 'issued', same), issued))
  await c.close()
  await stopNATS()
  await post(`/documents/${one.body.documentId}/revoke`, { reason: 'issuedInError' }, { 'If-Match': one.etag })
  const revoked = judge('RabbitMQ', 'revoked', await fromRabbit())
  must('RabbitMQ hears what NATS, which is away, does not', () => assert.equal(revoked.data.documentId, one.body.documentId))
  c = await startNATS()
  const [kept, late] = await fromNATS(2)
  must('NATS: what it kept', () => assert.deepEqual(judge('NATS', 'issued', kept), issued))
  must('NATS: what it was not there for', () => assert.deepEqual(judge('NATS', 'revoked', late), revoked))
  manager = await c.jetstreamManager()
  const { state } = await manager.streams.info('COFFRE')
  must('NATS: each event once', () => assert.equal(state.messages, 2))
  must('RabbitMQ: nothing else', () => assert.equal(atRabbit.length, 0))
  await c.close()
  await stopNATS()
} finally {
  await vault.stop()
  await rabbit.close()
  broker?.kill('SIGKILL')
}
for (const folder of ['mnesia', 'js']) {
  for (const entry of await readdir(join(WORK, folder), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const text = await readFile(join(entry.parentPath ?? entry.path, entry.name))
    must(`nothing of the person in ${entry.name}`, () => assert.ok(!text.includes(person) && !text.includes('Nergenshuizen')))
  }
}
console.log(`brokers: ${passed} checks passed`)
