package terms_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/petition"
	"coffre/domain/term"
	"coffre/eventstore"
	"coffre/projections"
	"coffre/projections/projectiontest"
	"coffre/projections/terms"
)

var (
	ana   = domain.CitizenID{UUID: uuid.UUID{1}}
	bob   = domain.CitizenID{UUID: uuid.UUID{2}}
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	agree = consent.Terms{Consumer: "0316380841", Purpose: "schoolAllowance", Types: []domain.DocumentType{"isiPlusCard"}, Until: noon.AddDate(0, 0, 40)}
)

func id(n byte) uuid.UUID { return uuid.UUID{9, n} }

func stream(kind string, n byte) eventstore.Stream {
	return eventstore.Stream(kind + "-" + id(n).String())
}

// tell records what comes to its end, and what does not.
func tell(t testing.TB, w *projectiontest.World) {
	doc := func(n byte, c domain.CitizenID, until domain.Date, personal bool) {
		w.Record(t, stream("document", n), c, document.Issued{Document: domain.DocumentID{UUID: id(n)}, Citizen: c, Type: "isiPlusCard", Issuer: "0206731645", ValidUntil: until, PersonalValidity: personal, At: noon, Personal: &document.IssuedPersonal{}})
	}
	give := func(n byte, c domain.CitizenID) {
		w.Record(t, stream("consent", n), c, consent.Granted{Consent: domain.ConsentID{UUID: id(n)}, Citizen: c, Terms: agree, At: noon, Personal: &consent.GrantedPersonal{}})
	}
	doc(1, ana, "2026-12-31", false) // 90 days: 1 October
	doc(2, ana, "2026-04-15", false) // 30 days: 16 March
	doc(3, ana, "", false)           // no end
	doc(4, ana, "", true)            // a personal one
	doc(5, ana, "2026-02-01", false) // has ended
	doc(6, ana, "2026-12-31", false) // to be revoked
	doc(7, bob, "2026-12-31", false) // of somebody to be erased
	doc(8, ana, "2026-12-31", false) // gets another end
	doc(9, ana, "", false)           // gets an end
	doc(10, ana, "2026-12-31", false)
	give(20, ana)
	give(21, ana) // to be withdrawn
	give(22, bob)
	w.Record(t, stream("petition", 30), ana, petition.Disputed{Petition: domain.PetitionID{UUID: id(30)}, Citizen: ana, Deadline: "2026-04-01", At: noon, Personal: &petition.TextPersonal{Text: "no"}})
	w.Record(t, stream("petition", 31), ana, petition.Requested{Petition: domain.PetitionID{UUID: id(31)}, Citizen: ana, Kind: petition.Objection, Organisation: "0316380841", Deadline: "2026-04-01", At: noon, Personal: &petition.TextPersonal{Text: "no"}})
	w.Record(t, stream("petition", 31), ana, petition.Answered{Petition: domain.PetitionID{UUID: id(31)}, Citizen: ana, Outcome: petition.Upheld, At: noon})
	w.Record(t, stream("petition", 32), ana, petition.Disputed{Petition: domain.PetitionID{UUID: id(32)}, Citizen: ana, Organisation: "0316380841", Deadline: "2026-04-01", At: noon, Personal: &petition.TextPersonal{Text: "no"}})
	w.Record(t, stream("petition", 32), ana, petition.Extended{Petition: domain.PetitionID{UUID: id(32)}, Citizen: ana, Organisation: "0316380841", Deadline: "2026-06-01", At: noon, Personal: &petition.TextPersonal{Text: "no"}})
	w.Record(t, stream("document", 6), ana, document.Revoked{Document: domain.DocumentID{UUID: id(6)}, Reason: "lost", EffectiveFrom: "2026-03-01", At: noon})
	w.Record(t, stream("document", 8), ana, document.Updated{Document: domain.DocumentID{UUID: id(8)}, Version: 2, ValidFrom: "2026-01-01", ValidUntil: "2027-12-31", At: noon, Personal: &document.UpdatedPersonal{}})
	w.Record(t, stream("document", 9), ana, document.Updated{Document: domain.DocumentID{UUID: id(9)}, Version: 2, ValidFrom: "2026-01-01", ValidUntil: "2027-12-31", At: noon, Personal: &document.UpdatedPersonal{}})
	w.Record(t, stream("document", 10), ana, document.Updated{Document: domain.DocumentID{UUID: id(10)}, Version: 2, EffectiveFrom: "2026-03-01", At: noon, Personal: &document.UpdatedPersonal{}}) // keeps its dates
	w.Record(t, stream("consent", 21), ana, consent.Withdrawn{Consent: domain.ConsentID{UUID: id(21)}, Reason: "citizen", At: noon})
	w.Record(t, eventstore.Stream("citizen-"+bob.String()), bob, citizen.KeyDestroyed{Citizen: bob, At: noon})
	w.Record(t, stream("term", 1), ana, term.Announced{Kind: term.Document, Citizen: ana, Document: domain.DocumentID{UUID: id(1)}, Ends: "2026-12-31", Before: 90, At: noon})
	w.Record(t, stream("term", 8), ana, term.Announced{Kind: term.Document, Citizen: ana, Document: domain.DocumentID{UUID: id(8)}, Ends: "2026-12-31", Before: 0, At: noon}) // of the former end
}

func TestProjection(t *testing.T) {
	projectiontest.Run(t, func() projections.Projection { return terms.New() }, func(t testing.TB, w *projectiontest.World) {
		tell(t, w)
		projectiontest.NewStory(w, 21).Tell(t, 60)
	})
}

// What is proposed is what runs, at the next step of its end, page by page; the rest never is.
func TestWhatFallsDue(t *testing.T) { projectiontest.OnEach(t, whatFallsDue) }

func whatFallsDue(t *testing.T, place func(testing.TB) string) {
	w, model := projectiontest.NewWorld(), terms.New()
	running := projectiontest.Start(t, w.Store, place(t), model)
	tell(t, w)
	running.CaughtUp(t)
	due := func(since, now time.Time) (all []string) {
		t.Helper()
		var after terms.Term
		for {
			page, err := model.Due(t.Context(), after, since, now, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range page {
				if one.Subject[0] != 9 {
					t.Errorf("%+v", one)
				}
				all, after = append(all, one.Due.Format(time.RFC3339)+" "+string(one.Kind)), one
			}
			if len(page) < 2 {
				return all
			}
		}
	}
	all := []string{
		"2026-03-15T23:00:00Z document", "2026-04-01T22:00:00Z petition", "2026-04-10T12:00:00Z consent", "2026-06-01T22:00:00Z petition", "2026-10-01T22:00:00Z document",
		"2026-11-30T23:00:00Z document", "2027-10-01T22:00:00Z document", "2027-10-01T22:00:00Z document",
	}
	if got := due(time.Time{}, noon.AddDate(5, 0, 0)); !slices.Equal(got, all) {
		t.Errorf("in all %q", got)
	}
	if got := due(time.Time{}, time.Date(2026, 4, 1, 22, 0, 0, 0, time.UTC)); !slices.Equal(got, all[:2]) {
		t.Errorf("up to a moment %q", got)
	}
	if got := due(time.Date(2026, 4, 1, 22, 0, 0, 1000, time.UTC), noon.AddDate(5, 0, 0)); !slices.Equal(got, all[2:]) {
		t.Errorf("since a moment %q", got)
	}
}
