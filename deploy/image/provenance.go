package main

import (
	"encoding/json"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// What a statement about an image holds, as in-toto (Statement v1) and SLSA (Provenance v1) say.
type (
	statement struct {
		Type          string     `json:"_type"`
		Subject       []resource `json:"subject"`
		PredicateType string     `json:"predicateType"`
		Predicate     predicate  `json:"predicate"`
	}
	resource struct {
		Name   string            `json:"name,omitempty"`
		URI    string            `json:"uri,omitempty"`
		Digest map[string]string `json:"digest,omitempty"`
	}
	predicate struct {
		BuildDefinition definition `json:"buildDefinition"`
		RunDetails      details    `json:"runDetails"`
	}
	definition struct {
		BuildType            string            `json:"buildType"`
		ExternalParameters   map[string]string `json:"externalParameters"`
		InternalParameters   map[string]string `json:"internalParameters"`
		ResolvedDependencies []resource        `json:"resolvedDependencies"`
	}
	details struct {
		Builder builder `json:"builder"`
	}
	builder struct {
		ID string `json:"id"`
	}
)

// provenance returns how the image came to be: from which commit, by which toolchain and settings,
// with which modules. It is not signed: whoever publishes the image signs it, by a key that this
// program must not see.
func (m made) provenance(name string, digest v1.Hash) ([]byte, error) {
	settings := map[string]string{"go": m.info.GoVersion}
	for _, s := range m.info.Settings {
		switch s.Key {
		case "vcs", "vcs.revision", "vcs.time", "vcs.modified":
		default:
			settings[s.Key] = s.Value
		}
	}
	var dependencies []resource
	if revision := m.setting("vcs.revision"); revision != "" {
		dependencies = append(dependencies, resource{Name: "source", Digest: map[string]string{"gitCommit": revision}})
	}
	for _, module := range m.info.Deps {
		one := *module
		for one.Replace != nil {
			one = *one.Replace
		}
		part := resource{URI: m.component(one).PackageURL}
		if hash, ok := hashOf(one.Sum); ok {
			part.Digest = map[string]string{"dirHash1": hash.Value}
		}
		dependencies = append(dependencies, part)
	}
	text, err := json.MarshalIndent(statement{
		Type:          "https://in-toto.io/Statement/v1",
		Subject:       []resource{{Name: name, Digest: map[string]string{digest.Algorithm: digest.Hex}}},
		PredicateType: "https://slsa.dev/provenance/v1",
		Predicate: predicate{
			BuildDefinition: definition{
				BuildType:            "urn:coffre:make-image/v1",
				ExternalParameters:   map[string]string{"version": m.version, "modified": m.setting("vcs.modified")},
				InternalParameters:   settings,
				ResolvedDependencies: dependencies,
			},
			RunDetails: details{Builder: builder{ID: "urn:coffre:make-image"}},
		},
	}, "", "  ")
	return append(text, '\n'), err
}
