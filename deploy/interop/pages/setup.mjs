// A vault that the demo has filled, served to a real Chromium, and what somebody does there.
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import puppeteer from 'puppeteer-core'

export const run = promisify(execFile)
export const data = join(tmpdir(), 'data')
export const tally = { passed: 0, failed: [] }
export const check = (ok, what) => {
  if (ok) tally.passed++
  else tally.failed.push(what)
}

const told = (await run(process.env.COFFRE, ['demo', '--data', data], { maxBuffer: 1 << 26 })).stdout
export const numbers = told.slice(told.lastIndexOf('/signin')).match(/\b\d{11}\b/g)
assert.ok(numbers?.length >= 2, 'the demo tells numbers to sign in with')

export const server = spawn(process.env.COFFRE, ['serve', '--dev', '--data', data, '--listen', '127.0.0.1:0', '--ops-listen', ''], { stdio: ['ignore', 'pipe', 'pipe'] })
process.once('exit', () => server.kill('SIGKILL'))
export const served = await new Promise((resolve, reject) => {
  let text = ''
  const read = (chunk) => {
    text += chunk
    const found = text.match(/http:\/\/127\.0\.0\.1:\d+/)
    if (found) resolve(found[0])
  }
  server.stdout.on('data', read)
  server.stderr.on('data', read)
  server.on('exit', (code) => reject(new Error(`coffre serve ended with ${code}: ${text}`)))
})
for (let ready = false; !ready; ) ready = (await fetch(served + '/readyz').catch(() => ({}))).status === 200

export const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox', '--disable-dev-shm-usage'], env: { ...process.env, HOME: tmpdir() } })

// visitor is somebody with a browser of their own, who is asked for nothing by other hosts.
export async function visitor({ script = true, width = 360, scheme = 'light' } = {}) {
  const context = await browser.createBrowserContext()
  const page = await context.newPage()
  await page.setBypassCSP(script) // for axe alone; without script nothing is injected
  await page.setJavaScriptEnabled(script)
  await page.setViewport({ width, height: 640, deviceScaleFactor: 1 })
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }])
  // A date field's icon is the browser's own, and no host is asked for it.
  page.on('request', (r) => assert.ok(r.url().startsWith(served + '/') || r.url().startsWith('data:'), `a page asks ${r.url()}`))
  page.on('pageerror', (e) => assert.fail(`a page has an error: ${e}`))
  return { context, page }
}

export async function go(page, path, ...statuses) {
  if (!statuses.length) statuses = [200]
  const answer = await page.goto(served + path)
  check(statuses.includes(answer.status()), `${path}: ${answer.status()}`)
  return answer
}

export async function signIn(page, number) {
  await go(page, '/signin')
  await page.type('#number', number)
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')])
  check(new URL(page.url()).pathname === '/wallet', `signed in at ${page.url()}`)
}

export async function signInAs(page, name, home) {
  await go(page, '/signin')
  await Promise.all([page.waitForNavigation(), page.click(`button[value=${name}]`)])
  check(new URL(page.url()).pathname === home, `${name} is at ${page.url()}`)
}

// caller is an organisation that asks the API with a token of its own.
export async function caller(role, organisation) {
  const bearer = (await run(process.env.COFFRE, ['token', '--data', data, '--role', role, '--org', organisation])).stdout.trim()
  return async (method, path, body) => {
    const answer = await fetch(served + '/vault/v1' + path, { method, body: body && JSON.stringify(body), headers: { Authorization: `Bearer ${bearer}`, 'Content-Type': 'application/json', ...(method === 'POST' && { 'Idempotency-Key': randomUUID() }) } })
    return { status: answer.status, at: answer.headers.get('Coffre-Position'), body: await answer.json() }
  }
}

// together does something for each of n numbers, some at a time.
export async function together(n, some, act) {
  let next = 0
  await Promise.all(Array.from({ length: some }, async () => { while (next < n) await act(next++) }))
}

// invented is the national number of a person whom nobody is: born on 1 March 1980, the n-th of it.
export function invented(n) {
  const nine = 800301000 + n
  return String(nine) + String(97 - (nine % 97)).padStart(2, '0')
}

// leave ends the browser and the vault, which ends as it should.
export async function leave() {
  await browser.close()
  server.removeAllListeners('exit')
  const gone = new Promise((resolve) => server.on('exit', resolve))
  server.kill('SIGTERM')
  check((await gone) === 0, 'the vault ended as it should')
}
