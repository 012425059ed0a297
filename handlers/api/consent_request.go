package api

import (
	"context"
	"errors"
	"fmt"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
)

// RequestConsent implements POST /consentRequests: rule C-2. The answer is the same
// whether the vault knows the person or not, and so is the work: one event becomes durable
// either way, the request or a refusal. The consumer sees the request again once the citizen
// answered it.
func (v *Vault) RequestConsent(ctx context.Context, r contract.RequestConsentRequestObject) (contract.RequestConsentResponseObject, error) {
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (consentAnswer, error) {
		b := r.Body
		cmd := consent.Request{
			Consent: newConsentID(in), Message: b.Message, By: in.Actor, At: in.At,
			Registrations: in.Words.Registrations(in.Actor.Organisation),
			Terms: consent.Terms{
				Consumer: in.Actor.Organisation, Purpose: b.Purpose, Types: b.DocumentTypes,
				Fields: b.Fields, Until: recordedTime(b.Until), Limits: contract.LimitsOf(b.Limits),
			},
		}
		if err := checkFieldsOffered(in.Words, b.Purpose, b.DocumentTypes, nil, b.Fields); err != nil {
			return consentAnswer{}, err
		}
		// Mistakes in the request itself are told before the person is looked up.
		events, err := cmd.Decide(consent.State{})
		if err != nil {
			return consentAnswer{}, err
		}
		state := consent.State{}
		for _, e := range events {
			state = consent.Evolve(state, e)
		}
		position, err := v.recordConsentRequest(ctx, in, b.SSIN, cmd)
		if err != nil {
			return consentAnswer{}, err
		}
		at, err := v.PositionToken(ctx, position)
		return consentAnswer{consentReceipt(cmd.Consent, state), at}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.RequestConsent202JSONResponse{Body: done.Receipt, Headers: contract.RequestConsent202ResponseHeaders{CoffrePosition: done.At}}, nil
}

// recordConsentRequest records the request to a living person, and for anybody else a refusal
// that names nobody. It returns the position of the event.
func (v *Vault) recordConsentRequest(ctx context.Context, in acting.Intent, ssin contract.SSIN, cmd consent.Request) (eventstore.Position, error) {
	id, err := v.Resolve(ctx, in.Call, ssin, domain.CitizenRef{})
	if err != nil {
		return eventstore.Position{}, err
	}
	person, err := v.LoadPerson(ctx, id)
	if err != nil {
		return eventstore.Position{}, err
	}
	if person.Standing == citizen.Living {
		cmd.Citizen = id
		result, err := acting.Consents.Transact(ctx, v.Log, in.Write(0, acting.ConsentStream(cmd.Consent), id, person.At), cmd)
		if !errors.Is(err, eventstore.ErrErased) {
			return result.Position, err
		}
	}
	nobody := disclosure.RegistryWordsOnly(in.Words, access.Refused{
		Consumer: in.Actor.Organisation, Purpose: cmd.Terms.Purpose, Reason: domain.ReasonCode(citizen.ErrUnknown.Slug), At: in.At,
	})
	result, err := acting.Refusals.Transact(ctx, v.Log, in.Write(1, acting.RefusalStream(nobody.Consumer, in.At), acting.NoCitizen), access.RecordRefusals{Refusals: []access.Refused{nobody}})
	if err != nil {
		return eventstore.Position{}, fmt.Errorf("record a request to nobody: %w", err)
	}
	return result.Position, nil
}
