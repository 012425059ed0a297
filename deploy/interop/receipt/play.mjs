// Takes the receipts of a consent of the demo, in four languages and both standards. The record of
// ISO/IEC TS 27560 is expanded by a JSON-LD processor that may load nothing and may drop nothing;
// what comes out must be the IRIs of the Data Privacy Vocabulary that docs/receipts.md names.
// Signatures are verified with Node's own cryptography, from docs/receipts.md alone, and receipts
// that were changed must be refused by the command, with exit code 3.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash, createPublicKey, verify } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import jsonld from 'jsonld'

const run = promisify(execFile)
const coffre = (...args) => run(process.env.COFFRE, args, { maxBuffer: 1 << 26 })
const data = join(tmpdir(), 'data')
const documentLoader = async (url) => {
  throw new Error(`the context asks for ${url}`)
}
let passed = 0
const check = (ok, what) => {
  assert.ok(ok, what)
  passed++
}

await coffre('demo', '--data', data)
const keys = join(tmpdir(), 'keys.json')
await writeFile(keys, (await coffre('erase', 'keys', '--data', data, '--json')).stdout)
const logKeys = JSON.parse(await readFile(keys, 'utf8')).keys.filter((k) => k.purpose === 'log')

// A consent of somebody who is not erased: privacy officers find it in the register.
const register = join(tmpdir(), 'register.jsonl')
await coffre('export', 'register', '--data', data, '--reason', 'audit', '--format', 'jsonl', '--out', register)
const consents = (await readFile(register, 'utf8')).split('\n').filter(Boolean).map((l) => JSON.parse(l)).filter((c) => c.grantedAt && c.citizenRef)
check(consents.length > 0, 'the demo has consents')

const dpv = 'https://w3id.org/dpv#'
const gdpr = 'https://w3id.org/dpv/legal/eu/gdpr#'
const dct = 'http://purl.org/dc/terms/'
const be = 'https://w3id.org/dpv/loc#BE'
const one = (node, iri) => {
  assert.ok(node[iri]?.length >= 1, `${iri} is missing`)
  return node[iri][0]
}

async function taken(consent, format, lang) {
  const file = join(tmpdir(), `${consent}-${format}-${lang}`)
  await coffre('consents', 'receipt', consent, '--data', data, '--citizen', consent, '--officer', 'anna', '--format', format, '--lang', lang, '--out', file)
  return file
}

// holds verifies a receipt as docs/receipts.md says, with nothing of ours.
function holds(bytes) {
  const { signature, ...rest } = JSON.parse(bytes)
  const sorted = (v) => (Array.isArray(v) ? v.map(sorted) : v && typeof v === 'object' ? Object.fromEntries(Object.keys(v).sort().map((k) => [k, sorted(v[k])])) : v)
  const text = Buffer.from(`coffre consent receipt v1\n${JSON.stringify(sorted(rest))}\n`)
  const blob = Buffer.from(signature.split(' ')[2], 'base64')
  return logKeys.some((k) => verify(null, text, createPublicKey({ key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), Buffer.from(k.publicKey, 'base64')]), format: 'der', type: 'spki' }), blob.subarray(4)))
}

// included follows the proof from the leaf to the root of the checkpoint (RFC 9162, 2.1.3.2).
function included({ leaf, size, leafHash, hashes, checkpoint }) {
  const node = (a, b) => createHash('sha256').update(Buffer.concat([Buffer.from([1]), a, b])).digest()
  let [fn, sn, r] = [leaf, size - 1, Buffer.from(leafHash, 'base64')]
  for (const h of hashes.map((h) => Buffer.from(h, 'base64'))) {
    if (fn % 2 === 1 || fn === sn) {
      r = node(h, r)
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)]
    } else r = node(r, h)
    ;[fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)]
  }
  const lines = checkpoint.split('\n')
  return sn === 0 && Number(lines[1]) === size && lines[2] === r.toString('base64')
}

