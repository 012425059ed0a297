// The bytes of the log, its tree and its checkpoints, as docs/log-format.md, RFC 6962 and the
// C2SP specifications signed-note, tlog-checkpoint and tlog-tiles have them.
import { createHash, createPublicKey, verify } from 'node:crypto'

/** @param {...Uint8Array} parts @returns {Buffer} */
export const sha256 = (...parts) => parts.reduce((h, p) => h.update(p), createHash('sha256')).digest()

const zero = Buffer.of(0)
const one = Buffer.of(1)
/** @param {Buffer} left @param {Buffer} right */
const node = (left, right) => sha256(one, left, right)

/** @param {number | bigint} n @param {2 | 8} width bytes */
function bigEndian(n, width) {
  const b = Buffer.alloc(8)
  b.writeBigUInt64BE(BigInt(n))
  if (BigInt(n) >= 1n << BigInt(8 * width)) throw new RangeError('too large')
  return b.subarray(8 - width)
}

/**
 * @typedef {object} Entry what a leaf is made of
 * @property {string} id UUID
 * @property {string} stream
 * @property {number} revision
 * @property {string} type with its form
 * @property {number | bigint} time microseconds
 * @property {Buffer} meta
 * @property {Buffer} clear
 * @property {Buffer} sealed
 */

/** The hash of an entry as a leaf; null when no log can hold such an entry. @param {Entry} e */
export function leafHash(e) {
  const id = Buffer.from(e.id.replaceAll('-', ''), 'hex')
  const named = (/** @type {string} */ s) => [bigEndian(Buffer.byteLength(s), 2), Buffer.from(s)]
  try {
    if (id.length !== 16) return null
    return sha256(zero, one, id, ...named(e.stream), bigEndian(e.revision, 8), ...named(e.type), bigEndian(e.time, 8), sha256(e.meta), sha256(e.clear), sha256(e.sealed))
  } catch (cause) {
    if (cause instanceof RangeError || cause instanceof SyntaxError || cause instanceof TypeError) return null
    throw cause
  }
}

/** The hashes of a tile. @param {Buffer} bytes @returns {Buffer[]} */
export function split(bytes) {
  if (bytes.length === 0 || bytes.length % 32 !== 0) throw new Error('hashes are 32 bytes long')
  return Array.from({ length: bytes.length / 32 }, (_, i) => bytes.subarray(32 * i, 32 * i + 32))
}

/** A tree that leaves are appended to; it keeps its right edge only. */
export class Tree {
  size = 0
  /** @type {Buffer[]} roots of perfect subtrees, the largest first */
  #edge = []

  /** @param {Buffer} leaf */
  append(leaf) {
    this.#edge.push(leaf)
    for (let n = this.size; n % 2 === 1; n = (n - 1) / 2) {
      const [left, right] = this.#edge.splice(-2)
      this.#edge.push(node(left, right))
    }
    this.size++
  }

  get root() {
    return this.#edge.length === 0 ? sha256() : this.#edge.reduceRight((right, left) => node(left, right))
  }
}

/** The root over hashes. @param {Buffer[]} leaves */
export function root(leaves) {
  const t = new Tree()
  for (const leaf of leaves) t.append(leaf)
  return t.root
}

/**
 * Whether a proof leads from a leaf to the root of the first `size` leaves (RFC 6962 section 2.1.1).
 *
 * @param {Buffer[]} proof @param {number} leaf @param {Buffer | null} hash @param {number} size @param {Buffer} want
 */
export function included(proof, leaf, hash, size, want) {
  if (hash === null || !(leaf >= 0 && leaf < size)) return false
  const path = [...proof]
  let [at, last, so] = [leaf, size - 1, hash]
  for (; last > 0; at = Math.floor(at / 2), last = Math.floor(last / 2)) {
    if (at % 2 === 0 && at === last) continue // nothing stands right of it on this level
    const beside = path.shift()
    if (beside === undefined) return false
    so = at % 2 === 1 ? node(beside, so) : node(so, beside)
  }
  return path.length === 0 && so.equals(want)
}

