// Has the browser keep the shell of the pages, so that it can say that there is no connection.
'use strict'
navigator.serviceWorker?.register('/worker.js').catch(() => {})
