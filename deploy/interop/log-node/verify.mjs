// Verifies a bundle, or the log of a vault that is served, and names what is wrong with it:
//
//   node verify.mjs BUNDLE|URL [--key KEYS] [--checkpoint FILE] [--token FILE]
//
// KEYS is what GET /vault/v1/signingKeys answers, kept from before; FILE of --checkpoint a signed
// note, or a bundle, likewise. It prints one JSON object, the report, and ends with 0 when the log is whole, 1 when it cannot be read, 2
// on wrong usage, 3 when something is wrong with it, 4 when the bundle is incomplete. It holds a
// hundred bytes of each event in memory.
import { createReadStream, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { checkpoint, consistent, included, leafHash, root, split, tilePath } from './format.mjs'

/** @typedef {{kind: string, leaf: number, says: string}} Finding leaf -1: about no single one */
/** @typedef {{origin: string, size: number, events: number, whole: boolean, trusted: boolean, findings: Finding[], incomplete: string}} Report */

/** How many events behind the last leaf of a log that is served are read, should some stand too early. */
const ahead = 1000

/** How much later than its checkpoint an event may say it was recorded, in microseconds. */
const clockSpread = 60_000_000n

/** What a log shows, against what was signed. */
class Judge {
  /** @type {Buffer[]} */
  leaves = []
  /** @type {{hash: Buffer | null, name: string, leaf: number, proof?: Buffer[]}[]} */
  events = []
  latest = 0n
  incomplete = ''
  /** @type {Finding[]} */
  found = []

  /**
   * @param {string} note
   * @param {Buffer[]} brought keys that come with the log
   * @param {{keys: Buffer[], held: string[]}} kept what whoever asks has from before
   */
  constructor(note, brought, kept) {
    const said = checkpoint(note)
    if (said === null) throw new Error('the log shows no checkpoint')
    this.said = said
    this.trusted = kept.keys.length > 0
    this.keys = this.trusted ? kept.keys : brought
    if (!this.keys.some(said.signedBy)) this.add('signature', -1, 'no key that counts has signed the checkpoint')
    this.held = kept.held.filter((h) => h !== note).map(checkpoint).filter((c) => this.#sameLog(c))
  }

  /** @param {string} kind @param {number} leaf @param {string} says */
  add(kind, leaf, says) {
    this.found.push({ kind, leaf, says })
  }

  /** @param {import('./format.mjs').Checkpoint | null} c @returns {c is import('./format.mjs').Checkpoint} */
  #sameLog(c) {
    const [, id, losses] = /^coffre\/([^/]+)\/?(.*)$/.exec(c?.origin ?? '') ?? []
    const [, now, accepted] = /^coffre\/([^/]+)\/?(.*)$/.exec(this.said.origin) ?? []
    if (c === null || !this.keys.some(c.signedBy)) this.add('signature', -1, 'no key that counts has signed the checkpoint that was kept')
    else if (id !== now || Number(losses) > Number(accepted)) this.add('forked', -1, `the checkpoint that was kept is of ${c.origin}`)
    else if (losses !== accepted) this.add('cut', -1, `a loss was accepted since the checkpoint that was kept, of ${c.origin}`)
    else if (c.size > this.said.size) this.add('cut', this.said.size, `the checkpoint that was kept has ${c.size} leaves`)
    else if (c.time > this.said.time) this.add('time', -1, 'the checkpoint that was kept has no more leaves and was signed later')
    else return true
    return false
  }

  /** @param {{leaf: number, damaged?: boolean, proof?: Buffer[]} & import('./format.mjs').Entry} e */
  event(e) {
    this.events.push({ hash: e.damaged ? null : leafHash(e), name: `${e.type} of ${e.stream}, revision ${e.revision}`, leaf: e.leaf, proof: e.proof })
    if (e.leaf < this.said.size && BigInt(e.time) > this.latest) this.latest = BigInt(e.time)
  }

  /**
   * @param {boolean} whole
   * @param {boolean} [growing] events that nothing covers yet may stand behind the last leaf
   * @returns {Report}
   */
  report(whole, growing = false) {
    const { said } = this
    if (!whole) this.#proofs()
    else if (this.incomplete === '') this.#compare(growing)
    if (this.latest > said.time + clockSpread) this.add('time', -1, 'the checkpoint covers an event that was recorded after it was signed')
    return { origin: said.origin, size: said.size, events: this.events.length, whole, trusted: this.trusted, findings: this.found, incomplete: this.incomplete }
  }

  #proofs() {
    for (const e of this.events) {
      if (!included(e.proof ?? [], e.leaf, e.hash, this.said.size, this.said.root)) this.add('altered', e.leaf, `leaf ${e.leaf}, ${e.name}, is not what was recorded there`)
    }
  }

  /** @param {boolean} growing */
  #compare(growing) {
    const { said, leaves } = this
    const before = this.found.length
    this.#walk(growing)
    const met = this.events.slice(0, growing ? said.size : undefined).map((e) => e.hash)
    const hashes = met.filter((h) => h !== null)
    const trees = [leaves, ...(hashes.length === met.length ? [hashes] : [])]
    const fits = (/** @type {Buffer[]} */ t, /** @type {{size: number, root: Buffer}} */ c) => t.length >= c.size && root(t.slice(0, c.size)).equals(c.root)
    const [tree, events] = [leaves, hashes].map((t) => t.length === said.size && fits(t, said))
    if (!tree && events && hashes.length === met.length) {
      for (const f of this.found.slice(before)) f.kind = 'tile' // the events are what was signed
    } else if (leaves.length < said.size) {
      this.add('cut', leaves.length, `the tree ends before the ${said.size} leaves that were signed`)
    } else if (!tree) {
      this.add('root', -1, 'the leaves have another root than the one that was signed')
    }
    for (const c of this.held) {
      if (c.size > 0 && !trees.some((t) => fits(t, c))) this.add('forked', -1, `the first ${c.size} leaves have another root than the checkpoint that was kept`)
    }
  }

  /** Walks along events and leaves, and names each that is out of its place. @param {boolean} growing */
  #walk(growing) {
    const { leaves, events } = this
    const places = new Map(leaves.map((hash, n) => [hash.toString('latin1'), n]))
    const place = (/** @type {Buffer | null} */ hash) => (hash === null ? undefined : places.get(hash.toString('latin1')))
    const there = new Set(events.map((e) => place(e.hash)))
    const passed = new Set()
    let [i, n] = [0, 0]
    while (i < events.length && n < leaves.length) {
      const e = events[i]
      const at = place(e.hash)
      if (at === n) {
        passed.add(n)
        i++, n++
      } else if ((at === undefined && there.has(n)) || passed.has(at)) {
        this.add('inserted', n, `before leaf ${n} stands ${e.name}, which was never recorded there`)
        i++
      } else if (at === undefined) {
        this.add('altered', n, `leaf ${n}, ${e.name}, is not what was recorded there`)
        i++, n++
      } else if (!there.has(n)) {
        this.add('dropped', n, `leaf ${n} is gone; it stood before ${e.name}`)
        n++
      } else {
        if (at > n) this.add('swapped', n, `in the place of leaf ${n} stands leaf ${at}`)
        passed.add(at)
        i++, n++
      }
    }
    if (n < leaves.length) this.add('cut', n, `leaves ${n} to ${leaves.length - 1} are gone`)
    for (; i < events.length && !growing; i++) this.add('inserted', leaves.length, `behind the last leaf stands ${events[i].name}`)
  }
}

