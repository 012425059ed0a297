// Package registry decides which words are in force: organisations and what they
// may issue and read, types of document and what their content must be,
// purposes, procedures, legal bases, categories of data, reasons.
//
//	(none) --Publish 1--> 1 --Publish 2--> 2 ...
//
// A type of document is data, not code. The whole registry is one fact, so that
// every event can name the version it was judged by.
//
// Invariant: a word that was once published stays for ever, at most retired,
// because documents, consents and accesses on record use it.
package registry

import "coffre/domain"

// StreamName is the name of the only stream that holds registries.
const StreamName = "registry"

// State is the registry in force. The zero value is "none published".
type State struct {
	Version  domain.RegistryVersion
	Registry Registry
}

// Event is one of the facts declared in this package, and nothing else.
type Event interface{ registryEvent() }

// Evolve returns the state after e. It never refuses: e already happened. The
// state shares e's memory; neither is changed afterwards.
func Evolve(_ State, e Event) State {
	switch e := e.(type) {
	case Published:
		return State(e)
	}
	panic("registry: event type without a case in Evolve")
}
