// Recomputes in the browser what an auditor's page says: the hash of an event from its stored
// bytes, the root from the path, the signature of a checkpoint, and that a log goes on from an
// earlier one. docs/log-format.md specifies the bytes. Nothing is kept, and no other host is asked.
'use strict'
{
  const join = (parts) => {
    const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0))
    let at = 0
    for (const p of parts) {
      all.set(p, at)
      at += p.length
    }
    return all
  }
  const sha256 = async (...parts) => new Uint8Array(await crypto.subtle.digest('SHA-256', join(parts)))
  const unbase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
  const base64 = (b) => btoa(String.fromCharCode(...b))
  const utf8 = (text) => new TextEncoder().encode(text)
  const same = (a, b) => a.length === b.length && a.every((x, i) => x === b[i])
  const node = (left, right) => sha256(Uint8Array.of(1), left, right)
  const lines = (text) => text.split('\n').map((l) => l.trim()).filter(Boolean)

  const bigEndian = (n, width) => {
    const b = new Uint8Array(8)
    new DataView(b.buffer).setBigUint64(0, BigInt(n))
    return b.subarray(8 - width)
  }
  const named = (text) => join([bigEndian(utf8(text).length, 2), utf8(text)])

  // leafHash is that of RFC 6962 over the entry of docs/log-format.md, "Leaf entry".
  const leafHash = async (e) => {
    const id = Uint8Array.from(e.id.replaceAll('-', '').match(/../g), (h) => parseInt(h, 16))
    return sha256(Uint8Array.of(0, 1), id, named(e.stream), bigEndian(e.revision, 8), named(e.type), bigEndian(e.time, 8),
      await sha256(unbase64(e.meta)), await sha256(unbase64(e.clear)), await sha256(unbase64(e.sealed)))
  }

  // included returns the root to which a path leads (RFC 6962 section 2.1.1), or null.
  const included = async (path, leaf, hash, size) => {
    const left = [...path]
    let [at, last, so] = [leaf, size - 1, hash]
    for (; last > 0; at = Math.floor(at / 2), last = Math.floor(last / 2)) {
      if (at % 2 === 0 && at === last) continue
      const beside = left.shift()
      if (!beside) return null
      so = at % 2 === 1 ? await node(beside, so) : await node(so, beside)
    }
    return left.length === 0 ? so : null
  }

  // consistent says whether a log begins with another (RFC 6962 section 2.1.2).
  const consistent = async (proof, former, formerRoot, size, root) => {
    if (former === size) return proof.length === 0 && same(formerRoot, root)
    if (former < 1 || former > size) return false
    const path = [...proof]
    if (Number.isInteger(Math.log2(former))) path.unshift(formerRoot)
    let [at, last] = [former - 1, size - 1]
    const up = () => { at = Math.floor(at / 2); last = Math.floor(last / 2) }
    while (at % 2 === 1) up()
    const first = path.shift()
    if (!first) return false
    let [old, now] = [first, first]
    for (const beside of path) {
      if (last === 0) return false
      if (at % 2 === 1 || at === last) {
        old = await node(beside, old)
        now = await node(beside, now)
        while (at % 2 === 0 && at !== 0) up()
      } else {
        now = await node(now, beside)
      }
      up()
    }
    return last === 0 && same(old, formerRoot) && same(now, root)
  }

  // checkpointIn reads a signed note (C2SP tlog-checkpoint), or returns null. Blanks at its end are
  // the field's, not the note's.
  const checkpointIn = (field) => {
    const signed = field.trim() + '\n'
    const end = signed.indexOf('\n\n')
    if (end < 0) return null
    const text = signed.slice(0, end + 1)
    const [origin, decimal, root] = text.split('\n')
    if (!/^\d+$/.test(decimal ?? '') || !root) return null
    const signatures = lines(signed.slice(end + 2)).map((l) => /^— (\S+) (\S+)$/.exec(l)).filter(Boolean)
    try {
      return { text, origin, size: Number(decimal), root: unbase64(root), signatures: signatures.map(([, name, blob]) => ({ name, blob: unbase64(blob) })) }
    } catch {
      return null
    }
  }

  // signed says whether one of the keys signed a checkpoint as the log; null where the browser
  // knows no Ed25519.
  const signed = async (c, keys) => {
    for (const key of keys) {
      let by
      try {
        by = await crypto.subtle.importKey('raw', key, { name: 'Ed25519' }, false, ['verify'])
      } catch {
        return null
      }
      const number = (await sha256(utf8(c.origin + '\n'), Uint8Array.of(1), key)).subarray(0, 4)
      for (const s of c.signatures) {
        if (s.name === c.origin && same(s.blob.subarray(0, 4), number) && await crypto.subtle.verify({ name: 'Ed25519' }, by, s.blob.subarray(4), utf8(c.text))) return true
      }
    }
    return false
  }

  const fetched = async (path) => {
    const answer = await fetch(path)
    if (!answer.ok) throw new Error(String(answer.status))
    return (await answer.json()).hashes.map(unbase64)
  }

  const form = document.getElementById('verify')
  const said = document.getElementById('verdict')
  const tell = (good, ...keys) => {
    said.textContent = keys.map((k) => form.dataset[k]).join(' ')
    said.className = good ? 'valid' : 'mistake'
  }
  const keysOf = () => lines(form.elements.keys.value).map(unbase64)
  const signature = async (c) => ({ true: 'signed', false: 'unsigned', null: 'unchecked' })[await signed(c, keysOf())]

  const verifyEvent = async () => {
    const d = form.dataset
    const c = checkpointIn(form.elements.checkpoint.value)
    if (!c) return tell(false, 'none')
    const leaf = Number(d.leaf)
    if (leaf >= c.size) return tell(false, 'before')
    const path = c.size === Number(d.size) ? lines(form.elements.path.value).map(unbase64) : await fetched(`${d.proof}?size=${c.size}`)
    const hash = await leafHash({ id: d.id, stream: d.stream, revision: d.revision, type: d.type, time: d.time, meta: d.meta, clear: d.clear, sealed: d.sealed })
    document.getElementById('leafhash').textContent = base64(hash)
    const root = await included(path, leaf, hash, c.size)
    if (!root || !same(root, c.root)) return tell(false, 'false')
    const by = await signature(c)
    tell(by !== 'unsigned', 'true', by)
  }
  const compare = async () => {
    const now = checkpointIn(form.elements.checkpoint.value)
    const then = checkpointIn(form.elements.former.value)
    if (!now || !then) return tell(false, 'none')
    if (then.origin !== now.origin) return tell(false, 'other')
    if (then.size > now.size) return tell(false, 'false')
    const path = then.size === now.size ? [] : await fetched(`${form.dataset.proof}?former=${then.size}&size=${now.size}`)
    if (!await consistent(path, then.size, then.root, now.size, now.root)) return tell(false, 'false')
    const [a, b] = [await signature(then), await signature(now)]
    const by = a === b ? a : 'unsigned'
    tell(by !== 'unsigned', 'true', by)
  }
  if (form && crypto.subtle) {
    document.getElementById('compute').hidden = false
    form.addEventListener('submit', (e) => {
      e.preventDefault()
      const work = form.elements.former ? compare() : verifyEvent()
      work.catch(() => tell(false, 'away'))
    })
  }
}
