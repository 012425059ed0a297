// Takes the pictures of the main pages that the README shows: of a vault that the demo has filled,
// and of thirty invented persons more, so that figures tell of them. Each picture has few colours and
// is small.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import UPNG from 'upng-js'
import { caller, check, go, invented, leave, numbers, signIn, signInAs, tally, together, visitor } from './setup.mjs'

const most = 60_000 // bytes of a picture
const into = process.env.PICTURES
await mkdir(into, { recursive: true })

const [source, readers, others] = [await caller('issuer', '0308356862'), await caller('consumer', '0316380841'), await caller('consumer', '0203430576')]
await together(30, 10, async (n) => {
  const number = invented(100 + n)
  const { status, body } = await source('POST', '/documents', { ssin: number, documentType: 'householdComposition', sourceReference: `picture-${n}`, validFrom: '2026-01-01', content: { asOf: '2026-01-01', householdSize: 1, members: [] } })
  check(status === 201, `a document is issued: ${status}`)
  for (let times = 0; times <= n % 3; times++) await readers('POST', `/documents/${body.documentId}/access`, { purpose: 'schoolAllowance', procedure: 'schoolEnrolmentAllowance', legalBasis: 'publicTask', deliberation: 'EX-26/010' })
  if (n < 14) await others('POST', `/documents/${body.documentId}/access`, { purpose: 'familyDiscount' })
})

async function take(page, name) {
  const { data, width, height } = await page.evaluate(async (shot) => {
    const picture = await createImageBitmap(await (await fetch(shot)).blob())
    const canvas = new OffscreenCanvas(picture.width, picture.height)
    const context = canvas.getContext('2d')
    context.drawImage(picture, 0, 0)
    return { data: Array.from(context.getImageData(0, 0, picture.width, picture.height).data), width: picture.width, height: picture.height }
  }, 'data:image/png;base64,' + (await page.screenshot({ encoding: 'base64' })))
  const png = Buffer.from(UPNG.encode([Uint8Array.from(data).buffer], width, height, 32))
  check(png.length <= most, `${name} has ${png.length} bytes`)
  await writeFile(join(into, name + '.png'), png)
  console.log(`pictures: ${name}.png, ${png.length} bytes`)
}

// story opens the story of a document's stream.
async function story(page) {
  await go(page, '/auditor?category=document&type=document.revoked&lang=en')
  await Promise.all([page.waitForNavigation(), page.click('a[href*="stream=document-"]')])
}

// proof opens an event and has the browser prove it.
async function proof(page) {
  await go(page, '/auditor/events/5?lang=en')
  await page.click('#compute button')
  await page.waitForFunction(() => document.getElementById('verdict').textContent !== '')
  await page.$eval('#compute', (e) => e.scrollIntoView())
}

// Of a phone, then of a desk.
const [phone, desk] = [{ width: 360, height: 800 }, { width: 900, height: 700 }]
for (const [size, enter, pages] of [
  [phone, (page) => signIn(page, numbers[0]), [['wallet', '/wallet'], ['looked', '/looked'], ['consents', '/consents']]],
  [desk, (page) => signInAs(page, 'officer1', '/officer'), [['officer', '/officer'], ['consent-log', '/officer/consents']]],
  [desk, (page) => signInAs(page, 'auditor', '/auditor'), [['auditor', '/auditor'], ['stream', story], ['proof', proof]]],
  [desk, (page) => signInAs(page, 'operator', '/operator'), [['operator', '/operator'], ['developer', '/doc/operations/queryDocuments']]],
]) {
  const { context, page } = await visitor({ width: size.width })
  await page.setViewport({ ...size, deviceScaleFactor: 1 })
  await enter(page)
  for (const [name, open] of pages) {
    if (typeof open === 'string') await go(page, open + '?lang=en')
    else await open(page)
    await take(page, name)
  }
  await context.close()
}
await leave()
for (const what of tally.failed) console.error(`pictures: ${what}`)
process.exit(tally.failed.length ? 1 : 0)
