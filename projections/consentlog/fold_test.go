package consentlog_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/consent"
	"coffre/eventstore"
	"coffre/projections"
	"coffre/projections/consentlog"
	"coffre/projections/projectiontest"
)

// fold tells decisions and consents at a leaf and a time, the slow and obvious way.
func fold(all []projectiontest.Recorded, upTo int64, now time.Time) (decisions []consentlog.Decision, consents []*consentlog.Consent) {
	of := func(id domain.ConsentID) *consentlog.Consent {
		for _, c := range consents {
			if c.Consent == id {
				return c
			}
		}
		return nil
	}
	end := func(e projectiontest.Recorded, id domain.ConsentID, act consentlog.Act, m domain.MandateID, reason domain.ReasonCode, at time.Time) {
		c := of(id)
		if c == nil {
			return
		}
		decisions = append(decisions, consentlog.Decision{Leaf: e.Leaf, Consent: id, Citizen: c.Citizen, Consumer: c.Terms.Consumer, Purpose: c.Terms.Purpose,
			Act: act, At: at, Until: c.Terms.Until, Mandate: m, Reason: reason})
		if c.EndedLeaf == projections.Latest {
			c.EndedLeaf, c.EndedAt, c.State, c.Reason, c.EndMandate = e.Leaf, at, consentlog.State(act), reason, m
		}
	}
	for _, e := range all {
		if e.Leaf > upTo {
			break
		}
		switch f := e.Data.(type) {
		case consent.Requested:
			if !f.Citizen.IsZero() {
				decisions = append(decisions, consentlog.Decision{Leaf: e.Leaf, Consent: f.Consent, Citizen: f.Citizen, Consumer: f.Terms.Consumer, Purpose: f.Terms.Purpose,
					Act: consentlog.Requested, At: f.At, Until: f.Terms.Until})
			}
			consents = append(consents, &consentlog.Consent{Consent: f.Consent, Citizen: f.Citizen, Terms: f.Terms, Tracked: f.Tracked, RequestedAt: f.At, RequestedLeaf: e.Leaf, FirstLeaf: e.Leaf,
				GrantedLeaf: projections.Latest, EndedLeaf: projections.Latest})
		case consent.Granted:
			decisions = append(decisions, consentlog.Decision{Leaf: e.Leaf, Consent: f.Consent, Citizen: f.Citizen, Consumer: f.Terms.Consumer, Purpose: f.Terms.Purpose,
				Act: consentlog.Granted, At: f.At, Until: f.Terms.Until, Mandate: f.Mandate})
			c := of(f.Consent)
			if c == nil {
				c = &consentlog.Consent{Consent: f.Consent, Citizen: f.Citizen, FirstLeaf: e.Leaf, RequestedLeaf: projections.Latest, EndedLeaf: projections.Latest}
				consents = append(consents, c)
			}
			c.Terms, c.GrantedAt, c.GrantedLeaf, c.Mandate, c.Renews = f.Terms, f.At, e.Leaf, f.Mandate, f.Renews
		case consent.Refused:
			end(e, f.Consent, consentlog.Refused, f.Mandate, "", f.At)
		case consent.Withdrawn:
			end(e, f.Consent, consentlog.Withdrawn, f.Mandate, f.Reason, f.At)
		case access.Authorized:
			if c := of(f.Consent); c != nil && f.Attempt == 1 {
				c.Uses++
			}
		}
	}
	for _, c := range consents {
		limit := c.Terms.Limits.Uses
		switch {
		case c.EndedLeaf != projections.Latest:
		case !now.Before(c.Terms.Until):
			c.State = consentlog.IsExpired
		case c.GrantedLeaf == projections.Latest:
			c.State = consentlog.IsRequested
		case limit > 0 && c.Uses >= limit:
			c.State = consentlog.IsExhausted
		default:
			c.State = consentlog.IsGranted
		}
	}
	return decisions, consents
}

