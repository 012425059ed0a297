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
	"coffre/handlers/contract"
)

// RequestConsent implements POST /consentRequests: rule C-2. The answer is the
// same whether the vault knows the person or not, and so is the work: one fact is
// made durable either way, the request or that there is nobody to ask. The
// consumer sees the request again once the citizen answered it.
func (v *Vault) RequestConsent(ctx context.Context, r contract.RequestConsentRequestObject) (contract.RequestConsentResponseObject, error) {
	done, err := once(ctx, v, r.Params.IdempotencyKey, func(ctx context.Context, in intent) (decidedConsent, error) {
		b := r.Body
		cmd := consent.Request{
			Consent: newConsent(in), Message: b.Message, By: in.actor, At: in.at,
			Registrations: in.words.Registrations(in.actor.Organisation),
			Terms: consent.Terms{
				Consumer: in.actor.Organisation, Purpose: b.Purpose, Types: b.DocumentTypes,
				Fields: b.Fields, Until: moment(b.Until), Limits: limitsOf(b.Limits),
			},
		}
		if err := offered(in.words, b.Purpose, b.DocumentTypes, nil, b.Fields); err != nil {
			return decidedConsent{}, err
		}
		// What is wrong with the request itself is told before anybody is looked for.
		asked, err := cmd.Decide(consent.State{})
		if err != nil {
			return decidedConsent{}, err
		}
		state := consent.State{}
		for _, e := range asked {
			state = consent.Evolve(state, e)
		}
		position, err := v.ask(ctx, in, b.SSIN, cmd)
		if err != nil {
			return decidedConsent{}, err
		}
		at, err := v.position(ctx, position)
		return decidedConsent{consentReceipt(cmd.Consent, state), at}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.RequestConsent202JSONResponse{Body: done.Receipt, Headers: contract.RequestConsent202ResponseHeaders{CoffrePosition: done.At}}, nil
}

// ask records the request of a living person; of anybody else that a consumer
// asked for somebody who cannot be asked.
func (v *Vault) ask(ctx context.Context, in intent, ssin contract.SSIN, cmd consent.Request) (eventstore.Position, error) {
	id, err := v.named(ctx, in.call, ssin, domain.CitizenRef{})
	if err != nil {
		return eventstore.Position{}, err
	}
	person, err := v.meet(ctx, id)
	if err != nil {
		return eventstore.Position{}, err
	}
	if person.standing == citizen.Living {
		cmd.Citizen = id
		result, err := consents.Transact(ctx, v.Log, in.write(0, consentStream(cmd.Consent), id, person.at), cmd)
		if !errors.Is(err, eventstore.ErrErased) {
			return result.Position, err
		}
	}
	nobody := inWords(in.words, access.Refused{
		Consumer: in.actor.Organisation, Purpose: cmd.Terms.Purpose, Reason: domain.ReasonCode(citizen.ErrUnknown.Slug), At: in.at,
	})
	result, err := refusals.Transact(ctx, v.Log, in.write(1, refusalStream(nobody.Consumer, in.at), noCitizen), access.RecordRefusals{Refusals: []access.Refused{nobody}})
	if err != nil {
		return eventstore.Position{}, fmt.Errorf("record a request to nobody: %w", err)
	}
	return result.Position, nil
}