/** @param {string} base64 */
const bytes = (base64) => Buffer.from(base64 ?? '', 'base64')

/** @param {{id: string, stream: string, revision: number, type: string, time: number, meta: string, clear?: string, sealed?: string}} e */
const decoded = (e) => ({ ...e, meta: bytes(e.meta), clear: bytes(e.clear ?? ''), sealed: bytes(e.sealed ?? '') })

/**
 * Verifies a bundle.
 *
 * @param {AsyncIterable<string>} lines
 * @param {{keys: Buffer[], held: string[]}} kept
 * @returns {Promise<Report>}
 */
async function verifyBundle(lines, kept) {
  let header, note, judge, ended
  const keys = []
  let last = -1
  for await (const text of lines) {
    let line
    try {
      line = JSON.parse(text)
    } catch {
      if (judge === undefined) throw new Error('this is no bundle')
      break // the rest was cut off
    }
    const [[member, value], ...more] = Object.entries(line)
    if (more.length > 0 || ended !== undefined || (header === undefined) !== (member === 'bundle')) throw new Error('this is no bundle')
    if (member === 'leaves' || member === 'event' || member === 'end') judge ??= new Judge(note ?? '', keys, kept)
    switch (member) {
      case 'bundle':
        if (value.format !== 'coffre-audit-bundle/1') throw new Error('this is no bundle')
        header = value
        break
      case 'key':
        keys.push(bytes(value.public))
        break
      case 'checkpoint':
        note = value
        break
      case 'eventType':
      case 'witnessed': // for those who ask for cosignatures
        break
      case 'leaves':
        if (value.first !== judge.leaves.length) throw new Error('a tile is out of its place')
        judge.leaves.push(...split(bytes(value.hashes)))
        break
      case 'event':
        if (value.leaf <= last || (header.whole && value.leaf !== last + 1)) judge.incomplete = `event ${last + 1} is missing`
        last = value.leaf
        judge.event({ ...decoded(value), proof: header.whole || !value.proof ? [] : split(bytes(value.proof)) })
        break
      case 'end':
        ended = value
        if (value.events !== judge.events.length) judge.incomplete = `there are ${judge.events.length} events of ${value.events}`
        break
      default:
        throw new Error('this is no bundle')
    }
  }
  if (judge === undefined) throw new Error('this is no bundle')
  if (judge.said.origin !== header.origin || judge.said.size !== header.size) throw new Error('this is no bundle')
  if (ended === undefined) judge.incomplete = 'the last line is missing'
  return judge.report(header.whole)
}

