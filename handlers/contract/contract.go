// Package contract is what the vault promises over HTTP: openapi.yaml, written by hand,
// and the types, the server interface and the routes that are generated from it. The
// server, the command line's client and whoever verifies a certificate speak its words.
//
// Invariant: nothing here knows how a call is answered; gen.go holds what openapi.yaml
// says, and no more.
package contract

//go:generate go tool oapi-codegen -config oapi-codegen.yaml -o gen.go openapi.yaml

import (
	_ "embed"
	"slices"
)

// Base is where the contract's paths begin.
const Base = "/vault/v1"

//go:embed openapi.yaml
var openapi []byte

// YAML returns the contract as it is served: OpenAPI 3.0.3.
func YAML() []byte { return slices.Clone(openapi) }
