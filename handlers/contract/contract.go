// Package contract holds the HTTP contract of the vault: openapi.yaml, written by hand,
// and the types, the server interface and the routes that are generated from it. The
// server, the command line's client and the verification of certificates share its types.
//
// Invariant: nothing here knows how a call is answered; gen.go holds what openapi.yaml
// says, and no more.
package contract

//go:generate go tool oapi-codegen -config oapi-codegen.yaml -o gen.go openapi.yaml
//go:generate go test -run ^TestTheBriefFormIsTheContract$ . -update

import (
	_ "embed"
	"slices"
)

// Base is the prefix of every path of the contract.
const Base = "/vault/v1"

//go:embed openapi.yaml
var openapi []byte

// YAML returns a copy of openapi.yaml, the contract in OpenAPI 3.0.3, with the Go types that
// the server generates from it. What callers get is Plain.
func YAML() []byte { return slices.Clone(openapi) }
