// An auditor's tool: an official Node client reads and follows the log of a vault in which
// the demo is played, once in clear on loopback, once over TLS with a password. Which client
// is the argument: two in one process would share, and spoil, their generated messages.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { serve, until } from './vault.mjs'

const run = promisify(execFile)

const name = process.argv[2]
const lib = await import(name)
/** @param {string} where */
const connect = (where) => (lib.KurrentDBClient ?? lib.EventStoreDBClient).connectionString(where)

/** @param {AsyncIterable<any>} events */
async function collect(events) {
  const all = []
  for await (const { event } of events) all.push(event)
  return all
}

/** What one event is, short enough to compare and to show. */
const short = (event) => `${event.streamId}@${event.revision} ${event.type} ${event.id}`

/** @param {any[]} got @param {any[]} want @param {string} what */
function same(got, want, what) {
  assert.deepEqual(got.map(short), want.map(short), what)
}

/** The record in an event: clear facts, sealed bytes, metadata (docs/log-format.md). */
function record(event) {
  const data = Buffer.from(event.data)
  assert.equal(data[0], 1)
  const clear = data.readUInt32BE(1)
  const sealed = data.readUInt32BE(5 + clear)
  assert.equal(data.length, 9 + clear + sealed)
  const metadata = event.metadata instanceof Uint8Array ? JSON.parse(Buffer.from(event.metadata).toString()) : event.metadata
  assert.equal(metadata.coffre, 1)
  return { clear: JSON.parse(data.subarray(5, 5 + clear).toString()), sealed, metadata }
}

let passed = 0
/** @param {string} what @param {() => Promise<void>} check */
async function must(what, check) {
  try {
    await check()
  } catch (e) {
    throw new Error(`${what}: ${e instanceof Error ? e.stack : e}`)
  }
  passed++
}

/** @param {string} where @param {() => Promise<void>} more makes more events */
async function play(where, more) {
  const db = connect(where)
  try {
    const all = await collect(db.readAll({ direction: lib.FORWARDS, fromPosition: lib.START }))
    await must(`it reads $all`, async () => {
      assert.ok(all.length > 50, `${all.length} events`)
      for (const [i, event] of all.entries()) {
        assert.ok(i === 0 || event.position.commit > all[i - 1].position.commit)
        assert.equal(event.isJson, false)
        const { metadata } = record(event)
        assert.equal(metadata.id, event.id)
        assert.ok(Math.abs(event.created.getTime() - metadata.time / 1000) <= 1000) // one client counts in seconds
      }
      assert.ok(all.some((e) => record(e).sealed > 100), 'nothing is sealed')
    })
    await must(`it reads $all backwards`, async () => {
      const last = await collect(db.readAll({ direction: lib.BACKWARDS, fromPosition: lib.END, maxCount: 20 }))
      same(last, all.slice(-20).reverse())
    })
    await must(`it reads $all from a position`, async () => {
      const middle = all[Math.floor(all.length / 2)]
      const rest = await collect(db.readAll({ direction: lib.FORWARDS, fromPosition: middle.position }))
      same(rest, all.slice(all.indexOf(middle))) // inclusive
    })
    // The older client filters subscriptions only.
    if (lib.KurrentDBClient) await must(`it reads $all with filters`, async () => {
      for (const [filter, pass] of [
        [lib.streamNameFilter({ prefixes: ['consent-', 'registry'] }), (e) => /^(consent-|registry)/.test(e.streamId)],
        [lib.streamNameFilter({ regex: '^document-.*' }), (e) => e.streamId.startsWith('document-')],
        [lib.eventTypeFilter({ prefixes: ['access.'] }), (e) => e.type.startsWith('access.')],
        [lib.eventTypeFilter({ regex: 'issued/1$' }), (e) => e.type.endsWith('issued/1')],
        [lib.excludeSystemEvents(), () => true],
      ]) {
        same(await collect(db.readAll({ direction: lib.FORWARDS, fromPosition: lib.START, filter })), all.filter(pass))
      }
    })
    const streams = new Map()
    for (const e of all) streams.set(e.streamId, [...(streams.get(e.streamId) ?? []), e])
    const [stream, inStream] = [...streams].sort((a, b) => b[1].length - a[1].length)[0]
    await must(`it reads a stream both ways`, async () => {
      same(await collect(db.readStream(stream)), inStream)
      same(await collect(db.readStream(stream, { direction: lib.FORWARDS, fromRevision: 1n, maxCount: 2 })), inStream.slice(1, 3))
      same(await collect(db.readStream(stream, { direction: lib.BACKWARDS, fromRevision: lib.END, maxCount: 3 })), inStream.slice(-3).reverse())
    })
    await must(`it follows $all with filters, with checkpoints, live`, async () => {
      /** @type {any[]} */ const types = [] // documents, from the start
      /** @type {any[]} */ const names = [] // consents, from the end
      /** @type {bigint[]} */ const checkpoints = []
      let caughtUp = false
      const documents = db.subscribeToAll({
        fromPosition: lib.START,
        filter: lib.eventTypeFilter({
          regex: '^document',
          maxSearchWindow: 10,
          checkpointInterval: 1,
          checkpointReached: async (_, position) => void checkpoints.push(position.commit),
        }),
      })
      documents.on('data', ({ event }) => types.push(event)).on('caughtUp', () => (caughtUp = true)).on('error', () => {})
      const consents = db.subscribeToAll({ fromPosition: lib.END, filter: lib.streamNameFilter({ prefixes: ['consent-'] }) })
      consents.on('data', ({ event }) => names.push(event)).on('error', () => {})
      await new Promise((resolve, reject) => consents.once('confirmation', resolve).once('error', reject))
      const there = all.filter((e) => e.type.startsWith('document'))
      await until('documents came', async () => types.length, (n) => n >= there.length)
      same(types.slice(0, there.length), there)
      await until('it has caught up', async () => caughtUp, Boolean)
      await more()
      const after = await collect(db.readAll({ direction: lib.FORWARDS, fromPosition: lib.START }))
      const wanted = after.filter((e) => e.type.startsWith('document'))
      assert.ok(wanted.length > there.length, 'nothing new to follow')
      await until('new documents came', async () => types.length, (n) => n >= wanted.length)
      same(types, wanted)
      const consented = after.slice(all.length).filter((e) => e.streamId.startsWith('consent-'))
      assert.ok(consented.length > 0)
      await until('new consents came', async () => names.length, (n) => n >= consented.length)
      same(names, consented)
      assert.ok(checkpoints.length > 3)
      for (const [i, at] of checkpoints.entries()) assert.ok((i === 0 || at > checkpoints[i - 1]) && at <= after[after.length - 1].position.commit)
      await documents.unsubscribe()
      await consents.unsubscribe()
    })
    await must(`it follows a stream`, async () => {
      const got = []
      const sub = db.subscribeToStream('registry', { fromRevision: lib.START })
      for await (const { event } of sub) {
        got.push(event)
        if (got.length === streams.get('registry').length) break
      }
      same(got, streams.get('registry'))
      await sub.unsubscribe()
    })
    const fresh = () => lib.jsonEvent({ type: 'x', data: {} })
    for (const [what, error, ask] of [
      ['a stream that is not there', lib.StreamNotFoundError, () => collect(db.readStream('consent-absent'))],
      ["one of KurrentDB's own streams", lib.StreamNotFoundError, () => collect(db.readStream('$settings'))],
      ['an append', lib.AccessDeniedError, () => db.appendToStream(stream, fresh())],
      ['an append at a wrong revision', lib.AccessDeniedError, () => db.appendToStream(stream, fresh(), { expectedRevision: lib.NO_STREAM, streamState: lib.NO_STREAM })],
      ['metadata', lib.AccessDeniedError, () => db.setStreamMetadata(stream, { maxCount: 1 })],
      ['a delete', lib.AccessDeniedError, () => db.deleteStream(stream)],
      ['a tombstone', lib.AccessDeniedError, () => db.tombstoneStream(stream)],
      ['a persistent subscription', lib.UnknownError, () => db.createPersistentSubscriptionToStream(stream, 'group', lib.persistentSubscriptionToStreamSettingsFromDefaults())],
    ]) {
      await must(`it is refused ${what}`, () => assert.rejects(ask, (e) => e instanceof error || assert.fail(`${e?.constructor?.name}: ${e}`)))
    }
    await must(`it finds all as it was`, async () => {
      const now = await collect(db.readAll({ direction: lib.FORWARDS, fromPosition: lib.START, maxCount: all.length }))
      same(now, all)
    })
  } finally {
    await db.dispose()
  }
}

