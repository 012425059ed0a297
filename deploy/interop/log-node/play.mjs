// Plays the demo and more on a vault that is served, verifies its log, live and in bundles, and
// then lies about it in every way that an operator could: with the databases, the tiles, the
// checkpoints, and the key that signs them. Each lie must be found, and named. The arguments are
// the verifier to run, which is called, and answers, as verify.mjs.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createPrivateKey, generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { leafHash, root, sha256 } from './format.mjs'
import { noteIn, written } from './verify.mjs'
import { serve, until } from './vault.mjs'

const run = promisify(execFile)
const coffre = (/** @type {string[]} */ ...args) => run(/** @type {string} */ (process.env.COFFRE), args)
const homeAffairs = '0308356862'
const person = '70130100175' // nobody's: there is no month 13

let passed = 0
/** @param {string} what @param {() => void | Promise<void>} check */
async function must(what, check) {
  try {
    await check()
  } catch (e) {
    throw new Error(what, { cause: e })
  }
  passed++
}

/** @param {import('./verify.mjs').Report} r */
const short = (r) => [...new Set(r.findings.map((f) => `${f.kind} ${f.leaf}`))].sort()

const [verifier, ...first] = process.argv.slice(2)
if (verifier === undefined) throw new Error('no verifier to run')

/**
 * Runs the verifier on a place, with the checkpoint that was kept and the keys, and holds its
 * exit code to its report.
 *
 * @param {string} place @param {string} note @param {string[]} more
 * @returns {Promise<import('./verify.mjs').Report>}
 */
async function verify(place, note, more = []) {
  await writeFile(join(tmpdir(), 'kept.checkpoint'), note)
  const args = [...first, place, '--key', join(tmpdir(), 'keys.json'), '--checkpoint', join(tmpdir(), 'kept.checkpoint'), ...more]
  const { code, out } = await new Promise((resolve, reject) => {
    execFile(verifier, args, { maxBuffer: 1 << 26 }, (err, stdout, stderr) => {
      if (err && typeof err.code !== 'number') reject(err)
      else if (err?.code === 1 || err?.code === 2) reject(new Error(stderr))
      else resolve({ code: err?.code ?? 0, out: stdout })
    })
  })
  const report = JSON.parse(out)
  assert.equal(code, report.findings.length > 0 ? 3 : report.incomplete !== '' ? 4 : 0)
  return report
}

/** A bundle taken apart, to be changed and put together again. @param {string} text */
function open(text) {
  const lines = text.trimEnd().split('\n').map((l) => JSON.parse(l))
  return {
    head: lines.filter((l) => !l.leaves && !l.event && !l.end),
    leaves: lines.filter((l) => l.leaves).flatMap(({ leaves }) => leaves.hashes.length > 0 ? Buffer.from(leaves.hashes, 'base64').toString('hex').match(/.{64}/g) : []),
    events: lines.filter((l) => l.event).map((l) => l.event),
  }
}

/** @param {ReturnType<typeof open>} b */
function put({ head, leaves, events }) {
  const lines = [...head]
  for (let first = 0; first < Math.max(leaves.length, events.length); first += 256) {
    const hashes = Buffer.from(leaves.slice(first, first + 256).join(''), 'hex').toString('base64')
    if (hashes !== '') lines.push({ leaves: { first, hashes } })
    lines.push(...events.slice(first, first + 256).map((event) => ({ event })))
  }
  return [...lines, { end: { events: events.length } }].map((l) => JSON.stringify(l) + '\n').join('')
}

/** @param {string} base64 @param {number} at */
function flip(base64, at = 0) {
  const b = Buffer.from(base64, 'base64')
  b[at] ^= 1
  return b.toString('base64')
}

const renumber = (/** @type {any[]} */ events) => events.forEach((e, leaf) => { e.leaf = leaf })
const hashOf = (/** @type {any} */ e) => /** @type {Buffer} */ (leafHash({ ...e, meta: Buffer.from(e.meta, 'base64'), clear: Buffer.from(e.clear ?? '', 'base64'), sealed: Buffer.from(e.sealed ?? '', 'base64') }))

