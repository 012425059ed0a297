// Keeps the shell of the pages: files that are the same for everybody, and the page that says that
// there is no connection. What the vault answers to somebody goes through and is never kept.
'use strict'
{
  const shell = 'SHELL'
  const files = FILES
  const offline = '/offline'

  addEventListener('install', (event) => event.waitUntil(caches.open(shell).then((cache) => cache.addAll([offline, ...files])).then(() => skipWaiting())))

  addEventListener('activate', (event) => event.waitUntil(caches.keys().then((names) => Promise.all(names.filter((name) => name !== shell).map((name) => caches.delete(name))))))

  addEventListener('fetch', (event) => {
    const { method, mode, url } = event.request
    const { origin, pathname } = new URL(url)
    if (method !== 'GET' || origin !== location.origin) return
    if (files.includes(pathname)) event.respondWith(caches.match(pathname).then((kept) => kept ?? fetch(event.request)))
    else if (mode === 'navigate' && !pathname.startsWith('/signin')) event.respondWith(fetch(event.request).catch(() => caches.match(offline)))
  })
}