/**
 * Whether a proof shows that the log of `size` leaves begins with that of `former` (RFC 6962
 * section 2.1.2; steps as in RFC 9162 section 2.1.4.2).
 *
 * @param {Buffer[]} proof @param {number} former @param {Buffer} formerRoot @param {number} size @param {Buffer} want
 */
export function consistent(proof, former, formerRoot, size, want) {
  if (former === size) return proof.length === 0 && formerRoot.equals(want)
  if (former < 1 || former > size) return false
  const path = [...proof]
  if (Number.isInteger(Math.log2(former))) path.unshift(formerRoot)
  let [at, last] = [former - 1, size - 1]
  const up = () => { at = Math.floor(at / 2); last = Math.floor(last / 2) }
  while (at % 2 === 1) up()
  const first = path.shift()
  if (first === undefined) return false
  let [old, now] = [first, first]
  for (const beside of path) {
    if (last === 0) return false
    if (at % 2 === 1 || at === last) {
      old = node(beside, old)
      now = node(beside, now)
      while (at % 2 === 0 && at !== 0) up()
    } else {
      now = node(now, beside)
    }
    up()
  }
  return last === 0 && old.equals(formerRoot) && now.equals(want)
}

/** The path of a tile behind the log's prefix (C2SP tlog-tiles). @param {number} level @param {number} n @param {number} width */
export function tilePath(level, n, width) {
  const digits = String(n).padStart(Math.ceil(String(n).length / 3) * 3, '0').match(/\d{3}/g) ?? []
  const name = digits.map((part, i) => (i < digits.length - 1 ? `x${part}` : part)).join('/')
  return `tile/${level}/${name}${width < 256 ? `.p/${width}` : ''}`
}

const originForm = /^coffre\/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(\/[1-9]\d*)?$/
const timeForm = /^time (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{6})Z$/

/** Base64 of exactly one spelling. @param {string} text @returns {Buffer | null} */
function unbase64(text) {
  const b = Buffer.from(text, 'base64')
  return b.toString('base64') === text ? b : null
}

/**
 * @typedef {object} Checkpoint
 * @property {string} origin
 * @property {number} size
 * @property {Buffer} root
 * @property {bigint} time microseconds
 * @property {(key: Buffer) => boolean} signedBy whether a public key of 32 bytes signed it as the log
 */

/** @param {string} signed @returns {Checkpoint | null} null: it is none */
export function checkpoint(signed) {
  const end = signed.lastIndexOf('\n\n')
  if (end < 0 || !signed.endsWith('\n')) return null
  const text = signed.slice(0, end + 1)
  const [origin, decimal, base64, moment, ...rest] = text.split('\n')
  const at = timeForm.exec(moment ?? '')
  const tree = unbase64(base64 ?? '')
  const size = Number(decimal)
  if (!originForm.test(origin) || !Number.isSafeInteger(size) || String(size) !== decimal || tree?.length !== 32 || !at || rest.length !== 1 || rest[0] !== '') return null
  const seconds = Date.parse(`${at[1]}Z`)
  if (Number.isNaN(seconds) || new Date(seconds).toISOString() !== `${at[1]}.000Z`) return null
  /** @type {{name: string, blob: Buffer}[]} */
  const signatures = []
  for (const line of signed.slice(end + 2, -1).split('\n')) {
    const [, name, base] = /^— (\S+) (\S+)$/.exec(line) ?? []
    const blob = unbase64(base ?? '')
    if (name === undefined || blob === null || blob.length < 5) return null
    signatures.push({ name, blob })
  }
  return {
    origin, size, root: tree, time: BigInt(seconds) * 1000n + BigInt(at[2]),
    signedBy(key) {
      const number = sha256(Buffer.from(`${origin}\n`), one, key).subarray(0, 4)
      const by = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: key.toString('base64url') }, format: 'jwk' })
      return signatures.some((s) => s.name === origin && s.blob.length === 68 && s.blob.subarray(0, 4).equals(number) && verify(null, Buffer.from(text), by, s.blob.subarray(4)))
    },
  }
}
