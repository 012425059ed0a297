// Package samples holds a registry to start with: the launch types of document,
// vocabularies with Belgian codes, and organisations with registrations. It is in
// the binary, so that a first start needs nothing beside it.
//
// Invariant: what is in Files loads without a mistake; a test of
// projections/vocabulary keeps it so.
package samples

import "embed"

// Files is laid out as projections/vocabulary.Load reads it.
//
//go:embed *.json documentTypes/*.json organisations/*.json
var Files embed.FS