/**
 * The members of a JSON object, or the items of an array, each as it is written: clear facts are
 * hashed as they stand, and no parser gives back what it read byte for byte.
 *
 * @param {string} text valid JSON
 * @returns {Map<string | number, string>}
 */
export function written(text) {
  const parts = new Map()
  const isObject = text.startsWith('{')
  let [depth, from, key] = [0, 1, /** @type {string | number} */ (0)]
  const put = (/** @type {number} */ to) => {
    const part = text.slice(from, to).trim()
    if (part !== '') parts.set(isObject ? key : parts.size, part)
    from = to + 1
  }
  for (let i = 0; i < text.length; i++) {
    switch (text[i]) {
      case '"': {
        const start = i
        for (i++; text[i] !== '"'; i++) if (text[i] === '\\') i++
        if (depth === 1 && isObject && text.slice(from, start).trim() === '' && /^\s*:/.test(text.slice(i + 1, i + 9))) {
          key = JSON.parse(text.slice(start, i + 1))
          from = text.indexOf(':', i) + 1
        }
        break
      }
      case '{': case '[':
        depth++
        break
      case '}': case ']':
        if (--depth === 0) put(i)
        break
      case ',':
        if (depth === 1) put(i)
    }
  }
  return parts
}

/** The keys of the log in an answer of GET /vault/v1/signingKeys. @param {string} json @returns {Buffer[]} */
const logKeys = (json) => JSON.parse(json).keys.filter((/** @type {any} */ k) => k.purpose === 'log').map((/** @type {any} */ k) => bytes(k.publicKey))

/** Microseconds of a moment of RFC 3339 in UTC. @param {string} moment */
function micros(moment) {
  const [, seconds, fraction] = /^(.{19})(?:\.(\d{1,6}))?Z$/.exec(moment) ?? []
  return BigInt(Date.parse(`${seconds}Z`)) * 1000n + BigInt((fraction ?? '').padEnd(6, '0'))
}

/**
 * Verifies the log of a vault that is served. `proven` leaves, evenly spread, are asked a proof
 * of, too.
 *
 * @param {string} url without the path
 * @param {string} token an auditor's
 * @param {{keys: Buffer[], held: string[]}} kept
 * @param {number} proven
 * @returns {Promise<Report>}
 */
