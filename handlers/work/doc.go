// Package work runs the tasks that go on after their request was answered, and destroys or
// replaces keys: erasures and their certificates, rotation of the key-encryption key and of
// the pepper, exports, removal of files that no document names, the consequences of a death,
// and publication of the registry. No other package holds the destroyer, the rotator or the
// list of destroyed keys.
//
// Invariant: every task may be repeated, so that a process that ends at any instant is
// resumed by the next one.
package work
