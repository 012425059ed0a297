package vault

import (
	"testing"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/mandate"
	"coffre/eventstore"
	"coffre/projections/consentlog"
	"coffre/projections/projectiontest"
	"coffre/projections/wallet"
)

// The read models remember documents, consents and mandates, and nothing else by such a
// name; while they are made ready nobody knows.
func TestReadModelsKnowWhatTheyTook(t *testing.T) {
	w, m := projectiontest.NewWorld(), readModels{wallets: wallet.New(), consents: consentlog.New()}
	who, id := domain.CitizenID{UUID: uuid.New()}, uuid.New()
	taken := map[eventstore.Stream]any{
		eventstore.Stream("document-" + id.String()): document.Issued{Document: domain.DocumentID{UUID: id}, Citizen: who, Personal: &document.IssuedPersonal{}},
		eventstore.Stream("consent-" + id.String()):  consent.Granted{Consent: domain.ConsentID{UUID: id}, Citizen: who, Personal: &consent.GrantedPersonal{}},
		eventstore.Stream("mandate-" + id.String()):  mandate.Granted{Mandate: domain.MandateID{UUID: id}, Citizen: who, Representative: who, Personal: &mandate.GrantedPersonal{}},
	}
	for s, event := range taken {
		if known, err := m.knows(t.Context(), s); known || err != nil {
			t.Errorf("%s before a read model is there: %t, %v", s.Category(), known, err)
		}
		w.Record(t, s, who, event)
	}
	projectiontest.Start(t, w, t.TempDir(), m.wallets, m.consents).CaughtUp(t)
	for s := range taken {
		if known, err := m.knows(t.Context(), s); !known || err != nil {
			t.Errorf("%s: %t, %v", s.Category(), known, err)
		}
		never := eventstore.Stream(s.Category() + "-" + uuid.NewString())
		if known, err := m.knows(t.Context(), never); known || err != nil {
			t.Errorf("a %s that never was: %t, %v", s.Category(), known, err)
		}
	}
	for _, s := range []eventstore.Stream{"registry", "citizen-" + eventstore.Stream(id.String()), "document-x", ""} {
		if known, err := m.knows(t.Context(), s); known || err != nil {
			t.Errorf("%q: %t, %v", s, known, err)
		}
	}
}
