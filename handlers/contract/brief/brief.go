// Package brief holds what openapi.yaml says of each call, in the form that requests are checked
// by. A library reads the contract itself in 120 ms of processor time; this form is read in 5,
// and every start and every command reads it.
//
// Invariant: brief.json says what openapi.yaml says; `go generate ./handlers/contract` writes it,
// and a test there compares both.
package brief

import (
	_ "embed"
	"encoding/json"
	"fmt"

	"coffre/domain"
)

// Contract is what the contract says of its calls.
type Contract struct {
	Operations []Operation `json:"operations"` // by path and method
	Schemas    []Schema    `json:"schemas"`    // of parameters and bodies, each once
}

// Operation is one call.
type Operation struct {
	ID      string        `json:"id"`
	Method  string        `json:"method"`
	Path    string        `json:"path"` // behind [coffre/handlers/contract.Base]
	Summary string        `json:"summary"`
	Public  bool          `json:"public,omitempty"`  // everybody may call it
	Invites bool          `json:"invites,omitempty"` // public, and answers whoever says who they are with more
	Scope   string        `json:"scope,omitempty"`   // "" for a public one
	Roles   []domain.Role `json:"roles,omitempty"`
	Success int           `json:"success,omitempty"` // the status of its first answer that is no problem; 0: it has none
	MaxBody int64         `json:"maxBody,omitempty"` // bytes; 0: as many as any
	// Parameters are those of the path first.
	Parameters []Parameter `json:"parameters,omitempty"`
	Body       *int        `json:"body,omitempty"`  // the schema of a body in JSON; nil: it has none
	Files      []string    `json:"files,omitempty"` // media types of a body that the use case reads itself, in order
}

// Parameter is one of a path, a query or a header.
type Parameter struct {
	Name     string `json:"name"`
	In       string `json:"in"` // path, query or header
	Required bool   `json:"required,omitempty"`
	Schema   int    `json:"schema"`
}

// Schema is one kind of value. Numbers of other schemas are indices into [Contract.Schemas].
type Schema struct {
	Type      string         `json:"type"` // object, array, string, integer or boolean
	Open      bool           `json:"open,omitempty"`
	Members   map[string]int `json:"members,omitempty"`
	Required  []string       `json:"required,omitempty"`
	Choices   [][][]string   `json:"choices,omitempty"` // x-exactly-one-of
	Items     int            `json:"items,omitempty"`   // of an array
	MinItems  int64          `json:"minItems,omitempty"`
	MaxItems  *int64         `json:"maxItems,omitempty"`
	MinLength int64          `json:"minLength,omitempty"`
	MaxLength *int64         `json:"maxLength,omitempty"`
	Min       *int64         `json:"min,omitempty"`
	Max       *int64         `json:"max,omitempty"`
	Enum      []string       `json:"enum,omitempty"`
	Format    string         `json:"format,omitempty"`
	Pattern   string         `json:"pattern,omitempty"`
	GoType    string         `json:"goType,omitempty"` // x-go-type
	Form      string         `json:"form,omitempty"`   // x-form
	Example   string         `json:"example,omitempty"`
}

//go:embed brief.json
var written []byte

// Read returns what brief.json says; the caller may change it. It panics when the file is not
// what a generator wrote: a broken program.
func Read() Contract {
	var c Contract
	if err := json.Unmarshal(written, &c); err != nil {
		panic(fmt.Errorf("brief.json: %w", err))
	}
	return c
}
