package main

import (
	"embed"
	"strings"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/contract/texts"
)

//go:embed words/*.json
var wordFiles embed.FS

// words are the headings and states that --lang reaches, by keys that all languages have:
// "word." and the English that stands in the code, or an enum of the contract and its value.
// English says the values of enums as they stand in the contract.
var words = texts.Load(wordFiles, "words/", "nl", "fr", "de", "en")

// speaker says headings and states in one language.
type speaker domain.Language

// word returns an English word of the list in the speaker's language. It panics for one that
// the list lacks: a broken program.
func (s speaker) word(english string) string {
	text, ok := s.lookup("word." + english)
	if !ok {
		panic("no translation of " + english)
	}
	return text
}

// headings returns words as they stand above columns.
func (s speaker) headings(english ...string) (all []string) {
	for _, word := range english {
		all = append(all, strings.ToUpper(s.word(word)))
	}
	return all
}

// state returns a document's state; one of a later contract stays as it is.
func (s speaker) state(state contract.DocumentState) string {
	return s.code("documentState", string(state))
}

func (s speaker) consentState(state contract.ConsentState) string {
	return s.code("consentState", string(state))
}

func (s speaker) mandateState(state contract.MandateState) string {
	return s.code("mandateState", string(state))
}

func (s speaker) erasureState(state contract.ErasureState) string {
	return s.code("erasureState", string(state))
}

func (s speaker) erasureScope(scope contract.ErasureScope) string {
	return s.code("erasureScope", string(scope))
}

func (s speaker) releaseState(state contract.ReleaseState) string {
	return s.code("releaseState", string(state))
}

func (s speaker) releaseKind(kind contract.ReleaseKind) string {
	return s.code("releaseKind", string(kind))
}

func (s speaker) correctionKind(kind contract.CorrectionKind) string {
	return s.code("correctionKind", string(kind))
}

func (s speaker) correctionState(state contract.CorrectionState) string {
	return s.code("correctionState", string(state))
}

func (s speaker) suppressionState(state contract.SuppressionState) string {
	return s.code("suppressionState", string(state))
}

func (s speaker) accessOutcome(outcome contract.AccessOutcome) string {
	return s.code("accessOutcome", string(outcome))
}

func (s speaker) accessKind(kind contract.AccessKind) string {
	return s.code("accessKind", string(kind))
}

func (s speaker) readerRole(role contract.ActorRole) string {
	return s.code("actorRole", string(role))
}

func (s speaker) retentionEnd(end contract.RetentionEnd) string {
	return s.code("retentionEnd", string(end))
}

// code returns what a value of an enum is called; the value itself for one of a later contract.
func (s speaker) code(enum, value string) string {
	text, ok := s.lookup(enum + "." + value)
	if !ok {
		return value
	}
	return text
}

// lookup returns the text of a key; in English for a language that the command does not speak.
func (s speaker) lookup(key string) (string, bool) {
	table, spoken := words[domain.Language(s)]
	if !spoken {
		table = words["en"]
	}
	text, ok := table[key]
	return text, ok
}

// yes says a yes; nothing says a no, as in every table.
func (s speaker) yes(b bool) string {
	if !b {
		return ""
	}
	return s.word("yes")
}
