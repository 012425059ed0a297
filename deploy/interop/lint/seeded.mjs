// Compares what Spectral found in seeded.yaml (its JSON on standard input) with what
// stands there to be found, and every rule with having been found at least once.
import { readFileSync } from 'node:fs'
import belgif from './belgif.mjs'

const lines = readFileSync('seeded.yaml', 'utf8').split('\n')
const expected = lines.flatMap((line, i) => {
  const marked = /# ! ([a-z-]+)$/.exec(line)
  return marked ? [`line ${i + 1}: ${marked[1]}`] : []
})
const found = JSON.parse(readFileSync(0, 'utf8')).map((f) => `line ${f.range.start.line + 1}: ${f.code}`)
const wrong = [
  ...expected.filter((e) => !found.includes(e)).map((e) => `not found: ${e}`),
  ...found.filter((f) => !expected.includes(f)).map((f) => `found, and is none: ${f}`),
  ...Object.keys(belgif.rules).filter((r) => !expected.some((e) => e.endsWith(`: ${r}`))).map((r) => `no fault for rule ${r}`),
]
if (wrong.length > 0) {
  console.error(wrong.join('\n'))
  process.exit(1)
}
console.log(`lint: ${expected.length} seeded faults found, by ${Object.keys(belgif.rules).length} rules`)