async function verifyURL(url, token, kept, proven = 20) {
  const ask = async (/** @type {string} */ path) => {
    const answer = await fetch(`${url}/vault/v1/${path}`, { headers: { authorization: `Bearer ${token}` }, redirect: 'error' })
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`)
    return answer
  }
  const note = await (await ask('log/checkpoint')).text()
  const judge = new Judge(note, logKeys(await (await ask('signingKeys')).text()), kept)
  const { size } = judge.said
  await tiles(judge, async (path) => Buffer.from(await (await ask(`log/${path}`)).arrayBuffer()))
  for (let after = ''; judge.events.length < size + ahead; ) {
    const text = await (await ask(`events?pageSize=1000${after}`)).text()
    const page = JSON.parse(text)
    const items = [...written(written(text).get('items') ?? '[]').values()]
    for (const [i, e] of page.items.entries()) {
      const clear = written(items[i]).get('facts') ?? ''
      judge.event({ leaf: judge.events.length, id: e.eventId, stream: e.stream, revision: e.revision, type: `${e.type}/${e.form}`, time: micros(e.recordedAt), meta: bytes(e.metadata), clear: Buffer.from(clear), sealed: bytes(e.sealed) })
    }
    if (page.nextCursor === undefined) break
    after = `&after=${encodeURIComponent(page.nextCursor)}`
  }
  const report = judge.report(true, true)
  for (let n = 0; n < size; n += Math.ceil(size / proven)) {
    const { hashes } = await (await ask(`log/proof/inclusion?leaf=${n}&size=${size}`)).json()
    if (!included(hashes.map(bytes), n, judge.leaves[n], size, judge.said.root)) judge.add('proof', n, `the proof of leaf ${n} does not lead to the root that was signed`)
  }
  for (const c of judge.held.filter((held) => held.size > 0 && held.size < size)) {
    const { hashes } = await (await ask(`log/proof/consistency?former=${c.size}&size=${size}`)).json()
    if (!consistent(hashes.map(bytes), c.size, c.root, size, judge.said.root)) judge.add('proof', -1, `no proof shows that the log begins with the ${c.size} leaves that were kept`)
  }
  return report
}

/**
 * Reads every tile, and compares those above the leaves with what is below them.
 *
 * @param {Judge} judge @param {(path: string) => Promise<Buffer>} read
 */
async function tiles(judge, read) {
  let below = /** @type {Buffer[]} */ ([])
  for (let level = 0, count = judge.said.size; count > 0; level++, count = Math.floor(count / 256)) {
    const hashes = []
    for (let n = 0; n * 256 < count; n++) {
      const width = Math.min(256, count - n * 256)
      const tile = split(await read(tilePath(level, n, width)))
      if (tile.length !== width) throw new Error(`a tile of ${tile.length} hashes, not ${width}`)
      hashes.push(...tile)
    }
    if (level === 0) judge.leaves = hashes
    else if (!hashes.every((h, i) => h.equals(root(below.slice(256 * i, 256 * i + 256))))) judge.add('tile', -1, `the tiles of level ${level} do not fit those below`)
    below = hashes
  }
}

/** The note in a text that is one, or a bundle. @param {string} text */
export function noteIn(text) {
  if (!text.startsWith('{')) return text
  const line = text.split('\n').find((l) => l.startsWith('{"checkpoint"'))
  return line === undefined ? '' : JSON.parse(line).checkpoint
}

async function main() {
  let positionals, values
  try {
    ({ positionals, values } = parseArgs({ allowPositionals: true, options: { key: { type: 'string' }, checkpoint: { type: 'string', multiple: true }, token: { type: 'string' } } }))
  } catch (e) {
    console.error(e instanceof Error ? e.message : e)
    return 2
  }
  const [place, ...more] = positionals
  if (place === undefined || more.length > 0) {
    console.error('node verify.mjs BUNDLE|URL [--key KEYS] [--checkpoint FILE] [--token FILE]')
    return 2
  }
  const text = (/** @type {string} */ name) => readFileSync(name, 'utf8')
  const kept = { keys: values.key ? logKeys(text(values.key)) : [], held: (values.checkpoint ?? []).map((name) => noteIn(text(name))) }
  const r = /^https?:/.test(place)
    ? await verifyURL(place.replace(/\/$/, ''), values.token ? text(values.token).trim() : '', kept)
    : await verifyBundle(createInterface({ input: createReadStream(place), crlfDelay: Infinity }), kept)
  console.log(JSON.stringify(r))
  return r.findings.length > 0 ? 3 : r.incomplete ? 4 : 0
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  process.exitCode = await main().catch((/** @type {Error} */ e) => {
    console.error(e.message)
    return 1
  })
}