func tell(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestLogEqualsAFold(t *testing.T) { projectiontest.OnEach(t, logEqualsAFold) }

func logEqualsAFold(t *testing.T, place func(testing.TB) string) {
	compared := 0
	for seed := range uint64(3) {
		w := projectiontest.NewWorld()
		story := projectiontest.NewStory(w, 200+seed)
		log := consentlog.New()
		r := projectiontest.Start(t, w, place(t), log)
		for range 4 {
			story.Tell(t, 50)
			askNobody(t, w, story.Now, 5)
			r.CaughtUp(t)
		}
		compared += compareAll(t, w, log, story.Now)
		if err := r.Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
		compareAll(t, w, log, story.Now)
		r.Stop()
	}
	if compared < 200 {
		t.Fatalf("only %d rows were compared", compared)
	}
}

func compareAll(t *testing.T, w *projectiontest.World, log *consentlog.Log, end time.Time) (n int) {
	t.Helper()
	all := w.Recorded()
	for leaf := int64(0); leaf < int64(len(all)); leaf += 41 {
		now := end.Add(-time.Duration(leaf) * time.Hour)
		decisions, consents := fold(all, leaf, now)
		for _, f := range []consentlog.Filter{
			{},
			{Citizen: &all[leaf].Citizen},
			{Citizen: new(domain.CitizenID{})},
			{Until: new(time.Time{})},
			{From: new(time.Time{})},
			{Consumer: projectiontest.Consumers[0]},
			{Purpose: projectiontest.Purposes[1], Consumer: projectiontest.Consumers[1]},
			{From: new(end.Add(-100 * time.Hour)), Until: new(end.Add(-30 * time.Hour))},
		} {
			fits := func(citizen domain.CitizenID, consumer domain.Organisation, purpose domain.Purpose, at time.Time) bool {
				return (f.Citizen == nil || *f.Citizen == citizen) && (f.Consumer == "" || f.Consumer == consumer) && (f.Purpose == "" || f.Purpose == purpose) &&
					(f.From == nil || !at.Before(*f.From)) && (f.Until == nil || at.Before(*f.Until))
			}
			for _, act := range []consentlog.Act{"", consentlog.Granted, consentlog.Withdrawn} {
				want := []consentlog.Decision{}
				for _, d := range decisions {
					if fits(d.Citizen, d.Consumer, d.Purpose, d.At) && (act == "" || act == d.Act) {
						want = append(want, d)
					}
				}
				got := []consentlog.Decision{}
				for cursor := int64(-1); ; cursor = got[len(got)-1].Leaf {
					page, err := log.Decisions(t.Context(), leaf, f, act, cursor, 9)
					if err != nil {
						t.Fatal(err)
					}
					if got = append(got, page...); len(page) < 9 {
						break
					}
				}
				if tell(t, got) != tell(t, want) {
					t.Fatalf("at leaf %d %+v %s:\n%s\nwant\n%s", leaf, f, act, tell(t, got), tell(t, want))
				}
				n += len(got)
			}
			exported := []consentlog.Line{}
			for d, err := range log.Export(t.Context(), leaf, f) {
				if err != nil {
					t.Fatal(err)
				}
				exported = append(exported, d)
			}
			wanted := []consentlog.Line{}
			for _, d := range decisions {
				if fits(d.Citizen, d.Consumer, d.Purpose, d.At) {
					wanted = append(wanted, consentlog.Line{Decision: d, Terms: termsAt(all, d)})
				}
			}
			if tell(t, exported) != tell(t, wanted) {
				t.Fatalf("at leaf %d %+v the export:\n%s\nwant\n%s", leaf, f, tell(t, exported), tell(t, wanted))
			}
			for _, state := range []consentlog.State{"", consentlog.IsRequested, consentlog.IsGranted, consentlog.IsRefused, consentlog.IsWithdrawn, consentlog.IsExpired, consentlog.IsExhausted} {
				want := []consentlog.Consent{}
				for _, c := range consents {
					began := c.RequestedAt
					if began.IsZero() {
						began = c.GrantedAt
					}
					if fits(c.Citizen, c.Terms.Consumer, c.Terms.Purpose, began) && (state == "" || state == c.State) {
						want = append(want, *c)
					}
				}
				got, err := log.Consents(t.Context(), leaf, now, f, state, -1, 1000)
				if err != nil {
					t.Fatal(err)
				}
				if tell(t, got) != tell(t, want) {
					t.Fatalf("at leaf %d %+v %s:\n%s\nwant\n%s", leaf, f, state, tell(t, got), tell(t, want))
				}
				if state == "" {
					exported := []consentlog.Consent{}
					for c, err := range log.ExportConsents(t.Context(), leaf, now, f) {
						if err != nil {
							t.Fatal(err)
						}
						exported = append(exported, c)
					}
					if tell(t, exported) != tell(t, want) {
						t.Fatalf("at leaf %d %+v the register:\n%s\nwant\n%s", leaf, f, tell(t, exported), tell(t, want))
					}
				}
				n += len(got)
			}
		}
	}
	return n
}

// termsAt returns the terms that the consent of a decision had when it was taken.
func termsAt(all []projectiontest.Recorded, d consentlog.Decision) (terms consent.Terms) {
	for _, e := range all[:d.Leaf+1] {
		switch f := e.Data.(type) {
		case consent.Requested:
			if f.Consent == d.Consent {
				terms = f.Terms
			}
		case consent.Granted:
			if f.Consent == d.Consent {
				terms = f.Terms
			}
		}
	}
	return terms
}

func TestOpenConsentsOfACitizen(t *testing.T) { projectiontest.OnEach(t, openConsentsOfACitizen) }

func openConsentsOfACitizen(t *testing.T, place func(testing.TB) string) {
	w := projectiontest.NewWorld()
	story := projectiontest.NewStory(w, 31)
	story.Tell(t, 150)
	log := consentlog.New()
	projectiontest.Start(t, w, place(t), log).CaughtUp(t)
	_, consents := fold(w.Recorded(), projections.Latest, story.Now)
	open := 0
	for _, who := range story.Citizens {
		want := []domain.ConsentID{}
		for _, c := range consents {
			if c.Citizen == who && c.EndedLeaf == projections.Latest && c.State != consentlog.IsExpired {
				want = append(want, c.Consent)
			}
		}
		all, err := log.OpenOf(t.Context(), who, story.Now)
		if err != nil {
			t.Fatal(err)
		}
		got := []domain.ConsentID{}
		for _, c := range all {
			got = append(got, c.Consent)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
		open += len(got)
	}
	if open == 0 {
		t.Fatal("nothing is open")
	}
}

// askNobody records requests that reached nobody.
func askNobody(t testing.TB, w *projectiontest.World, at time.Time, n int) {
	t.Helper()
	for i := range n {
		id := domain.ConsentID{UUID: uuid.New()}
		w.Record(t, eventstore.Stream("consent-"+id.String()), domain.CitizenID{}, consent.Requested{Consent: id, Tracked: true, At: at, Terms: consent.Terms{
			Consumer: projectiontest.Consumers[i%len(projectiontest.Consumers)], Purpose: projectiontest.Purposes[0], Types: projectiontest.Types, Until: at.AddDate(0, 0, 1+i),
		}})
	}
}

// a consumer's requests that nobody answered wait on its pages until they are over,
// whether they reached somebody or not, and whatever became of who was asked. Requests from
// before that was recorded of both are on no page, and fill none.
func TestConsentsOfAConsumer(t *testing.T) { projectiontest.OnEach(t, consentsOfAConsumer) }

func consentsOfAConsumer(t *testing.T, place func(testing.TB) string) {
	w := projectiontest.NewWorld()
	story := projectiontest.NewStory(w, 33)
	story.Tell(t, 150)
	askNobody(t, w, story.Now, 6)
	log := consentlog.New()
	projectiontest.Start(t, w, place(t), log).CaughtUp(t)
	for _, now := range []time.Time{story.Now, story.Now.AddDate(0, 0, 3)} {
		_, consents := fold(w.Recorded(), projections.Latest, now)
		want, waiting, over, nobody, hidden := map[domain.Organisation][]consentlog.Consent{}, 0, 0, 0, 0
		for _, c := range consents {
			seen := *c
			switch {
			case !c.GrantedAt.IsZero() || c.State == consentlog.IsRefused: // as it is
			case !c.Tracked:
				hidden++
				continue
			case now.Before(c.Terms.Until):
				waiting++
				seen.State, seen.EndedAt, seen.EndedLeaf, seen.Reason = consentlog.IsRequested, time.Time{}, projections.Latest, ""
			default:
				over++
				seen.State, seen.EndedAt, seen.EndedLeaf, seen.Reason = consentlog.IsExpired, time.Time{}, projections.Latest, ""
			}
			if c.Citizen.IsZero() {
				nobody++
			}
			want[c.Terms.Consumer] = append(want[c.Terms.Consumer], seen)
		}
		if waiting == 0 || nobody != 6 || hidden == 0 || now.After(story.Now) && over == 0 {
			t.Fatalf("%d wait, %d are over, %d reached nobody, %d are older", waiting, over, nobody, hidden)
		}
		for consumer, want := range want {
			got := []consentlog.Consent{}
			for from, more := int64(-1), true; more; {
				page, err := log.MadeTo(t.Context(), consumer, projections.Latest, now, from, 2)
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range page {
					got, from = append(got, c), c.FirstLeaf
				}
				more = len(page) == 2
			}
			if tell(t, got) != tell(t, want) {
				t.Fatalf("%s\nwant\n%s", tell(t, got), tell(t, want))
			}
		}
	}
}

// What a citizen was shown opens as long as its key lives (rule C-5), and is gone after.
func TestShown(t *testing.T) { projectiontest.OnEach(t, shown) }

func shown(t *testing.T, place func(testing.TB) string) {
	w := projectiontest.NewWorld()
	story := projectiontest.NewStory(w, 32)
	story.Tell(t, 80)
	log := consentlog.New()
	r := projectiontest.Start(t, w, place(t), log)
	r.CaughtUp(t)
	opened := map[domain.CitizenID]domain.ConsentID{}
	for _, e := range w.Recorded() {
		f, ok := e.Data.(consent.Granted)
		if !ok || !slices.Contains(story.Citizens, f.Citizen) {
			continue
		}
		all, err := log.Shown(t.Context(), f.Consent)
		if err != nil || len(all) == 0 {
			t.Fatal(all, err)
		}
		last := all[len(all)-1]
		var p consent.GrantedPersonal
		w.Open(t, last.Place, last.Sealed, &p)
		if last.Act != consentlog.Granted || p.Shown.Text == "" {
			t.Fatalf("%+v", last)
		}
		uses, err := log.Uses(t.Context(), f.Consent, -1)
		if err != nil {
			t.Fatal(err)
		}
		c, ok, err := log.Consent(t.Context(), f.Consent, -1, story.Now)
		if err != nil || !ok || c.Uses != len(uses) {
			t.Fatal(c.Uses, len(uses), ok, err)
		}
		opened[f.Citizen] = f.Consent
	}
	if len(opened) == 0 {
		t.Fatal("nothing was opened")
	}
	for who, id := range opened {
		story.Erase(t, who)
		r.CaughtUp(t)
		if all, err := log.Shown(t.Context(), id); err != nil || len(all) > 0 {
			t.Fatal(all, err)
		}
		if _, ok, err := log.Consent(t.Context(), id, -1, story.Now); err != nil || !ok {
			t.Fatal("the decision itself must stay", err)
		}
	}
}

func TestStateAtTheLeafOfTheLastUse(t *testing.T) {
	projectiontest.OnEach(t, stateAtTheLeafOfTheLastUse)
}

func stateAtTheLeafOfTheLastUse(t *testing.T, place func(testing.TB) string) {
	w := projectiontest.NewWorld()
	who, id := domain.CitizenID{UUID: uuid.New()}, domain.ConsentID{UUID: uuid.New()}
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	s := eventstore.Stream("consent-" + id.String())
	terms := consent.Terms{Consumer: projectiontest.Consumers[0], Purpose: "socialBenefit", Types: projectiontest.Types, Until: now.AddDate(0, 1, 0), Limits: consent.Limits{Uses: 1}}
	w.Record(t, s, who, consent.Requested{Consent: id, Citizen: who, At: now, Terms: terms})
	w.Record(t, s, who, consent.Granted{Consent: id, Citizen: who, At: now, Terms: terms})
	w.Record(t, s, who, access.Authorized{Access: domain.AccessID{UUID: uuid.New()}, Citizen: who, Kind: access.OpenedDocument, Role: domain.RoleConsumer, Consent: id, Attempt: 1, At: now})
	w.Record(t, s, who, consent.Withdrawn{Consent: id, Reason: "citizen", At: now})
	log := consentlog.New()
	projectiontest.Start(t, w, place(t), log).CaughtUp(t)
	for leaf, want := range []consentlog.State{consentlog.IsRequested, consentlog.IsGranted, consentlog.IsExhausted, consentlog.IsWithdrawn} {
		if c, ok, err := log.Consent(t.Context(), id, int64(leaf), now); err != nil || !ok || c.State != want {
			t.Errorf("at leaf %d: %s, want %s (%v)", leaf, c.State, want, err)
		}
	}
	if c, _, err := log.Consent(t.Context(), id, 1, terms.Until); err != nil || c.State != consentlog.IsExpired {
		t.Errorf("at its end, which is exclusive: %s (%v)", c.State, err)
	}
}
