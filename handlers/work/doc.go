// Package work does what goes on after a request was answered, and all that destroys or
// replaces a key: erasures and their certificates, rotation of the key-encryption key and
// of the pepper, exports, files that no document names, what a death ends, and the registry.
// It is the only part of the program that holds the destroyer, the rotator and the list of
// destroyed keys.
//
// Invariant: every task may be repeated, so that a process that ends at any instant is
// resumed by the next one.
package work