const said = new Set()
for (const { consentId, purpose, consumer, consentState: state } of consents) {
  for (const lang of ['nl', 'fr', 'de', 'en']) {
    const file = await taken(consentId, 'iso27560', lang)
    const bytes = await readFile(file, 'utf8')
    const doc = JSON.parse(bytes)
    check(holds(bytes), 'the signature holds')
    check(included(doc.inLog), 'the grant is in the log')
    const [receipt, ...more] = await jsonld.expand(doc, { documentLoader, safe: true })
    check(more.length === 0 && receipt['@type'][0] === dpv + 'ConsentReceipt', 'one receipt')
    check(one(receipt, dct + 'conformsTo')['@id'] === 'https://w3id.org/dpv/schema/dpv-27560#receipt', 'it conforms to the receipt of the guide')
    const record = one(receipt, dpv + 'hasRecordOfActivity')
    check(record['@type'][0] === dpv + 'ConsentRecord' && one(record, dct + 'identifier')['@value'] === consentId, 'of the record')
    check(one(record, dpv + 'hasDataSubject')['@type'][0] === dpv + 'DataSubject', 'a data subject')
    const controller = one(record, dpv + 'hasDataController')
    check(controller['@type'][0] === dpv + 'DataController' && one(controller, dct + 'identifier')['@value'] === consumer, 'a controller')
    check(one(record, dpv + 'hasLegalBasis')['@id'] === gdpr + 'A6-1-a' && one(record, dpv + 'hasApplicableLaw')['@id'] === gdpr + 'GDPR', 'a legal basis')
    check(one(record, dpv + 'hasJurisdiction')['@id'] === be, 'a jurisdiction')
    check(one(record, dpv + 'hasNotice')['@type'][0] === dpv + 'ConsentNotice', 'a notice')
    const terms = { granted: ['ConsentGiven', 'RenewedConsentGiven'], withdrawn: ['ConsentWithdrawn', 'ConsentRevoked'], expired: ['ConsentExpired'], exhausted: ['ConsentExpired'] }
    check(terms[state].some((s) => one(record, dpv + 'hasConsentStatus')['@id'] === dpv + s), `the state ${state}`)
    for (const step of record[dct + 'hasPart']) check(one(step, dpv + 'hasConsentStatus')['@id'].startsWith(dpv + 'Consent') || one(step, dpv + 'hasConsentStatus')['@id'] === dpv + 'RenewedConsentGiven', 'a step')
    check(record[dpv + 'hasRight'].map((r) => r['@id']).join() === ['A15', 'A16', 'A17', 'A18', 'A7-3', 'A77'].map((a) => gdpr + a).join(), 'the rights')
    check(one(record, dpv + 'hasAuthority')['@type'][0] === dpv + 'DataProtectionAuthority', 'an authority')
    check(one(record, dpv + 'hasConsentControl')['@type'][0] === dpv + 'WithdrawConsent', 'how it is withdrawn')
    const process = one(record, dpv + 'hasProcess')
    check(one(process, dpv + 'hasPurpose')['@id'] === 'urn:coffre:purpose:' + purpose, 'a purpose')
    check(process[dpv + 'hasPersonalData'].every((d) => [dpv + 'PersonalData', dpv + 'SpecialCategoryPersonalData'].includes(d['@type'][0])), 'data')
    check(one(process, dpv + 'hasRecipientThirdParty')['@id'] === dpv + 'NotApplicable', 'no third party')
    check(process[dpv + 'hasStorageCondition'].some((c) => c['@type'].includes(dpv + 'StorageLocation')) && process[dpv + 'hasStorageCondition'].some((c) => c['@type'].includes(dpv + 'StorageDuration')), 'where and how long')
    const collected = one(process, dpv + 'hasIndicationMethod')
    check(collected['@language'] === lang, 'its language')
    said.add(collected['@value'])
    const quads = await jsonld.toRDF(doc, { documentLoader, safe: true, format: 'application/n-quads' })
    check(quads.includes(`<${dpv}ConsentRecord>`) && !quads.includes('<undefined'), 'RDF')

    const kantara = await readFile(await taken(consentId, 'kantara', lang), 'utf8')
    check(holds(kantara) && included(JSON.parse(kantara).inLog) && JSON.parse(kantara).language === lang, 'Kantara holds, too')

    const { stdout } = await coffre('consents', 'receipt', 'verify', file, '--key', keys, '--json')
    check(JSON.parse(stdout).holds === true, 'the command says so')
    const at = Math.floor(bytes.length / 3)
    await writeFile(file, bytes.slice(0, at) + String.fromCharCode(bytes.charCodeAt(at) ^ 1) + bytes.slice(at + 1))
    await assert.rejects(coffre('consents', 'receipt', 'verify', file, '--key', keys), (e) => e.code === 3)
    passed++
  }
}
check(said.size === 4, 'four languages')
console.log(`receipts: ${passed} checks`)