/** Signs what a bundle holds as whoever has the key can. @param {ReturnType<typeof open>} b @param {import('node:crypto').KeyObject} key @param {string} [time] */
function signAgain(b, key, time) {
  const line = b.head.find((l) => l.checkpoint)
  const [origin, , , said] = line.checkpoint.split('\n')
  const text = `${origin}\n${b.leaves.length}\n${root(b.leaves.map((l) => Buffer.from(l, 'hex'))).toString('base64')}\n${time === undefined ? said : `time ${time}`}\n`
  const { x } = key.export({ format: 'jwk' })
  const number = sha256(Buffer.from(`${origin}\n\x01`), Buffer.from(x ?? '', 'base64url')).subarray(0, 4)
  line.checkpoint = `${text}\n— ${origin} ${Buffer.concat([number, sign(null, Buffer.from(text), key)]).toString('base64')}\n`
  b.head.find((l) => l.bundle).bundle.size = b.leaves.length
}

const vault = await serve()
try {
  const token = await vault.token({ role: 'auditor' })
  const issuer = await vault.token({ role: 'issuer', org: homeAffairs })
  const issue = async (/** @type {number} */ n) => {
    const answer = await fetch(`${vault.url}/vault/v1/documents`, {
      method: 'POST',
      headers: { authorization: `Bearer ${issuer}`, 'content-type': 'application/json', 'idempotency-key': randomUUID() },
      body: JSON.stringify({
        ssin: person, documentType: 'householdComposition', sourceReference: `log <${n}>`, validFrom: '2025-01-01',
        content: { asOf: '2025-01-01', householdSize: 1, members: [], address: { postalCode: '9999', municipality: 'Nergenshuizen' } },
      }),
    })
    assert.equal(answer.status, 201)
  }
  /** Takes a bundle, with a checkpoint of at least that many leaves. */
  const take = async (/** @type {string} */ name, least = 1, more = /** @type {string[]} */ ([])) => {
    const ask = () => fetch(`${vault.url}/vault/v1/log/checkpoint`, { headers: { authorization: `Bearer ${token}` } }).then((r) => r.text())
    await until('a later checkpoint', ask, (note) => Number(note.split('\n')[1]) >= least)
    await coffre('audit', 'bundle', '--data', vault.data, '--out', join(tmpdir(), name), ...more)
    return readFile(join(tmpdir(), name), 'utf8')
  }
  await coffre('demo', '--data', vault.data)
  const yesterday = await take('yesterday.bundle', 40)
  for (let n = 0; n < 240; n++) await issue(n)
  const file = await take('today.bundle', 280)
  const published = await (await fetch(`${vault.url}/vault/v1/signingKeys`)).text()
  await writeFile(join(tmpdir(), 'keys.json'), published)
  await writeFile(join(tmpdir(), 'token'), token, { mode: 0o600 })
  const live = (/** @type {string} */ url, /** @type {string} */ note) => verify(url, note, ['--token', join(tmpdir(), 'token')])
  const bundle = async (/** @type {string} */ text, note = noteIn(yesterday)) => {
    await writeFile(join(tmpdir(), 'shown.bundle'), text)
    return verify(join(tmpdir(), 'shown.bundle'), note)
  }

  await must('a whole bundle verifies', async () => {
    const r = await bundle(file)
    assert.deepEqual([short(r), r.incomplete, r.trusted, r.whole], [[], '', true, true])
    assert.ok(r.events > 280 && r.events === r.size)
  })
  await must('a selection verifies, event by event', async () => {
    const r = await bundle(await take('some.bundle', 280, ['--type', 'document.issued']))
    assert.deepEqual([short(r), r.incomplete, r.whole], [[], '', false])
    assert.ok(r.events >= 240)
  })
  await must('the log verifies live', async () => {
    const r = await live(vault.url, noteIn(yesterday))
    assert.deepEqual([short(r), r.events >= r.size, r.size > 280], [[], true, true])
  })

  const mine = createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.from(JSON.parse(await readFile(join(vault.data, 'kek.json'), 'utf8')).signingSeed, 'base64')]), format: 'der', type: 'pkcs8' })
  const other = generateKeyPairSync('ed25519').privateKey
  const size = open(file).events.length
  const n = open(file).events.findIndex((e, i) => i > 256 && e.sealed && open(file).events[i + 1]?.sealed) // in the second tile
  const change = (/** @type {(e: any) => void} */ edit) => (/** @type {ReturnType<typeof open>} */ b) => edit(b.events[n])
  const rewrite = (/** @type {ReturnType<typeof open>} */ b, at = n) => {
    b.events[at].clear = Buffer.from('{}').toString('base64')
    b.leaves[at] = hashOf(b.events[at]).toString('hex')
  }

  /** @type {[string, (b: ReturnType<typeof open>) => void, string[]][]} */
  const lies = [
    ['one bit of the clear facts', change((e) => { e.clear = flip(e.clear, 9) }), [`altered ${n}`]],
    ['one bit of the metadata', change((e) => { e.meta = flip(e.meta, 3) }), [`altered ${n}`]],
    ['one bit of the sealed part', change((e) => { e.sealed = flip(e.sealed, 60) }), [`altered ${n}`]],
    ['no sealed part', change((e) => { delete e.sealed }), [`altered ${n}`]],
    ['another time', change((e) => { e.time-- }), [`altered ${n}`]],
    ['another id', change((e) => { e.id = randomUUID() }), [`altered ${n}`]],
    ['another stream', change((e) => { e.stream += '0' }), [`altered ${n}`]],
    ['another revision', change((e) => { e.revision++ }), [`altered ${n}`]],
    ['another type', change((e) => { e.type = 'document.revoked/1' }), [`altered ${n}`]],
    ['clear facts exchanged beside untouched sealed parts', (b) => { [b.events[n].clear, b.events[n + 1].clear] = [b.events[n + 1].clear, b.events[n].clear] }, [`altered ${n}`, `altered ${n + 1}`]],
    ['one event dropped', (b) => { b.events.splice(n, 1); renumber(b.events) }, [`dropped ${n}`]],
    ['two swapped', (b) => { [b.events[n], b.events[n + 1]] = [b.events[n + 1], b.events[n]]; renumber(b.events) }, [`swapped ${n}`]],
    ['one inserted', (b) => { b.events.splice(n, 0, { ...b.events[n], id: randomUUID() }); renumber(b.events) }, [`inserted ${n}`]],
    ['one repeated', (b) => { b.events.splice(n, 0, { ...b.events[n - 1] }); renumber(b.events) }, [`inserted ${n}`]],
    ['the tail cut off', (b) => { b.events.splice(-5) }, [`cut ${size - 5}`]],
    ['the tail cut off the tree, too', (b) => { b.events.splice(-5); b.leaves.splice(-5) }, [`cut ${size - 5}`]],
    ['a tile edited', (b) => { b.leaves[n] = Buffer.from(flip(Buffer.from(b.leaves[n], 'hex').toString('base64')), 'base64').toString('hex') }, [`tile ${n}`]],
    ['an event and its tile rewritten', (b) => rewrite(b), ['root -1']],
    ['rewritten, and signed with another key', (b) => { rewrite(b); signAgain(b, other) }, ['signature -1']],
    ['another history, signed with the log’s own key', (b) => { rewrite(b, 3); signAgain(b, mine) }, ['forked -1']],
    ['the log cut short, and signed with its own key', (b) => { b.events.splice(30); b.leaves.splice(30); signAgain(b, mine) }, ['cut 30']],
    ['the checkpoint’s time moved back by whoever has the key', (b) => signAgain(b, mine, '2026-01-01T00:00:00.000000Z'), ['time -1']],
    ['the checkpoint’s time moved in its text', (b) => { const l = b.head.find((h) => h.checkpoint); l.checkpoint = l.checkpoint.replace(/time \d{4}/, 'time 2099') }, ['signature -1']],
  ]
  for (const [what, lie, want] of lies) {
    const b = open(file)
    lie(b)
    await must(what, async () => {
      const r = await bundle(put(b))
      const named = what.includes('moved back') ? short(r).filter((f) => f === 'time -1') : short(r)
      assert.deepEqual(named, want)
      await assert.rejects(coffre('audit', 'verify', join(tmpdir(), 'shown.bundle'), '--key', join(tmpdir(), 'keys.json'), '--checkpoint', join(tmpdir(), 'kept.checkpoint')), { code: 3 })
    })
  }
  await must('a bundle that was put together again is the bundle', () => assert.equal(put(open(file)), file))
  await must('yesterday’s log put back is found by whoever kept a checkpoint', async () => {
    assert.deepEqual(short(await bundle(yesterday)), [])
    assert.deepEqual(short(await bundle(yesterday, noteIn(file))), [`cut ${open(yesterday).events.length}`])
  })
  await must('a bundle that was cut off is incomplete', async () => {
    const r = await bundle(file.slice(0, -400))
    assert.deepEqual([short(r), r.incomplete !== ''], [[], true])
  })
  await must('an event of a selection is not another one', async () => {
    const b = open(await readFile(join(tmpdir(), 'some.bundle'), 'utf8'))
    b.events[100].clear = flip(b.events[100].clear, 9)
    assert.deepEqual(short(await bundle(put(b))), [`altered ${b.events[100].leaf}`])
  })

  // A vault that lies: what it answers passes through somebody's hands.
  /** @type {(path: string, body: Buffer) => Buffer | string} */
  let hands = (_, body) => body
  const liar = createServer((request, response) => {
    void (async () => {
      const answer = await fetch(`${vault.url}${request.url}`, { headers: { authorization: request.headers.authorization ?? '' } })
      const body = hands(request.url ?? '', Buffer.from(await answer.arrayBuffer()))
      response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' }).end(body)
    })().catch((e) => response.writeHead(502).end(String(e)))
  })
  liar.listen(0, '127.0.0.1')
  await once(liar, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (liar.address())

  /** Changes the items of the log's first page, each as it is written. @param {(items: string[]) => void} edit */
  const page = (edit) => (/** @type {string} */ path, /** @type {Buffer} */ body) => {
    if (!path.startsWith('/vault/v1/events')) return body
    const parts = written(body.toString())
    const items = [...written(parts.get('items') ?? '').values()]
    edit(items)
    parts.set('items', `[${items.join(',')}]`)
    return `{${[...parts].map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(',')}}`
  }
  const item = (/** @type {(e: any) => void} */ edit) => page((items) => {
    const e = JSON.parse(items[n])
    const facts = written(items[n]).get('facts') ?? ''
    e.facts = 'FACTS'
    edit(e)
    items[n] = JSON.stringify(e).replace('"FACTS"', () => facts)
  })
  const at = (/** @type {string} */ where, /** @type {(body: Buffer) => Buffer | string} */ edit) => (/** @type {string} */ path, /** @type {Buffer} */ body) => (path.startsWith(`/vault/v1/log/${where}`) ? edit(body) : body)
  const bit = (/** @type {number} */ i) => (/** @type {Buffer} */ body) => Buffer.from(body.map((b, j) => (j === i ? b ^ 1 : b)))
  const firstHash = (/** @type {Buffer} */ body) => { const p = JSON.parse(body.toString()); p.hashes[0] = flip(p.hashes[0]); return JSON.stringify(p) }
  /** @type {[string, typeof hands, string[]][]} */
  const served = [
    ['nothing', (_, body) => body, []],
    ['items taken apart and put together', item(() => {}), []],
    ['one bit of the metadata', item((e) => { e.metadata = flip(e.metadata, 3) }), [`altered ${n}`]],
    ['one bit of the sealed part', item((e) => { e.sealed = flip(e.sealed, 60) }), [`altered ${n}`]],
    ['a microsecond', item((e) => { e.recordedAt = e.recordedAt.replace(/(\.\d+)?Z/, '.000001Z') }), [`altered ${n}`]],
    ['a blank in the clear facts', page((items) => { items[n] = items[n].replace('"facts":{', '"facts":{ ') }), [`altered ${n}`]],
    ['one event left out', page((items) => { items.splice(n, 1) }), [`dropped ${n}`]],
    ['two swapped', page((items) => { [items[n], items[n + 1]] = [items[n + 1], items[n]] }), [`swapped ${n}`]],
    ['one told twice', page((items) => { items.splice(n, 0, items[n - 1]) }), [`inserted ${n}`]],
    ['a tile of leaves', at('tile/0/000', bit(32 * 7)), ['tile -1', 'tile 7']],
    ['a tile above', at('tile/1/', bit(0)), ['tile -1']],
    ['a proof of inclusion', at('proof/inclusion?leaf=0&', firstHash), ['proof 0']],
    ['a proof of consistency', at('proof/consistency', firstHash), ['proof -1']],
    ['yesterday’s checkpoint', at('checkpoint', () => noteIn(yesterday)), [`cut ${open(yesterday).events.length}`]],
  ]
  for (const [what, lie, want] of served) {
    hands = lie
    await must(`a vault that is served lies: ${what}`, async () => {
      await issue(1000 + passed) // so that there is more than the checkpoint that was kept covers
      await until('a later checkpoint', () => fetch(`${vault.url}/vault/v1/log/checkpoint`, { headers: { authorization: `Bearer ${token}` } }).then((r) => r.text()), (note) => Number(note.split('\n')[1]) > size)
      const r = await live(`http://127.0.0.1:${port}`, noteIn(file))
      assert.deepEqual(short(r), want)
    })
  }
  liar.close()
} finally {
  await vault.stop()
}
console.log(`${passed} checks passed`)
