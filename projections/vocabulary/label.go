package vocabulary

import (
	"coffre/domain"
	"coffre/domain/registry"
)

// Kind is a kind of word that has a label.
type Kind string

const (
	KindOrganisation Kind = "organisations"
	KindDocumentType Kind = "documentTypes"
	KindPredicate    Kind = "predicates"
	KindProcedure    Kind = "procedures"
	KindPurpose      Kind = "purposes"
	KindFinality     Kind = "finalities"
	KindLegalBasis   Kind = "legalBases"
	KindCategory     Kind = "dataCategories"
	KindLanguage     Kind = "languages"
)

// KindReason is the kind of the reasons of one kind.
func KindReason(k registry.ReasonKind) Kind { return Kind("reasons/" + k) }

// FallbackLanguage is spoken when a language is asked for that Coffre does not speak.
const FallbackLanguage domain.Language = "en"

// Label returns what a word is called in a language: in English for a language
// that Coffre does not speak, and the code itself for a word it does not know,
// so that old records always read as something.
func (v *View) Label(k Kind, code string, lang domain.Language) string {
	w, ok := v.words[wordKey{string(k), code}]
	if !ok {
		return code
	}
	return In(w.labels, lang)
}

// In returns the label in a language, in English for one that Coffre does not speak.
func In(l registry.Labels, lang domain.Language) string {
	switch lang {
	case "nl":
		return l.NL
	case "fr":
		return l.FR
	case "de":
		return l.DE
	}
	return l.EN
}
