// Starts a Coffre of its own for one run, on a free port and in a new directory under
// TMPDIR, and mints the tokens it trusts. Nothing here knows what the API says.
import { execFile, spawn } from 'node:child_process'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'

/** How long a server may take to begin or to end, in milliseconds. */
const patience = 60_000

/**
 * Asks again until the answer is good, at most `times` times.
 *
 * @template T
 * @param {string} what for the error
 * @param {() => Promise<T>} ask
 * @param {(answer: T) => boolean} good
 * @returns {Promise<T>} the first good answer
 */
export async function until(what, ask, good, times = 100) {
  for (let i = 0; i < times; i++) {
    const answer = await ask()
    if (good(answer)) return answer
    await pause(100)
  }
  throw new Error(`${what}: not so after ${times} questions`)
}

/**
 * @typedef {object} Who whom a token is for
 * @property {'issuer'|'consumer'|'citizen'|'auditor'|'privacyOfficer'|'operator'} role
 * @property {string} [org] enterprise number of an issuer or consumer
 * @property {string} [ssin] number of a citizen; goes by standard input, never as an argument
 */

/**
 * @typedef {object} Vault
 * @property {string} url where it listens
 * @property {string} data its data directory
 * @property {(who: Who) => Promise<string>} token mints a bearer token
 * @property {() => string} log what it said so far
 * @property {() => Promise<void>} stop ends it, checks that it left in order
 */

/**
 * Serves until `stop`. The program comes from COFFRE, a path.
 *
 * @param {string[]} more further arguments of `coffre serve`
 * @param {string[]} vouching arguments that say who vouches for callers; without them its own tokens do
 * @param {string} [at] a data directory that is there; without it a new one
 * @returns {Promise<Vault>}
 */
export async function serve(more = [], vouching = ['--dev'], at) {
  const program = process.env.COFFRE
  if (!program) throw new Error('COFFRE names no program')
  const data = at ?? await mkdtemp(join(tmpdir(), 'coffre-interop-'))
  const child = spawn(program, ['serve', ...vouching, '--listen', '127.0.0.1:0', '--data', data, ...more], { stdio: ['ignore', 'ignore', 'pipe'] })
  const kill = () => void child.kill('SIGKILL')
  process.once('exit', kill)
  /** @type {Promise<number | string | null>} */
  const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal ?? code)))
  /** @type {string[]} */
  const said = []
  const lines = createInterface({ input: child.stderr })
  try {
    const url = await new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error('coffre serve says no address')), patience)
      child.once('error', reject)
      lines.on('line', (line) => {
        said.push(line)
        const address = /Coffre serves (http:\/\/127\.0\.0\.1:\d+)/.exec(line)
        if (address) {
          clearTimeout(late)
          resolve(address[1])
        }
      })
      void ended.then((how) => reject(new Error(`coffre serve ended (${how}):\n${said.join('\n')}`)))
    })
    await until('the vault is ready', () => fetch(`${url}/readyz`).then((r) => r.ok, () => false), (ready) => ready)
    return {
      url,
      data,
      log: () => said.join('\n'),
      token: (who) => mint(program, data, who),
      stop: async () => {
        child.kill('SIGTERM')
        const late = setTimeout(kill, patience)
        const how = await ended
        clearTimeout(late)
        process.off('exit', kill)
        if (how !== 0) throw new Error(`coffre serve ended with ${how}:\n${said.join('\n')}`)
      },
    }
  } catch (e) {
    kill()
    await ended
    throw e
  }
}

/**
 * @param {string} program
 * @param {string} data
 * @param {Who} who
 * @returns {Promise<string>}
 */
function mint(program, data, who) {
  const args = ['token', '--data', data, '--role', who.role]
  if (who.org) args.push('--org', who.org)
  if (who.ssin) args.push('--ssin-file', '-')
  return new Promise((resolve, reject) => {
    const child = execFile(program, args, (err, out) => (err ? reject(err) : resolve(out.trim())))
    child.stdin?.end(who.ssin ?? '')
  })
}
