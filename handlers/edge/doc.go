// Package edge is where HTTP ends: it serves the contract's routes, knows the caller by
// their token, holds each request to the contract and to its limits, and answers an error
// as a problem. It knows HTTP and the contract, and nothing of the vault: what a call does
// comes in as the contract's server interface, and the answer to an error of a use case
// as [ErrorAnswer].
//
// Invariant: no request reaches a use case unless the contract names its route, its
// caller's role may call it, and every byte of its parameters and body fits the contract,
// read once and strictly.
package edge
