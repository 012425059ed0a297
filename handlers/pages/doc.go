// Package pages answers people in a browser: whoever is no programmer does their work here.
//
// It holds no authority of its own. A page asks the API in process, as the person who is
// logged in and with their token, so that what they may see, what is recorded of it, budgets
// and refusals are those of the API.
//
// Invariant: the database alone opens no session. Its row is found and opened with a secret
// that only the browser has, in a cookie; no URL, title, log line or cache holds anything
// personal.
package pages
