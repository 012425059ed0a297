// Package api answers every call of the contract. Each file holds one use case, which builds
// a command or asks a read model and returns the result in the types of the contract; a few
// files hold what several use cases share.
//
// Invariant: a handler decides nothing that the domain decides.
package api
