// Sends a request of the contract from the page of its operation, with a token that was put there.
// The token goes to this host alone, with that request, and is kept nowhere.
'use strict'
{
  const form = document.getElementById('try')
  const field = (id) => document.getElementById('try-' + id)
  const status = field('status')
  const answer = field('answer')
  for (const input of form.querySelectorAll('[data-name="Idempotency-Key"]')) input.value = crypto.randomUUID()
  form.hidden = false

  // request returns where the form's request goes, and what it is.
  const request = () => {
    const query = new URLSearchParams()
    const headers = new Headers()
    let path = form.dataset.path
    for (const { value, dataset } of form.querySelectorAll('[data-in]')) {
      const text = value.trim()
      if (dataset.in === 'path') path = path.replace(`{${dataset.name}}`, encodeURIComponent(text))
      else if (text !== '' && dataset.in === 'query') for (const one of text.split(',')) query.append(dataset.name, one.trim())
      else if (text !== '') headers.set(dataset.name, text)
    }
    const token = field('token')?.value.trim()
    if (token) headers.set('Authorization', 'Bearer ' + token)
    let body
    if (field('body')?.value.trim()) {
      body = field('body').value
      headers.set('Content-Type', 'application/json')
    }
    const file = field('file')?.files[0]
    if (file) {
      body = file
      headers.set('Content-Type', file.type || 'application/octet-stream')
    }
    const rest = query.size > 0 ? '?' + query : ''
    return [path + rest, { method: form.dataset.method, headers, body, credentials: 'omit', redirect: 'error', cache: 'no-store' }]
  }

  const shown = async (got) => {
    const kind = got.headers.get('Content-Type') ?? ''
    const head = [...got.headers].map(([name, value]) => `${name}: ${value}`).join('\n')
    if (!/json|yaml|text/.test(kind)) return `${head}\n\n${form.dataset.bytes.replace('{0}', (await got.arrayBuffer()).byteLength)}`
    const text = await got.text()
    try {
      return `${head}\n\n${JSON.stringify(JSON.parse(text), null, 2)}`
    } catch {
      return `${head}\n\n${text}`
    }
  }

  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    status.textContent = answer.textContent = ''
    try {
      const got = await fetch(...request())
      answer.textContent = await shown(got)
      status.textContent = `${got.status} ${got.statusText}`
    } catch {
      status.textContent = form.dataset.failed
    }
  })
}
