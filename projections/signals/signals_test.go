package signals_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/petition"
	"coffre/eventstore"
	"coffre/projections"
	"coffre/projections/projectiontest"
	"coffre/projections/signals"
)

const (
	school  domain.Organisation = "0316380841"
	rail    domain.Organisation = "0203430576"
	source  domain.Organisation = "0308356862"
	cardOf  domain.DocumentType = "isiPlusCard"
	allowed domain.Purpose      = "schoolAllowance"
)

var (
	ana   = domain.CitizenID{UUID: uuid.UUID{1}}
	card  = domain.DocumentID{UUID: uuid.UUID{2}}
	yes   = domain.ConsentID{UUID: uuid.UUID{3}}
	no    = domain.ConsentID{UUID: uuid.UUID{4}}
	wrong = domain.PetitionID{UUID: uuid.UUID{5}}
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func at(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

func stream(kind string, id uuid.UUID) eventstore.Stream {
	return eventstore.Stream(kind + "-" + id.String())
}

// tell records the life of a card: issued, read by the school under a consent, changed, contested.
func tell(t testing.TB, w *projectiontest.World) {
	terms := consent.Terms{Consumer: school, Purpose: allowed, Documents: []domain.DocumentID{card}, Until: at(1000)}
	doc, deal := stream("document", card.UUID), stream("consent", yes.UUID)
	w.Record(t, doc, ana, document.Issued{Document: card, Citizen: ana, Type: cardOf, Issuer: source, At: at(0), Personal: &document.IssuedPersonal{}})
	w.Record(t, doc, ana, document.Suspended{Document: card, Reason: "underReview", At: at(1)}) // nobody read it yet
	w.Record(t, doc, ana, document.Reinstated{Document: card, At: at(1)})
	w.Record(t, deal, ana, consent.Granted{Consent: yes, Citizen: ana, Terms: terms, At: at(2), Personal: &consent.GrantedPersonal{}})
	read := access.Authorized{Access: domain.AccessID{UUID: uuid.UUID{6}}, Citizen: ana, Kind: access.OpenedDocument, Role: domain.RoleConsumer, Consumer: school, Document: card, Version: 1, Type: cardOf, Purpose: allowed, Consent: yes, Attempt: 1, At: at(3)}
	w.Record(t, deal, ana, read)
	other := read
	other.Access.UUID, other.Consent, other.Consumer, other.LegalBasis, other.Deliberation = uuid.UUID{7}, domain.ConsentID{}, rail, "6.1.e", "20/177"
	w.Record(t, eventstore.Stream("access-"+ana.String()+"-202603"), ana, other)
	w.Record(t, doc, ana, document.Updated{Document: card, At: at(4), Personal: &document.UpdatedPersonal{}})
	w.Record(t, stream("petition", wrong.UUID), ana, petition.Requested{Petition: wrong, Citizen: ana, Kind: petition.Rectification, Organisation: source, Document: card, Version: 2, Deadline: "2026-04-01", At: at(5), Personal: &petition.TextPersonal{Text: "no"}})
	w.Record(t, doc, ana, document.Revoked{Document: card, Reason: "lost", EffectiveFrom: "2026-03-01", At: at(6)})
	w.Record(t, stream("petition", wrong.UUID), ana, petition.Answered{Petition: wrong, Citizen: ana, Outcome: petition.Upheld, At: at(7)})
	w.Record(t, deal, ana, consent.Withdrawn{Consent: yes, Reason: "citizen", At: at(8)})
	w.Record(t, stream("consent", no.UUID), ana, consent.Requested{Consent: no, Citizen: ana, Terms: terms, At: at(9), Personal: &consent.RequestedPersonal{}})
	w.Record(t, stream("consent", no.UUID), ana, consent.Refused{Consent: no, At: at(10)})
	w.Record(t, stream("consent", uuid.UUID{9}), domain.CitizenID{}, consent.Requested{Consent: domain.ConsentID{UUID: uuid.UUID{9}}, Terms: terms, At: at(11)})
	w.Record(t, doc, ana, document.ContentDestroyed{Document: card, At: at(12)})
}

func TestProjection(t *testing.T) {
	projectiontest.Run(t, func() projections.Projection { return signals.New() }, func(t testing.TB, w *projectiontest.World) {
		tell(t, w)
		projectiontest.NewStory(w, 15).Tell(t, 60)
		months(t, w)
	})
}

// months records changes of one document over some months, one of them by a clock that was set back,
// and returns their leaves.
func months(t testing.TB, w *projectiontest.World) (leaves []int64) {
	t.Helper()
	one := domain.DocumentID{UUID: uuid.UUID{77}}
	s := stream("document", one.UUID)
	for i, days := range []int{0, 1, 1, 40, 91, -200, 91} {
		day := noon.AddDate(0, 0, days)
		var what any = document.Suspended{Document: one, Reason: "underReview", At: day}
		switch {
		case i == 0:
			what = document.Issued{Document: one, Citizen: ana, Type: cardOf, Issuer: source, At: day, Personal: &document.IssuedPersonal{}}
		case i%2 == 0:
			what = document.Reinstated{Document: one, At: day}
		}
		leaves = append(leaves, w.RecordAt(t, day, s, ana, what).Leaf)
	}
	return leaves
}

// A signal is kept for ninety days, and until its day in UTC is over; one by a clock that was set back
// goes with the next.
func TestOldSignalsAreForgotten(t *testing.T) {
	projectiontest.OnEach(t, func(t *testing.T, place func(testing.TB) string) {
		w, model := projectiontest.NewWorld(), signals.New()
		running := projectiontest.Start(t, w.Store, place(t), model)
		leaves := months(t, w)
		running.CaughtUp(t)
		all, err := model.Of(t.Context(), domain.RoleIssuer, source, signals.Filter{}, time.Time{}, -1, 100)
		var got []int64
		for _, one := range all {
			got = append(got, one.Leaf)
		}
		if want := []int64{leaves[1], leaves[2], leaves[3], leaves[4], leaves[6]}; err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("leaves %d, want %d: %v", got, want, err)
		}
	})
}

// Each organisation has the signals of what it issued, of what it had read before it changed, and
// of its own consents and petitions; the erasure of a document is its issuer's alone to hear.
func TestWhoseSignals(t *testing.T) { projectiontest.OnEach(t, whoseSignals) }

func whoseSignals(t *testing.T, place func(testing.TB) string) {
	w, model := projectiontest.NewWorld(), signals.New()
	running := projectiontest.Start(t, w.Store, place(t), model)
	tell(t, w)
	running.CaughtUp(t)
	of := func(role domain.Role, o domain.Organisation, f signals.Filter, since time.Time) (all []signals.What) {
		t.Helper()
		after := int64(-1)
		for {
			page, err := model.Of(t.Context(), role, o, f, since, after, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range page {
				if s.Citizen != ana || s.Event == uuid.Nil || s.Leaf <= after {
					t.Errorf("%+v", s)
				}
				all, after = append(all, s.What), s.Leaf
			}
			if len(page) < 2 {
				return all
			}
		}
	}
	for name, c := range map[string]struct {
		got, want []signals.What
	}{
		"issuer": {of(domain.RoleIssuer, source, signals.Filter{}, time.Time{}), []signals.What{
			signals.Issued, signals.Suspended, signals.Reinstated, signals.Updated, signals.Petitioned, signals.Revoked, signals.Answered, signals.Erased}},
		"consumer by consent": {of(domain.RoleConsumer, school, signals.Filter{}, time.Time{}), []signals.What{
			signals.Granted, signals.Updated, signals.Revoked, signals.Withdrawn, signals.Refused}},
		"consumer by law":          {of(domain.RoleConsumer, rail, signals.Filter{}, time.Time{}), []signals.What{signals.Updated, signals.Revoked}},
		"only revocations":         {of(domain.RoleConsumer, school, signals.Filter{What: []signals.What{signals.Revoked}}, time.Time{}), []signals.What{signals.Revoked}},
		"only of another type":     {of(domain.RoleConsumer, school, signals.Filter{Types: []domain.DocumentType{"diploma"}}, time.Time{}), nil},
		"only of that source":      {of(domain.RoleConsumer, rail, signals.Filter{Issuers: []domain.Organisation{source}}, time.Time{}), []signals.What{signals.Updated, signals.Revoked}},
		"the source as a consumer": {of(domain.RoleConsumer, source, signals.Filter{}, time.Time{}), []signals.What{signals.Petitioned, signals.Answered}},
		"a stranger":               {of(domain.RoleConsumer, "0206731645", signals.Filter{}, time.Time{}), nil},
		"after the last":           {of(domain.RoleIssuer, source, signals.Filter{}, noon.AddDate(50, 0, 0)), nil},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	last, err := model.Of(t.Context(), domain.RoleConsumer, rail, signals.Filter{What: []signals.What{signals.Revoked}}, time.Time{}, -1, 1)
	if err != nil || len(last) != 1 || last[0].Version != 2 || last[0].Changes != 5 || last[0].State != "revoked" || last[0].Document != card || last[0].ID != card.UUID || last[0].Type != cardOf || last[0].Issuer != source {
		t.Errorf("%+v, %v", last, err)
	}
	if got, err := model.Bases(t.Context(), rail, card); err != nil || !reflect.DeepEqual(got, []signals.Basis{{Purpose: allowed, LegalBasis: "6.1.e", Deliberation: "20/177"}}) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := model.Bases(t.Context(), source, card); err != nil || len(got) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}
