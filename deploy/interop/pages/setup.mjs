// A vault that the demo has filled, served to a real Chromium, and what somebody does there.
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
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
const names = told.slice(told.lastIndexOf('/signin')).match(/\p{Lu}\p{Ll}+/gu)
assert.ok(names?.length >= 4, 'the demo tells names')
// seen is every address that was asked for and every title that was shown, said what the server says.
const seen = new Set()
let said = ''

export const server = spawn(process.env.COFFRE, ['serve', '--dev', '--data', data, '--listen', '127.0.0.1:0', '--ops-listen', ''], { stdio: ['ignore', 'pipe', 'pipe'] })
process.once('exit', () => server.kill('SIGKILL'))
export const served = await new Promise((resolve, reject) => {
  let text = ''
  const read = (chunk) => {
    text += chunk
    said += chunk
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
  await page.emulateFocusedPage(true) // also while another page is in front
  await page.setJavaScriptEnabled(script)
  await page.setViewport({ width, height: 640, deviceScaleFactor: 1 })
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }])
  // A date field's icon is the browser's own, and no host is asked for it.
  page.on('request', (r) => assert.ok(r.url().startsWith(served + '/') || r.url().startsWith('data:'), `a page asks ${r.url()}`))
  page.on('request', (r) => seen.add(decodeURIComponent(r.url())))
  page.on('pageerror', (e) => assert.fail(`a page has an error: ${e}`))
  return { context, page }
}

export async function go(page, path, ...statuses) {
  if (!statuses.length) statuses = [200]
  const answer = await page.goto(served + path)
  check(statuses.includes(answer.status()), `${path}: ${answer.status()}`)
  seen.add(await page.title())
  return answer
}

// until loads a page again and again until something holds of it, and returns whether it did within
// two minutes: what follows from an act may come later. shows has it tell something.
export async function until(page, path, holds) {
  for (const end = Date.now() + 120_000; Date.now() < end; await new Promise((resume) => setTimeout(resume, 100))) {
    await go(page, path)
    if (await holds()) return true
  }
  return false
}
export const shows = (page, path, text) => until(page, path, async () => (await page.$eval('main', (e) => e.textContent)).includes(text))

// tabTo goes by the Tab key to what a selector names, and sees the focus all the way.
export async function tabTo(page, wanted) {
  for (let n = 0; n < 200; n++) {
    await page.keyboard.press('Tab')
    const now = await page.evaluate((s) => {
      const e = document.activeElement
      const style = getComputedStyle(e)
      const box = e.getBoundingClientRect()
      return { name: e.id || e.textContent.trim(), tag: e.tagName, ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2, inside: box.left >= 0 && box.right <= window.innerWidth, there: e.matches(s) }
    }, wanted)
    if (now.tag !== 'BODY') check(now.ring && now.inside, `the focus on ${now.name} is not seen`)
    if (now.there) return
  }
  assert.fail(`no key leads to ${wanted}`)
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
const everyInvented = new Set()
export function invented(n) {
  const nine = 800301000 + n
  const number = String(nine) + String(97 - (nine % 97)).padStart(2, '0')
  everyInvented.add(number)
  return number
}

// fetched is a file that a page leads to, as the browser's person gets it, at a path of this machine.
export async function fetched(page, path, file) {
  const cookie = (await page.cookies()).map((c) => `${c.name}=${c.value}`).join('; ')
  const answer = await fetch(served + path, { headers: { Cookie: cookie } })
  check(answer.status === 200, `${path}: ${answer.status}`)
  const at = join(tmpdir(), file)
  await writeFile(at, Buffer.from(await answer.arrayBuffer()))
  return at
}

// lap tells how long something took since the last one.
let lapped = Date.now()
export function lap(what) {
  console.log(`pages: ${what}: ${Math.round((Date.now() - lapped) / 1000)} s`)
  lapped = Date.now()
}

// leave ends the browser and the vault, which ends as it should, and looks for what is personal in
// every address, every title and whatever the vault said.
export async function leave() {
  await browser.close()
  server.removeAllListeners('exit')
  const gone = new Promise((resolve) => server.on('exit', resolve))
  server.kill('SIGTERM')
  check((await gone) === 0, 'the vault ended as it should')
  for (const one of [...numbers, ...names, ...everyInvented]) {
    check(![...seen].some((text) => text.includes(one)), `an address or a title holds ${one}`)
    check(!said.includes(one), `the server says ${one}`)
  }
}
