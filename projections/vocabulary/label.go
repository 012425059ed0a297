package vocabulary

import (
	"coffre/domain"
	"coffre/domain/registry"
)

// WordList names a list of words that have labels.
type WordList string

const (
	Organisations  WordList = "organisations"
	DocumentTypes  WordList = "documentTypes"
	Predicates     WordList = "predicates"
	Procedures     WordList = "procedures"
	Purposes       WordList = "purposes"
	Finalities     WordList = "finalities"
	LegalBases     WordList = "legalBases"
	DataCategories WordList = "dataCategories"
	Languages      WordList = "languages"
)

// Reasons names the list of the reasons of one kind.
func Reasons(k registry.ReasonKind) WordList { return WordList("reasons/" + k) }

// FallbackLanguage is spoken when a language is asked for that Coffre does not speak.
const FallbackLanguage domain.Language = "en"

// Label returns what a word is called in a language: in English for a language
// that Coffre does not speak, and the code itself for a word it does not know,
// so that old records always read as something.
func (v *View) Label(list WordList, code string, lang domain.Language) string {
	w, ok := v.words[wordKey{string(list), code}]
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
