// Package acting records what callers do: who acts and for whom, when, under which event
// ids, and once per idempotency key. It names the streams, finds or registers the person
// a request is about, and waits until the read models show what a caller must see.
//
// Invariant: every event of a request has an id that a repetition derives again, so that a
// request repeated after an unknown outcome meets its own events. Nothing here opens what
// is sealed, and nothing destroys a key.
package acting
