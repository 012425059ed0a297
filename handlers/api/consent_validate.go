package api

import (
	"context"
	"errors"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/registry"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
)

// ValidateConsent implements POST /consents/validate: whether an access would be lawful now,
// and if not, why. It takes the first steps of a disclosure and no other: no content is
// opened and no use counted; a refusal is recorded (rule A-3).
func (v *Vault) ValidateConsent(ctx context.Context, r contract.ValidateConsentRequestObject) (contract.ValidateConsentResponseObject, error) {
	in, b := v.NewIntent(ctx), r.Body
	reading := disclosure.Reading{
		Basis: disclosure.Basis{Consent: b.ConsentID, LegalBasis: b.LegalBasis, Deliberation: b.Deliberation},
		// The id of a new access, so that the limits on use apply.
		DocumentType: b.DocumentType, Access: domain.AccessID{UUID: v.NewID()},
		Purpose: b.Purpose, Procedure: b.Procedure, Fields: b.Fields, Predicate: registry.PredicateName(b.Predicate.Name),
	}
	if err := v.CheckRefusals(ctx, in); err != nil {
		return nil, err
	}
	f, refusal, err := v.judgeValidation(ctx, in, b, reading)
	if err != nil {
		return nil, err
	}
	answer := contract.ConsentJudgement{Lawful: refusal == nil}
	if refusal != nil {
		answer.Reason = string(disclosure.ReasonOf(refusal))
	}
	if !errors.Is(refusal, access.ErrNoBasis) { // to others the consent is not there
		answer.Until = f.Consent.Terms.Until
		if left, limited := f.Consent.UsesLeft(); limited {
			answer.UsesLeft = &left
		}
	}
	if err := v.QueueRefusal(in, reading.AsRefused(in, f), refusal); errors.Is(err, disclosure.ErrRefusalsWait) {
		return nil, err
	}
	if refusal != nil {
		in.Call.WaitForBeat(ctx, 1)
	}
	return contract.ValidateConsent200JSONResponse(answer), nil
}

// judgeValidation judges the reading of the document that a consumer names, or of those of a
// type that a person holds, newest first, until one would be lawful. The basis alone is
// judged before it is looked at what the person holds (rules ).
func (v *Vault) judgeValidation(ctx context.Context, in acting.Intent, b *contract.ConsentValidation, r disclosure.Reading) (f disclosure.Findings, refusal, err error) {
	var candidates []domain.DocumentID
	var found disclosure.Findings // of the citizen from whose documents a restriction keeps something
	restricted := false
	var subject domain.CitizenID
	if b.DocumentID != nil {
		candidates = []domain.DocumentID{*b.DocumentID}
	} else {
		if subject, err = v.Resolve(ctx, in.Call, b.SSIN, b.CitizenRef); err != nil {
			return f, nil, err
		}
		if f, err = v.loadBasis(ctx, subject, r); err != nil {
			return f, nil, err
		}
		if refusal = r.CheckBasis(in, f); refusal != nil {
			return f, refusal, nil
		}
		found = f
		if candidates, restricted, err = v.candidateDocuments(ctx, in, subject, r, f); err != nil {
			return f, nil, err
		}
		subject = v.quotaSubject(subject, b.SSIN, b.CitizenRef)
	}
	for _, r.Document = range candidates {
		if f, refusal = v.judgeReading(ctx, in, r, subject); refusal == nil {
			return f, nil, nil
		}
		var said *domain.Error
		if !errors.As(refusal, &said) || said.Code == domain.Unavailable {
			return f, nil, refusal
		}
	}
	if restricted && errors.Is(refusal, access.ErrNoBasis) {
		return found, access.ErrRestricted, nil // for the record
	}
	return f, refusal, nil
}

// candidateDocuments returns the documents of a reading's type that a person holds and no
// restriction of processing keeps from it, newest first, and whether one keeps anything. Without
// any, or for a person whom the vault does not know, it returns the zero id, which is judged in
// the same way.
func (v *Vault) candidateDocuments(ctx context.Context, in acting.Intent, id domain.CitizenID, r disclosure.Reading, f disclosure.Findings) ([]domain.DocumentID, bool, error) {
	all, err := v.heldBy(ctx, id, r.DocumentType)
	if err != nil {
		return nil, false, err
	}
	held, restricted := withoutRestricted(in, r, f, all)
	ids := make([]domain.DocumentID, 0, len(held)+1)
	for i := len(held) - 1; i >= 0; i-- { // the newest first
		ids = append(ids, held[i].Document)
	}
	if len(ids) == 0 {
		ids = append(ids, domain.DocumentID{})
	}
	return ids, restricted, nil
}

// judgeReading judges a reading without recording it. A consumer with a basis learns from the
// answer that the citizen holds something, so the citizen counts for the quota (rule A-7):
// subject is counted where the document names nobody.
func (v *Vault) judgeReading(ctx context.Context, in acting.Intent, r disclosure.Reading, subject domain.CitizenID) (disclosure.Findings, error) {
	f, err := v.EstablishBasis(ctx, in, r)
	if err != nil {
		return f, err
	}
	if !f.Citizen.ID.IsZero() {
		subject = f.Citizen.ID
	}
	if err := v.ClaimQuota(ctx, in, subject); err != nil {
		return f, err
	}
	return f, r.Check(in, f)
}
