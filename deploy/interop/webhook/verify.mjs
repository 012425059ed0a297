// Runs the verification code of docs/webhooks.md for Python, JavaScript and Java, as it stands on
// the page, over deliveries that npm's standardwebhooks signed and over Ed25519 ones.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { generateKeyPairSync, randomBytes, randomUUID, sign } from 'node:crypto'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Webhook } from 'standardwebhooks'

const page = readFileSync(process.env.PAGE, 'utf8')
const dir = mkdtempSync(join(tmpdir(), 'verify-'))
/** @param {string} language */
const shown = (language) => {
  const found = page.match(new RegExp('```' + language + '\\n([\\s\\S]*?)```'))
  assert.ok(found, `the page has no ${language}`)
  return found[1]
}

// One delivery under each kind of key, and the same with something wrong.
const now = Math.floor(Date.now() / 1000)
const body = JSON.stringify({ specversion: '1.0', id: randomUUID(), type: 'be.coffre.vault.v1.documents.notify.revoked' })
const id = randomUUID()
const secret = `whsec_${randomBytes(32).toString('base64')}`
const pair = generateKeyPairSync('ed25519')
const publicKey = `whpk_${pair.publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64')}`
const byHMAC = new Webhook(secret).sign(id, new Date(now * 1000), body)
const byEd25519 = `v1a,${sign(null, Buffer.from(`${id}.${now}.${body}`), pair.privateKey).toString('base64')}`
const cases = []
for (const [key, signature, other] of [[secret, byHMAC, `whsec_${randomBytes(32).toString('base64')}`], [publicKey, byEd25519, `whpk_${generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64')}`]]) {
  const headers = { 'webhook-id': id, 'webhook-timestamp': String(now), 'webhook-signature': `v1,${randomBytes(32).toString('base64')} ${signature}` }
  cases.push({ key, headers, body, now, fits: true })
  cases.push({ key: other, headers, body, now, fits: false })
  cases.push({ key, headers, body: body + ' ', now, fits: false })
  cases.push({ key, headers, body, now: now + 301, fits: false })
  cases.push({ key, headers, body, now: now - 301, fits: false })
  cases.push({ key, headers: { ...headers, 'webhook-id': randomUUID() }, body, now, fits: false })
  cases.push({ key, headers: { 'webhook-id': id }, body, now, fits: false })
}

/** @param {string} language @param {(c: object) => Promise<boolean> | boolean} verify */
async function judge(language, verify) {
  for (const [i, c] of cases.entries()) {
    assert.equal(await verify(c), c.fits, `${language}, case ${i}`)
  }
  console.log(`${language}: ${cases.length} cases`)
}

const script = join(dir, 'verify.mjs')
writeFileSync(script, shown('javascript'))
const { verify } = await import(pathToFileURL(script).href)
await judge('JavaScript', (c) => verify(c.key, c.headers, Buffer.from(c.body), c.now))

writeFileSync(join(dir, 'verify.py'), `${shown('python')}
import json, sys
c = json.load(sys.stdin)
print(verify(c["key"], c["headers"], c["body"].encode(), c["now"]))
`)
await judge('Python', (c) => execFileSync('python3', [join(dir, 'verify.py')], { input: JSON.stringify(c) }).toString().trim() === 'True')

writeFileSync(join(dir, 'Verify.java'), shown('java'))
writeFileSync(join(dir, 'Main.java'), `import java.util.*;
public class Main {
  public static void main(String[] a) throws Exception {
    var headers = new HashMap<String, String>();
    for (int i = 3; i + 1 < a.length; i += 2) headers.put(a[i], a[i + 1]);
    System.out.println(Verify.verify(a[0], headers, a[1].getBytes("UTF-8"), Long.parseLong(a[2])));
  }
}
`)
execFileSync('javac', ['-d', dir, join(dir, 'Verify.java'), join(dir, 'Main.java')])
await judge('Java', (c) => execFileSync('java', ['-cp', dir, 'Main', c.key, c.body, String(c.now), ...Object.entries(c.headers).flat()]).toString().trim() === 'true')
