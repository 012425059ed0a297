// One vault from beginning to end: fetch its contract, generate and type-check a client
// from that alone, then let the client play the story against the same vault.
import { spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { serve } from './vault.mjs'

/** @param {string} tool @param {string[]} args */
function run(tool, ...args) {
  const done = spawnSync(process.execPath, [tool, ...args], { encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`${tool} ${args.join(' ')}:\n${done.stdout}${done.stderr}`)
}

const vault = await serve()
let passed = 0
try {
  const published = await fetch(`${vault.url}/vault/v1/doc/openapi.yaml`)
  if (!published.ok) throw new Error(`the contract: ${published.status}`)
  await writeFile('openapi.yaml', await published.text())
  run('node_modules/openapi-typescript/bin/cli.js', 'openapi.yaml', '-o', 'api.ts')
  run('node_modules/typescript/bin/tsc')
  const { play } = await import('./out/story.js')
  passed = await play(vault, published.url)
} finally {
  await vault.stop()
}
console.log(`${passed} passed, 0 failed`)
