// Plays the demo in a vault, exports every kind in every format, and reads the files with a
// database and a spreadsheet library that are not ours: the hash of each manifest is computed
// again, rows are counted, the same facts must stand in each format, 0203430576 must keep its
// zero, and nothing may be a formula. Where LibreOffice is installed it opens them, too.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { DuckDBInstance } from '@duckdb/node-api'
import ExcelJS from 'exceljs'

const run = promisify(execFile)
const coffre = (...args) => run(process.env.COFFRE, args, { maxBuffer: 1 << 26 })
const railways = '0203430576' // gets consents in the demo
const data = join(tmpdir(), 'data')
let passed = 0
const check = (ok, what) => {
  assert.ok(ok, what)
  passed++
}

const db = await (await DuckDBInstance.create()).connect()
const rows = async (sql) => (await db.runAndReadAll(sql)).getRowObjectsJson()
const sha256 = (b) => createHash('sha256').update(b).digest('hex')

await coffre('demo', '--data', data)
const asOf = new Date().toISOString()

// exported makes a file and returns what the command and its manifest say of it.
async function exported(kind, format, ...more) {
  const file = join(tmpdir(), [kind, ...more.filter((m) => !m.startsWith('--')), format].join('.'))
  const { stdout } = await coffre('export', kind, '--data', data, '--reason', 'audit', '--format', format, '--as-of', asOf, '--out', file, '--json', ...more)
  const told = JSON.parse(stdout)
  const [first, line] = (await readFile(file + '.manifest', 'utf8')).split('\n')
  check(first === 'coffre export manifest v1', `${file}: a manifest`)
  const manifest = JSON.parse(line)
  check(manifest.sha256 === sha256(await readFile(file)) && manifest.sha256 === told.sha256 && manifest.rows === told.rows, `${file}: its hash and rows are those of the manifest`)
  return { file, ...manifest }
}

// No column needs quotes, in the words that DuckDB reserves.
const reserved = new Set((await rows(`SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved'`)).map((r) => r.keyword_name))

async function sheetsOf(file) {
  const book = new ExcelJS.Workbook()
  await book.xlsx.readFile(file)
  const [names, ...lines] = book.worksheets.flatMap((s) => {
    const all = []
    s.eachRow((row) => all.push(row.values.slice(1)))
    return all
  })
  for (const s of book.worksheets) s.eachRow((row) => row.eachCell((cell) => assert.ok(cell.type === ExcelJS.ValueType.String || cell.type === ExcelJS.ValueType.Number, `${file}: ${cell.address} is of type ${cell.type}`)))
  return lines.map((line) => Object.fromEntries(names.map((n, i) => [n, line[i] ?? null])))
}

const text = (v) => (v === null || v === undefined ? '' : String(v))
for (const kind of ['consentLog', 'register', 'accessLog', 'refusals']) {
  const csv = await exported(kind, 'csv')
  const parquet = await exported(kind, 'parquet')
  const jsonl = await exported(kind, 'jsonl')
  const xlsx = await exported(kind, 'xlsx')

  const columns = await rows(`DESCRIBE SELECT * FROM read_parquet('${parquet.file}')`)
  for (const { column_name: name } of columns) check(!reserved.has(name.toLowerCase()), `${kind}: ${name} is reserved`)
  const plain = columns.map((c) => c.column_name).join(', ')
  const fromParquet = await rows(`SELECT ${plain} FROM read_parquet('${parquet.file}')`)
  const fromCSV = await rows(`SELECT ${plain} FROM read_csv('${csv.file}', header = true, all_varchar = true)`)
  const fromSheets = await sheetsOf(xlsx.file)
  const fromLines = (await readFile(jsonl.file, 'utf8')).split('\n').filter(Boolean).map((l) => JSON.parse(l))
  for (const [format, all] of Object.entries({ csv: fromCSV, parquet: fromParquet, xlsx: fromSheets, jsonl: fromLines })) check(all.length === csv.rows, `${kind}: ${format} has ${all.length} rows, not ${csv.rows}`)
  const joined = (v) => (Array.isArray(v) ? v.join(' ') : text(v))
  fromCSV.forEach((row, i) => {
    for (const { column_name: name, column_type: type } of columns) {
      const want = text(row[name])
      assert.equal(text(fromSheets[i][name]), want, `${kind}: ${name} in the workbook`)
      assert.equal(joined(fromLines[i][name]), want, `${kind}: ${name} in JSON Lines`)
      if (type.startsWith('TIMESTAMP')) assert.equal(want === '' ? null : Date.parse(want), fromParquet[i][name] === null ? null : Date.parse(fromParquet[i][name].replace(' ', 'T').replace(/\+00$/, 'Z')), `${kind}: ${name} in Parquet`)
      else assert.equal(joined(fromParquet[i][name]), want, `${kind}: ${name} in Parquet`)
      passed++
    }
  })
  if (kind === 'consentLog') check(fromParquet.some((r) => r.consumer === railways) && fromSheets.some((r) => r.consumer === railways), 'the first zero is there')
  const again = await rows(`SELECT sha256(content) AS hash FROM read_blob('${csv.file}')`)
  check(again[0].hash === csv.sha256, `${kind}: DuckDB computes the hash of the manifest`)

  const keys = join(tmpdir(), 'keys.json')
  if (!existsSync(keys)) await import('node:fs/promises').then(async (fs) => fs.writeFile(keys, (await coffre('erase', 'keys', '--data', data, '--json')).stdout))
  for (const { file } of [csv, parquet, jsonl, xlsx]) {
    const { stdout } = await coffre('export', 'verify', file, '--key', keys, '--json')
    check(JSON.parse(stdout).holds === true, `${file} holds`)
  }
}

// A spreadsheet that opens the dialect for spreadsheets takes enterprise numbers for text.
const dialect = await exported('consentLog', 'csv', '--dialect', 'spreadsheet')
const guessed = await rows(`SELECT consumer, typeof(consumer) AS type FROM read_csv('${dialect.file}', delim = ';', header = true)`)
check(guessed.some((r) => r.consumer === '0203.430.576') && guessed.every((r) => r.type === 'VARCHAR'), 'dots keep the zero where types are guessed')
const book = new ExcelJS.Workbook()
const sheet = await book.csv.readFile(dialect.file, { parserOptions: { delimiter: ';' } })
check(sheet.getColumn(5).values.includes('0203.430.576'), 'a spreadsheet library keeps the zero')

if (existsSync('/usr/bin/soffice')) {
  const xlsx = join(tmpdir(), 'consentLog.xlsx')
  await run('soffice', ['--headless', `-env:UserInstallation=file://${tmpdir()}/office`, '--convert-to', 'csv:Text - txt - csv (StarCalc):44,34,76', '--outdir', join(tmpdir(), 'office-out'), xlsx])
  await run('soffice', ['--headless', `-env:UserInstallation=file://${tmpdir()}/office`, '--convert-to', 'csv:Text - txt - csv (StarCalc):44,34,76', '--infilter=CSV:59,34,76', '--outdir', join(tmpdir(), 'office-dialect'), dialect.file])
  check((await readFile(join(tmpdir(), 'office-out', 'consentLog.csv'), 'utf8')).includes(`,${railways},`), 'LibreOffice keeps the zero of the workbook')
  check((await readFile(join(tmpdir(), 'office-dialect', 'consentLog.spreadsheet.csv'), 'utf8')).includes(',0203.430.576,'), 'LibreOffice keeps the zero of the dialect')
} else {
  console.log('LibreOffice is not installed: it was not asked')
}
console.log(`exports: ${passed} checks`)
