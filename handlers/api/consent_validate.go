package api

import (
	"context"
	"errors"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/registry"
	"coffre/handlers/contract"
	"coffre/projections"
)

// ValidateConsent implements POST /consents/validate: would this access be lawful
// now, and why not. It takes the first steps of a disclosure and no other: no
// content is opened and no use counted; a refusal is recorded (rule A-3).
func (v *Vault) ValidateConsent(ctx context.Context, r contract.ValidateConsentRequestObject) (contract.ValidateConsentResponseObject, error) {
	in, b := v.intend(ctx), r.Body
	asked := reading{
		basis: basis{consent: b.ConsentID, legalBasis: b.LegalBasis, deliberation: b.Deliberation},
		// An access that nobody asked for yet, so that the limits on use count.
		documentType: b.DocumentType, access: domain.AccessID{UUID: v.NewID()},
		purpose: b.Purpose, procedure: b.Procedure, fields: b.Fields, predicate: registry.PredicateName(b.Predicate.Name),
	}
	candidates := []domain.DocumentID{b.DocumentID}
	var whose domain.CitizenID
	if b.DocumentID.IsZero() {
		var err error
		if whose, err = v.named(ctx, in.call, b.SSIN, b.CitizenRef); err != nil {
			return nil, err
		}
		if candidates, err = v.candidates(ctx, whose, b.DocumentType); err != nil {
			return nil, err
		}
		whose = v.distinct(whose, b.SSIN, b.CitizenRef)
	}
	var f findings
	var why error
	for _, asked.document = range candidates {
		if f, why = v.wouldDisclose(ctx, in, asked, whose); why == nil {
			break
		}
		var said *domain.Error
		if !errors.As(why, &said) || said.Code == domain.Unavailable {
			return nil, why
		}
	}
	answer := contract.ConsentJudgement{Lawful: why == nil}
	if why != nil {
		answer.Reason = string(reasonOf(why))
	}
	if !errors.Is(why, access.ErrNoBasis) { // to others the consent is not there
		answer.Until = f.consent.Terms.Until
		answer.UsesLeft, _ = f.consent.UsesLeft()
	}
	_ = v.refused(in, asked.asked(f), why) // the answer says it in its own way
	return contract.ValidateConsent200JSONResponse(answer), nil
}

// candidates are the documents of that type that a person holds; for one the
// vault does not know one that does not exist, so that it is judged in the same
// way.
func (v *Vault) candidates(ctx context.Context, id domain.CitizenID, t domain.DocumentType) ([]domain.DocumentID, error) {
	held, err := v.Evidence.Held(ctx, id, projections.Latest, t)
	if err != nil {
		return nil, err
	}
	all := make([]domain.DocumentID, 0, len(held)+1)
	for i := len(held) - 1; i >= 0; i-- { // the newest first
		all = append(all, held[i].Document)
	}
	if len(all) == 0 {
		all = append(all, domain.DocumentID{})
	}
	return all, nil
}

// wouldDisclose judges a reading without recording it. Whoever has a basis learns
// here what a citizen holds, so the citizen counts for the quota (rule A-7): whose
// says who, where the document does not.
func (v *Vault) wouldDisclose(ctx context.Context, in intent, r reading, whose domain.CitizenID) (findings, error) {
	f, err := v.survey(ctx, in, r)
	if err != nil {
		return f, err
	}
	if !f.citizen.id.IsZero() {
		whose = f.citizen.id
	}
	turn, err := v.admit(ctx, in, whose)
	if err != nil {
		return f, err
	}
	turn.kept()
	return f, r.lawful(in, f)
}
