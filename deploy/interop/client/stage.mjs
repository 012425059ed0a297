// One vault from beginning to end for a client in another language: starts it, lays the
// contract that it publishes into the working directory as openapi.yaml, mints the tokens of
// the story, and runs the command of the arguments with all of them in its environment. The
// people are made up, numbers included.
import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { serve } from './vault.mjs'

/** A number with right check digits and a month that nobody was born in. */
function madeUpNumber() {
  const n = (70 + randomInt(20)) * 10_000_000 + (13 + randomInt(7)) * 100_000 + (1 + randomInt(28)) * 1_000 + 1 + randomInt(997)
  return String(n).padStart(9, '0') + String(97 - (n % 97)).padStart(2, '0')
}

const [command, ...args] = process.argv.slice(2)
if (!command) throw new Error('no command to run')
const vault = await serve()
try {
  const published = await fetch(`${vault.url}/vault/v1/doc/openapi.yaml`)
  if (!published.ok) throw new Error(`the contract: ${published.status}`)
  await writeFile('openapi.yaml', await published.text())
  const ssin = madeUpNumber()
  const env = {
    ...process.env,
    VAULT_URL: `${vault.url}/vault/v1`,
    SSIN: ssin,
    ISSUER: await vault.token({ role: 'issuer', org: '0308356862' }), // Home Affairs: household compositions
    BY_LAW: await vault.token({ role: 'consumer', org: '0316380841' }), // Flanders: school allowances, by law
    BY_CONSENT: await vault.token({ role: 'consumer', org: '0203430576' }), // railways: family discounts, by consent
    CITIZEN: await vault.token({ role: 'citizen', ssin }),
  }
  const code = await new Promise((resolve, reject) => {
    const child = spawn(command, args, { env, stdio: 'inherit' })
    child.once('error', reject)
    child.once('exit', (status, signal) => resolve(signal ?? status))
  })
  if (code !== 0) throw new Error(`${command} ended with ${code}`)
  if (vault.log().includes(ssin)) throw new Error('the server’s log holds the number')
} finally {
  await vault.stop()
}
