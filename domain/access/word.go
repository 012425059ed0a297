package access

import (
	"slices"

	"coffre/domain/registry"
)

// Word is a member of a request that the stated basis does not cover.
type Word string

const (
	WordConsent      Word = "consentId"
	WordPurpose      Word = "purpose"
	WordLegalBasis   Word = "legalBasis"
	WordDeliberation Word = "deliberation"
	WordProcedure    Word = "procedure"
	WordDocumentType Word = "documentType"
	// WordInvestigation is judged last: all other words are covered.
	WordInvestigation Word = "investigationId"
)

// Lacking returns the first word, from the widest to the narrowest, with which no
// registration of the consumer is left that has all words before it; "" when one has them
// all. It tells a consumer why Basis refused with ErrNoBasis, so only one who has some basis
// may hear it (rule A-6).
func (c AuthorizeByLaw) Lacking() Word {
	basis := func(fits func(registry.Basis) bool) func(registry.Registration) bool {
		return func(r registry.Registration) bool { return slices.ContainsFunc(r.Bases, fits) }
	}
	left := slices.Clone(c.Registrations)
	for _, step := range []struct {
		word Word
		has  func(registry.Registration) bool
	}{
		{WordPurpose, func(r registry.Registration) bool { return r.Purpose == c.Purpose }},
		{WordLegalBasis, basis(func(b registry.Basis) bool { return b.LegalBasis == c.LegalBasis })},
		{WordDeliberation, basis(func(b registry.Basis) bool { return b.LegalBasis == c.LegalBasis && b.Deliberation == c.Deliberation })},
		{WordProcedure, func(r registry.Registration) bool {
			return c.Procedure == "" || slices.Contains(r.Procedures, c.Procedure)
		}},
		{WordDocumentType, func(r registry.Registration) bool { return slices.Contains(r.Types, c.Type.Name) }},
	} {
		left = slices.DeleteFunc(left, func(r registry.Registration) bool { return !step.has(r) })
		if len(left) == 0 {
			return step.word
		}
	}
	if !c.stands() {
		return WordInvestigation
	}
	return ""
}