/** @param {string[]} flags @param {(where: string) => Promise<void>} use */
async function offered(flags, use) {
  const vault = await serve(['--kurrent-listen', '127.0.0.1:0', ...flags])
  try {
    const demo = () => run(process.env.COFFRE, ['demo', '--data', vault.data]).then(() => {})
    await demo()
    const found = /at (esdb:\/\/\S+)/.exec(await until('the log is offered', async () => vault.log(), (log) => log.includes('esdb://')))
    await use(found[1], demo)
  } finally {
    await vault.stop()
  }
}

await offered([], async (where, demo) => {
  await play(where, demo)
  await must('HTTP/1 is told that nothing is there', async () => {
    const answer = await fetch(where.replace('esdb://', 'http://').replace(/\?.*/, '/subscriptions'))
    assert.equal(answer.status, 404)
  })
})
await writeFile('users', 'auditor:interop-password\n', { mode: 0o600 })
await offered(['--kurrent-cert', 'leaf.pem', '--kurrent-key', 'leaf.key', '--kurrent-users', 'users'], async (where, demo) => {
  const secured = (user) => `${where.replace('esdb://', `esdb://${user}`)}&tlsCAFile=${encodeURIComponent(`${process.cwd()}/ca.pem`)}`
  await play(secured('auditor:interop-password@'), demo)
  for (const user of ['auditor:wrong@', '']) {
    await must(`it is kept out with ${user ? 'a wrong password' : 'none'}`, async () => {
      const db = connect(secured(user))
      await assert.rejects(() => collect(db.readAll({ direction: lib.FORWARDS, fromPosition: lib.START })))
      await assert.rejects(() => db.deleteStream('registry'))
      await db.dispose()
    })
  }
})
console.log(`${name}: ${passed} passed, 0 failed`)
process.exit(0) // a native client may leave threads behind
