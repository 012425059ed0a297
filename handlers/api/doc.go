// Package api is the HTTP edge of the vault, written contract first: openapi.yaml
// says what may be asked and by whom, gen.go is generated from it, and one file
// per use case builds a command or asks a read model. A handler decides nothing.
//
// Invariant: no request reaches a use case unless the contract names its route,
// its caller's role may call it, and every byte of its parameters and body fits
// the contract, read once and strictly.
package api
