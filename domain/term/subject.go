package term

import (
	"time"

	"coffre/domain"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/petition"
)

// OfDocument returns the term of a document; ok is false where none runs (rule N-3): it has no
// end, is revoked or erased, or its dates are personal, of which nothing in clear may tell.
func OfDocument(s document.State) (t Term, ok bool) {
	if !s.Exists() || s.PersonalValidity || s.Erased || !s.Revocation.IsZero() {
		return Term{}, false
	}
	_, ends, known := s.Validity(s.Current())
	if !known || ends.IsZero() {
		return Term{}, false
	}
	t = Term{Kind: Document, Subject: s.Document.UUID, Citizen: s.Citizen, Type: s.Type, Organisation: s.Issuer, Ends: ends, Over: domain.BelgianMidnight(ends.AddDays(1))}
	for _, v := range s.Versions { // an update without dates does not make the end known anew
		if v.ValidFrom != "" {
			t.Known = v.At
		}
	}
	return t, true
}

// OfConsent returns the term of a consent; ok is false where none runs (rule N-3).
func OfConsent(s consent.State) (t Term, ok bool) {
	return Term{
		Kind: Consent, Subject: s.Consent.UUID, Citizen: s.Citizen, Organisation: s.Terms.Consumer, Purpose: s.Terms.Purpose,
		Ends: domain.BelgianDate(s.Terms.Until.Add(-time.Microsecond)), Over: s.Terms.Until, Known: s.GrantedAt,
	}, s.Phase == consent.IsGranted
}

// OfPetition returns the term in which a petition is to be answered; ok is false where none runs
// (rule N-3).
func OfPetition(s petition.State) (t Term, ok bool) {
	known := s.At
	if !s.ExtendedAt.IsZero() {
		known = s.ExtendedAt
	}
	return Term{
		Kind: Petition, Subject: s.Petition.UUID, Citizen: s.Citizen, Organisation: s.Organisation,
		Ends: s.Deadline, Over: domain.BelgianMidnight(s.Deadline.AddDays(1)), Known: known,
	}, s.Open()
}
