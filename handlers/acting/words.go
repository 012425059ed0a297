package acting

import (
	"slices"
	"strconv"

	"coffre/domain"
	"coffre/domain/registry"
)

// ErrWord refuses a code that the registry does not have, or not for that.
var ErrWord = domain.NewError(domain.Invalid, "unknownWord", "the registry does not know this code")

// Word is one code of a request, as CheckWords judges it.
type Word struct {
	of    string // its place, as in domain.Cause
	list  string // where GET /registry has those there are
	known bool   // or absent
}

// CheckWords refuses with ErrWord the codes that the registry does not have, each by its place
// and with the list of GET /registry that has those there are. No code is recorded in clear
// that did not pass here or through another lookup in the registry.
func CheckWords(words ...Word) error { return refuseUnknown(ErrWord, words) }

func refuseUnknown(refusal *domain.Error, words []Word) error {
	var causes []domain.Cause
	for _, w := range words {
		if !w.known {
			causes = append(causes, domain.Cause{Of: w.of, Expected: w.list + " of GET /registry has those there are"})
		}
	}
	if len(causes) == 0 {
		return nil
	}
	return domain.Because(refusal, causes...)
}

// PurposeAt returns a purpose of the request, in force or retired; an absent one passes.
func (in Intent) PurposeAt(of string, code domain.Purpose) Word {
	_, known := in.Words.Purpose(code)
	return Word{of, "purposes", known || code == ""}
}

// ProcedureAt returns a procedure of the request, which has to be in force; an absent one passes.
func (in Intent) ProcedureAt(of string, code domain.Procedure) Word {
	return Word{of, "procedures", code == "" || in.Words.ProcedureInUse(code)}
}

// OrganisationAt returns an organisation of the request; an absent one passes.
func (in Intent) OrganisationAt(of string, number domain.Organisation) Word {
	_, known := in.Words.Organisation(number)
	return Word{of, "organizations", known || number.IsZero()}
}

// TypeAt returns a type of document of the request, in force or retired; an absent one passes.
func (in Intent) TypeAt(of string, name domain.DocumentType) Word {
	_, known := in.Words.DocumentType(name)
	return Word{of, "documentTypes", known || name == ""}
}

// TypesAt returns the types of document in a list of the request, as TypeAt does.
func (in Intent) TypesAt(of string, names []domain.DocumentType) []Word {
	words := make([]Word, len(names))
	for i, name := range names {
		words[i] = in.TypeAt(of+"/"+strconv.Itoa(i), name)
	}
	return words
}

// ErrLegalBasis refuses a legal basis that the registry does not have in force.
var ErrLegalBasis = domain.NewError(domain.Invalid, "unknownLegalBasis", "the registry knows no such legal basis")

// LegalBasis refuses with ErrLegalBasis a basis that the registry does not have in force.
func (in Intent) LegalBasis(code domain.LegalBasis) error {
	return refuseUnknown(ErrLegalBasis, []Word{{"legalBasis", "legalBases", in.Words.LegalBasisInUse(code)}})
}

// ErrReason refuses a reason code that the registry does not list for its kind.
var ErrReason = domain.NewError(domain.Invalid, "unknownReason", "the registry knows no such reason for this")

// Reason refuses with ErrReason a code that the registry does not list for its kind, so
// that no text of a caller is stored in clear. An absent code passes: the command judges
// whether a reason is required.
func (in Intent) Reason(kind registry.ReasonKind, code domain.ReasonCode) error {
	return refuseUnknown(ErrReason, []Word{{"reason", "reasons of the kind " + string(kind), code == "" || in.Words.Reason(kind, code)}})
}

// ReasonOfAnyKind refuses with ErrReason a code that the registry lists for no kind; an absent
// one passes.
func (in Intent) ReasonOfAnyKind(code domain.ReasonCode) error {
	known := code == "" || slices.ContainsFunc(registry.ReasonKinds, func(k registry.ReasonKind) bool { return in.Words.Reason(k, code) })
	return refuseUnknown(ErrReason, []Word{{"reason", "reasons", known}})
}
