package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections/vocabulary"
)

// silentWriteBeats is the interval, in beats, at whose multiples answers leave that must not
// tell whether the vault knows a person and for which something became durable, which takes
// longer than a refusal.
const silentWriteBeats = 3

// RequestConsent implements POST /consentRequests: rule C-2. The answer is the same
// whether the vault knows the person or not, and so are the work and the waits (rule A-9):
// one event becomes durable in a stream of its own either way, and either way the consumer
// sees the request wait.
func (v *Vault) RequestConsent(ctx context.Context, r contract.RequestConsentRequestObject) (contract.RequestConsentResponseObject, error) {
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (consentAnswer, error) {
		b := r.Body
		cmd := consent.Request{
			Consent: newConsentID(in, r.Params.IdempotencyKey), Until: recordedTime(b.Until), Message: b.Message, By: in.Actor, At: in.At,
			Registrations: in.Words.Registrations(in.Actor.Organisation),
			Terms: consent.Terms{
				Consumer: in.Actor.Organisation, Purpose: b.Purpose, Types: b.DocumentTypes,
				Fields: b.Fields, Limits: contract.LimitsOf(b.Limits),
			},
		}
		// Mistakes in the request itself are told before the person is looked up, the purpose and
		// the types before the fields, which depend on them.
		events, err := cmd.Decide(consent.State{})
		if err != nil {
			return consentAnswer{}, explainUnregistered(err, unregistered(in.Words, cmd.Terms, nil, true))
		}
		if err := checkFieldsOffered(in.Words, b.Purpose, b.DocumentTypes, nil, b.Fields); err != nil {
			return consentAnswer{}, err
		}
		state := consent.State{}
		for _, e := range events {
			state = consent.Evolve(state, e)
		}
		position, err := v.recordConsentRequest(ctx, in, b.SSIN, cmd, state.Terms.Until)
		if err != nil {
			return consentAnswer{}, err
		}
		at, err := v.PositionToken(ctx, position)
		return consentAnswer{consentReceipt(cmd.Consent, state), at}, err
	})
	if err != nil {
		return nil, err
	}
	edge.CallFrom(ctx).WaitForBeat(ctx, silentWriteBeats)
	return contract.RequestConsent202JSONResponse{Body: done.Receipt, Headers: contract.RequestConsent202ResponseHeaders{CoffrePosition: done.At}}, nil
}

// recordConsentRequest records the request to a living person, and for anybody else the same
// request to nobody, without its message. The request takes a place in the budget until that
// time, whomever it names. It returns the position of the event.
func (v *Vault) recordConsentRequest(ctx context.Context, in acting.Intent, ssin contract.SSIN, cmd consent.Request, until time.Time) (at eventstore.Position, err error) {
	if cmd.Message != "" { // it will be sealed; while the keys are away nobody's can be, whoever is remembered
		if err := v.Keys.CheckKeeper(ctx); err != nil {
			return eventstore.Position{}, err
		}
	}
	id, err := v.Resolve(ctx, in.Call, ssin, nil)
	if err != nil {
		return eventstore.Position{}, err
	}
	subject := v.quotaSubject(id, ssin, nil)
	if err := v.ClaimQuota(ctx, in, subject); err != nil {
		return eventstore.Position{}, err
	}
	if err := v.Take(ctx, in.Call, &acting.ConsentRequests, acting.Room{ID: cmd.Consent.UUID, Person: subject.UUID[:], Until: until}); err != nil {
		return eventstore.Position{}, err
	}
	defer func() { v.FreeIfRefused(&acting.ConsentRequests, cmd.Consent.UUID, err) }()
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
	if cmd.Message != "" { // which would be sealed under a key of the request
		if err := v.Keys.ImitateStreamKey(ctx); err != nil {
			return eventstore.Position{}, err
		}
	}
	cmd.Citizen = domain.CitizenID{}
	result, err := acting.Consents.Transact(ctx, v.Log, in.Write(0, acting.ConsentStream(cmd.Consent), acting.NoCitizen), cmd)
	if err != nil {
		return eventstore.Position{}, fmt.Errorf("record a request to nobody: %w", err)
	}
	return result.Position, nil
}

// unregistered returns the words of a consent, given or asked for, that the consumer has no
// registration for: the consumer itself, the purpose, or each type of document. Of documents
// that are named held has the types. It tells nothing of the citizen but the types of documents
// that they name themselves.
func unregistered(words *vocabulary.View, t consent.Terms, held []consent.Held, ofCaller bool) []contract.InputValidationIssue {
	who, look := "this organisation has", "; purposes of the organisation in GET /registry are those for which it reads"
	if ofCaller {
		who, look = "you have", "; registrations in GET /registry with your token tell what you may ask consent for"
	}
	if _, known := words.Organisation(t.Consumer); !known {
		return []contract.InputValidationIssue{notCovered("/consumer", "wordNotCovered", "the registry has no such organisation; organizations of GET /registry has those there are")}
	}
	var forPurpose []domain.DocumentType
	for _, r := range words.Registrations(t.Consumer) {
		if r.Consent && r.Purpose == t.Purpose {
			forPurpose = append(forPurpose, r.Types...)
		}
	}
	if len(forPurpose) == 0 {
		detail := who + " no registration to ask consent for this purpose" + look
		if _, known := words.Purpose(t.Purpose); !known {
			detail = "the registry has no such purpose; purposes of GET /registry has those there are"
		}
		return []contract.InputValidationIssue{notCovered("/purpose", "wordNotCovered", detail)}
	}
	var issues []contract.InputValidationIssue
	for i, name := range t.Types {
		if slices.Contains(forPurpose, name) {
			continue
		}
		detail := who + " no registration to ask consent for this type of document and purpose" + look
		if _, known := words.DocumentType(name); !known {
			detail = "the registry has no such type of document; documentTypes of GET /registry has those there are"
		}
		issues = append(issues, notCovered(fmt.Sprintf("/documentTypes/%d", i), "wordNotCovered", detail))
	}
	for i, id := range t.Documents {
		if slices.ContainsFunc(held, func(h consent.Held) bool { return h.Document == id && !slices.Contains(forPurpose, h.Type) }) {
			issues = append(issues, notCovered(fmt.Sprintf("/documents/%d", i), "wordNotCovered", who+" no registration to ask consent for this document's type and purpose"+look))
		}
	}
	return issues
}

// explainUnregistered names in consent.ErrNotRegistered what the consumer is not registered for,
// and returns any other error as it is.
func explainUnregistered(refusal error, issues []contract.InputValidationIssue) error {
	if len(issues) == 0 || !errors.Is(refusal, consent.ErrNotRegistered) {
		return refusal
	}
	return edge.Explained(refusal, issues)
}
