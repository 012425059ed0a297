// Serves a vault whose checkpoints a witness that is not ours cosigns, and then a copy of it with
// another history under the same key, which that witness must refuse. The argument is the witness
// to run: it is called, and answers, as main.go.
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { cp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { serve, until } from './vault.mjs'

const homeAffairs = '0308356862'
const person = '70130100175' // nobody's: there is no month 13
const name = 'witness.example/foreign'

/** @param {string[]} args @returns {Promise<{code: number, out: string, err: string}>} */
const coffre = (...args) => new Promise((resolve) => {
  execFile(/** @type {string} */ (process.env.COFFRE), args, { maxBuffer: 1 << 26 }, (e, out, err) => resolve({ code: Number(e?.code ?? 0), out, err }))
})

/** Issues documents into a vault. @param {import('./vault.mjs').Vault} vault @param {string} what @param {number} count */
async function issue(vault, what, count) {
  const token = await vault.token({ role: 'issuer', org: homeAffairs })
  for (let n = 0; n < count; n++) {
    const answer = await fetch(`${vault.url}/vault/v1/documents`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'idempotency-key': randomUUID() },
      body: JSON.stringify({
        ssin: person, documentType: 'householdComposition', sourceReference: `${what} ${n}`, validFrom: '2025-01-01',
        content: { asOf: '2025-01-01', householdSize: 1, members: [], address: { postalCode: '9999', municipality: 'Nergenshuizen' } },
      }),
    })
    assert.equal(answer.status, 201)
  }
}

/** The last checkpoint, or the last one with enough cosignatures. @param {import('./vault.mjs').Vault} vault */
async function checkpoint(vault, which = '') {
  const token = await vault.token({ role: 'auditor' })
  const answer = await fetch(`${vault.url}/vault/v1/log/checkpoint${which}`, { headers: { authorization: `Bearer ${token}` } })
  const note = answer.ok ? await answer.text() : ''
  return { note, size: Number(note.split('\n')[1] ?? 0) }
}

/** What operators see at a path. @param {import('./vault.mjs').Vault} vault @param {string} path */
async function operators(vault, path) {
  const at = /(http:\/\/127\.0\.0\.1:\d+)\/metrics/.exec(vault.log())
  assert.ok(at, vault.log())
  return (await fetch(at[1] + path)).text()
}

/** Serves a directory whose checkpoints the witness is asked to cosign. @param {string} data */
const watched = (data) => serve(['--witness-policy', policy, '--ops-listen', '127.0.0.1:0'], undefined, data)

/** Verifies a directory as an auditor does who trusts the policy. @param {string} dir */
async function verified(dir) {
  const { code, out, err } = await coffre('audit', 'verify', dir, '--witness-policy', policy, '--json')
  assert.ok(code === 0 || code === 4, `audit verify ends with ${code}: ${err}`)
  return { code, report: JSON.parse(out) }
}

const policy = join(tmpdir(), 'witness.policy')
const first = await serve()
await issue(first, 'before', 3)
await first.stop()
const key = (await coffre('audit', 'keys', '--data', first.data)).out.trim()

const child = spawn(process.argv[2], [name, key], { stdio: ['pipe', 'pipe', 'inherit'] })
try {
  const said = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const [witness, url] = [(await said.next()).value, (await said.next()).value]
  await writeFile(policy, `log ${key}\nwitness foreign ${witness} ${url}\nquorum foreign\n`)
  const fork = join(tmpdir(), 'fork')
  await cp(first.data, fork, { recursive: true })

  // It cosigns what the log shows, and goes on when the log grows and when the vault starts again.
  let cosigned = 0
  for (const what of ['first', 'second']) {
    const vault = await watched(first.data)
    try {
      for (const more of ['a', 'b']) {
        await issue(vault, `${what} ${more}`, 4)
        const { size } = await until('the log has grown', () => checkpoint(vault), (c) => c.size >= cosigned + 4)
        const seen = await until('the witness cosigns', () => checkpoint(vault, '?which=witnessed'), (c) => c.size >= size)
        assert.match(seen.note, new RegExp(`\n\u2014 ${name} `))
        cosigned = seen.size
      }
      assert.match(await operators(vault, '/readyz'), /foreign cosigns/)
      assert.doesNotMatch(await operators(vault, '/metrics'), /coffre_witness_trouble\{/)
    } finally {
      await vault.stop()
    }
  }
  const whole = await verified(first.data)
  assert.equal(whole.code, 0)
  assert.equal(whole.report.wrong, 0)
  assert.ok(whole.report.cosigned.some((/** @type {any} */ c) => c.witness === 'foreign' && c.name === name))

  // It refuses another history of the log, under the log's own key, and the vault says so.
  const other = await watched(fork)
  try {
    await issue(other, 'other', 40)
    assert.ok((await until('the fork has grown', () => checkpoint(other), (c) => c.size > cosigned)).size > cosigned)
    await until('the vault of the fork is told', () => operators(other, '/metrics'), (m) => m.includes('coffre_witness_trouble{trouble="disagrees",witness="foreign"} 1'))
    assert.doesNotMatch((await checkpoint(other)).note, new RegExp(name))
    assert.equal((await checkpoint(other, '?which=witnessed')).size, 0)
  } finally {
    await other.stop()
  }
  const lacking = await verified(fork)
  assert.equal(lacking.code, 4)
  assert.deepEqual(lacking.report.cosigned ?? [], [])
} finally {
  child.kill()
}
console.log('the witness cosigned one history and refused the other')
