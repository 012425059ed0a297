// Package api answers every call of the contract: one file per use case builds a command
// or asks a read model, and says the result in the contract's words.
//
// Invariant: a handler decides nothing that the domain decides.
package api
