package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/projections/vocabulary"
)

var errUnknownField = domain.NewError(domain.Invalid, "unknownField", "for this purpose these types of document offer no such field")

// consentAnswer is the stored answer to a decision about a consent.
type consentAnswer struct {
	Receipt contract.ConsentReceiptShort
	At      contract.PositionToken
}

// newConsentID returns the id of the consent that a request with this Idempotency-Key makes. A
// repetition gets the same one, also when nobody remembers the first attempt any more: then it
// meets what that one made.
func newConsentID(in acting.Intent, key uuid.UUID) domain.ConsentID {
	return domain.ConsentID{UUID: uuid.NewSHA1(key, []byte(in.Call.Operation+" "+acting.RequestOwner(in.Call)))}
}

// consentReceipt returns the state of a consent as the contract shows it.
func consentReceipt(id domain.ConsentID, s consent.State) contract.ConsentReceiptShort {
	return contract.ConsentReceiptShort{Href: contract.ConsentHref(id), ConsentID: id, State: contract.ConsentState(s.Phase), Until: s.Terms.Until}
}

// consentAnswer returns the answer to a decision that was recorded.
func (v *Vault) consentAnswer(ctx context.Context, id domain.ConsentID, done consentResult) (consentAnswer, error) {
	at, err := v.PositionToken(ctx, done.Position)
	return consentAnswer{consentReceipt(id, done.State), at}, err
}

// recordedTime returns a caller's time as it is recorded: in UTC and whole microseconds; nil
// when none was given.
func recordedTime(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.UTC().Truncate(time.Microsecond))
}

// documentsHeldBy returns those of the documents that belong to a citizen and are not
// erased, as the streams of the documents tell.
func (v *Vault) documentsHeldBy(ctx context.Context, subject domain.CitizenID, ids []domain.DocumentID) ([]consent.Held, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	person, err := v.LoadPerson(ctx, subject)
	if err != nil {
		return nil, err
	}
	var held []consent.Held
	for _, id := range ids {
		state, _, err := acting.Documents.Load(ctx, v.Log, acting.DocumentStream(id))
		if err != nil {
			return nil, err
		}
		if state.Exists() && person.Is(state.Citizen) && !state.Erased {
			held = append(held, consent.Held{Document: id, Type: state.Type})
		}
	}
	return held, nil
}

// checkFieldsOffered refuses a field that none of the document types offers for the purpose,
// so that only words of the registry are recorded in clear.
func checkFieldsOffered(words *vocabulary.View, purpose domain.Purpose, types []domain.DocumentType, held []consent.Held, fields []domain.Field) error {
	for _, h := range held {
		types = append(slices.Clip(types), h.Type)
	}
	var known []domain.Field
	for _, name := range types {
		t, ok := words.DocumentType(name)
		if !ok {
			continue
		}
		for _, m := range t.Minimum {
			if m.Purpose != purpose {
				continue
			}
			known = append(known, m.Fields...)
			for _, p := range t.Predicates {
				if slices.Contains(m.Predicates, p.Name) {
					known = append(known, p.AgeAtLeast.Field)
				}
			}
		}
	}
	var causes []domain.Cause
	for i, f := range fields {
		if !slices.Contains(known, f) {
			causes = append(causes, domain.Cause{Of: fmt.Sprintf("fields/%d", i), Expected: "minimum of the type in GET /registry has those there are"})
		}
	}
	if len(causes) == 0 {
		return nil
	}
	return domain.Because(errUnknownField, causes...)
}

// typesOfTerms returns the types a consent is about: those it names, or those of the
// documents it names.
func (v *Vault) typesOfTerms(ctx context.Context, t consent.Terms) ([]domain.DocumentType, error) {
	types := slices.Clone(t.Types)
	for _, id := range t.Documents {
		state, _, err := acting.Documents.Load(ctx, v.Log, acting.DocumentStream(id))
		if err != nil {
			return nil, err
		}
		if state.Type == "" {
			return nil, document.ErrNotFound
		}
		types = append(types, state.Type)
	}
	return types, nil
}
