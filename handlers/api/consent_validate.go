package api

import (
	"context"
	"errors"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/projections"
)

// ValidateConsent implements POST /consents/validate: would this access be lawful
// now, and why not. It takes the first steps of a disclosure and no other: no
// content is opened and no use counted; a refusal is recorded (rule A-3).
func (v *Vault) ValidateConsent(ctx context.Context, r ValidateConsentRequestObject) (ValidateConsentResponseObject, error) {
	in, b := v.intend(ctx), r.Body
	asked := reading{
		basis: basis{consent: b.ConsentID, legalBasis: b.LegalBasis, deliberation: b.Deliberation},
		// An access that nobody asked for yet, so that the limits on use count.
		documentType: b.DocumentType, access: domain.AccessID{UUID: v.NewID()},
		purpose: b.Purpose, procedure: b.Procedure, fields: b.Fields, predicate: registry.PredicateName(b.Predicate.Name),
	}
	candidates := []domain.DocumentID{b.DocumentID}
	if b.DocumentID.IsZero() {
		var err error
		if candidates, err = v.candidates(ctx, in, b.SSIN, b.CitizenRef, b.DocumentType); err != nil {
			return nil, err
		}
	}
	var f findings
	var why error
	for _, asked.document = range candidates {
		if f, why = v.wouldDisclose(ctx, in, asked); why == nil {
			break
		}
		var said *domain.Error
		if !errors.As(why, &said) || said.Code == domain.Unavailable {
			return nil, why
		}
	}
	answer := ConsentJudgement{Lawful: why == nil}
	if why != nil {
		answer.Reason = string(reasonOf(why))
	}
	if !errors.Is(why, access.ErrNoBasis) { // to others the consent is not there
		answer.Until = f.consent.Terms.Until
		answer.UsesLeft, _ = f.consent.UsesLeft()
	}
	_ = v.refused(in, asked.asked(f), why) // the answer says it in its own way
	return ValidateConsent200JSONResponse(answer), nil
}

// candidates are the documents of that type that the named person holds; for a
// person the vault does not know one that does not exist, so that it is judged
// in the same way.
func (v *Vault) candidates(ctx context.Context, in intent, ssin SSIN, ref domain.CitizenRef, t domain.DocumentType) ([]domain.DocumentID, error) {
	id, err := v.named(ctx, in.call, ssin, ref)
	if err != nil {
		return nil, err
	}
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

// wouldDisclose judges a reading without recording it.
func (v *Vault) wouldDisclose(ctx context.Context, in intent, r reading) (findings, error) {
	f, err := v.survey(ctx, in, r)
	if err != nil {
		return f, err
	}
	if err := r.lawful(in, f); err != nil {
		return f, err
	}
	turn, err := v.admit(ctx, in, f.citizen.id)
	if err == nil {
		turn.done(eventstore.Position{})
	}
	return f, err
}
