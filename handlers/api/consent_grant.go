package api

import (
	"context"
	"time"

	"coffre/domain"
	"coffre/domain/consent"
	"coffre/domain/mandate"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

type consentResult = eventstore.Result[consent.State, consent.Event]

// GrantConsent implements POST /consents: rules C-1, C-2 and C-5.
func (v *Vault) GrantConsent(ctx context.Context, r contract.GrantConsentRequestObject) (contract.GrantConsentResponseObject, error) {
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (consentAnswer, error) {
		b := r.Body
		terms := consent.Terms{
			Consumer: b.Consumer, Purpose: b.Purpose, Documents: b.Documents, Types: b.DocumentTypes,
			Fields: b.Fields, Limits: contract.LimitsOf(b.Limits),
		}
		return v.grant(ctx, in, newConsentID(in, r.Params.IdempotencyKey), b.CitizenID, terms, terms, b.Until, b.ShownText, b.Renews)
	})
	if err != nil {
		return nil, err
	}
	return contract.GrantConsent201JSONResponse{Body: done.Receipt, Headers: contract.GrantConsent201ResponseHeaders{CoffrePosition: done.At, Location: done.Receipt.Href}}, nil
}

// GrantConsentRequest implements POST /consentRequests/{id}/grant: the citizen consents to
// the terms of the request, or to narrower ones.
func (v *Vault) GrantConsentRequest(ctx context.Context, r contract.GrantConsentRequestRequestObject) (contract.GrantConsentRequestResponseObject, error) {
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (consentAnswer, error) {
		request, _, err := acting.Consents.Load(ctx, v.Log, acting.ConsentStream(r.ConsentRequestID))
		if err != nil {
			return consentAnswer{}, err
		}
		if request.Phase == consent.None || request.Citizen.IsZero() {
			return consentAnswer{}, consent.ErrNotFound
		}
		choice := consent.Terms{Fields: r.Body.Fields, Limits: contract.LimitsOf(r.Body.Limits)}
		answer, err := v.grant(ctx, in, r.ConsentRequestID, &request.Citizen, choice, request.Terms, r.Body.Until, r.Body.ShownText, nil)
		if err == nil {
			v.Free(&acting.ConsentRequests, r.ConsentRequestID.UUID)
		}
		return answer, err
	})
	if err != nil {
		return nil, err
	}
	return contract.GrantConsentRequest200JSONResponse{Body: done.Receipt, Headers: contract.GrantConsentRequest200ResponseHeaders{CoffrePosition: done.At}}, nil
}

// grant records a consent with the citizen's own terms or choices. about names its purpose,
// documents and types: the terms themselves, or those of the request. A nil subject is the
// caller; a nil renews makes a first consent.
func (v *Vault) grant(ctx context.Context, in acting.Intent, id domain.ConsentID, subject *domain.CitizenID, terms, about consent.Terms, until *time.Time, shown contract.ShownText, renews *domain.ConsentID) (consentAnswer, error) {
	a, err := v.ActFor(ctx, in, subject, mandate.Consent)
	if err != nil {
		return consentAnswer{}, err
	}
	if err := v.CheckDecides(ctx, in, a); err != nil {
		return consentAnswer{}, err
	}
	held, err := v.documentsHeldBy(ctx, a.Citizen, about.Documents)
	if err != nil {
		return consentAnswer{}, err
	}
	// The words are told before the fields, which depend on them; the decision refuses them.
	lacking := unregistered(in.Words, about, held, false)
	if len(lacking) == 0 {
		if err := checkFieldsOffered(in.Words, about.Purpose, about.Types, held, terms.Fields); err != nil {
			return consentAnswer{}, err
		}
	} else if terms.Consumer.IsZero() { // the words are those of a request, no members of this call
		for i := range lacking {
			lacking[i].Name = "body"
		}
	}
	person, err := v.LoadPerson(ctx, a.Citizen)
	if err != nil {
		return consentAnswer{}, err
	}
	types := about.Types
	for _, h := range held {
		types = append(types[:len(types):len(types)], h.Type)
	}
	cmd := consent.Grant{
		Consent: id, Citizen: a.Citizen, Terms: terms, Until: recordedTime(until),
		Shown:      consent.Shown{Text: shown.Text, Language: shown.Language, Version: shown.Version},
		Registered: in.Words.ConsentText(about.Purpose, about.Consumer, shown.Language, shown.Version),
		Held:       held, Registrations: in.Words.Registrations(about.Consumer),
		Standing: person.Standing, Mandate: a.MandateFor(types), By: a.By, At: in.At,
	}
	if err := v.endRenewed(ctx, in, person, &cmd, renews); err != nil {
		return consentAnswer{}, explainUnregistered(err, lacking)
	}
	result, err := acting.Consents.Transact(ctx, v.Log, a.AddTo(in.Write(0, acting.ConsentStream(id), a.Citizen, person.At)), cmd)
	if err != nil {
		return consentAnswer{}, explainUnregistered(err, lacking)
	}
	return v.consentAnswer(ctx, id, result)
}
