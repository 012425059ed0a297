package consentlog_test

import (
	"slices"
	"testing"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/consent"
	"coffre/projections"
	"coffre/projections/consentlog"
	"coffre/projections/projectiontest"
)

// happened returns what was recorded up to a leaf and had happened at a moment.
func happened(all []projectiontest.Recorded, upTo int64, moment time.Time) (some []projectiontest.Recorded) {
	for _, e := range all {
		var at time.Time
		switch f := e.Data.(type) {
		case consent.Requested:
			at = f.At
		case consent.Granted:
			at = f.At
		case consent.Refused:
			at = f.At
		case consent.Withdrawn:
			at = f.At
		case access.Authorized:
			at = f.At
		}
		if e.Leaf <= upTo && !at.After(moment) {
			some = append(some, e)
		}
	}
	return some
}

// covers tells whether a consent is about a type of document, by what was recorded of it.
func covers(all []projectiontest.Recorded, id domain.ConsentID, name domain.DocumentType) bool {
	return slices.ContainsFunc(all, func(e projectiontest.Recorded) bool {
		switch f := e.Data.(type) {
		case consent.Requested:
			return f.Consent == id && slices.Contains(f.Terms.Types, name)
		case consent.Granted:
			return f.Consent == id && (slices.Contains(f.Terms.Types, name) || slices.Contains(f.DocumentTypes, name))
		}
		return false
	})
}

// A search finds what a replay finds, newest first, page by page, with the state that each
// consent had at the moment asked for, and its totals count what its pages hold.
func TestSearchEqualsAReplay(t *testing.T) { projectiontest.OnEach(t, searchEqualsAReplay) }

func searchEqualsAReplay(t *testing.T, place func(testing.TB) string) {
	w, l := projectiontest.NewWorld(), consentlog.New()
	running := projectiontest.Start(t, w.Store, place(t), l)
	story := projectiontest.NewStory(w, 3)
	story.Tell(t, 200)
	running.CaughtUp(t)
	all := w.Recorded()
	states, found := map[consentlog.State]int{}, 0
	for leaf := int64(20); leaf < int64(len(all)); leaf += 53 {
		for _, moment := range []time.Time{story.Now.AddDate(2, 0, 0), story.Now, story.Now.Add(-200 * time.Hour)} {
			decisions, _ := fold(all, leaf, moment)
			slices.Reverse(decisions)
			_, then := fold(happened(all, leaf, moment), leaf, moment)
			stateOf := func(id domain.ConsentID) consentlog.State {
				for _, c := range then {
					if c.Consent == id {
						return c.State
					}
				}
				return ""
			}
			for _, s := range []consentlog.Search{
				{}, {Acts: []consentlog.Act{consentlog.Granted}}, {Acts: []consentlog.Act{consentlog.Requested, consentlog.Withdrawn, consentlog.Refused}},
				{State: consentlog.IsGranted}, {State: consentlog.IsExpired}, {State: consentlog.IsWithdrawn}, {State: consentlog.IsExhausted}, {State: consentlog.IsRequested},
				{Type: projectiontest.Types[0]}, {Type: "none"},
				{Filter: consentlog.Filter{Citizen: &all[leaf].Citizen}}, {Filter: consentlog.Filter{Consumer: projectiontest.Consumers[0]}, State: consentlog.IsGranted},
			} {
				s.Moment = moment
				want, totals, consents := []consentlog.Found{}, map[consentlog.Act]int64{}, map[domain.ConsentID]bool{}
				for _, d := range decisions {
					state := stateOf(d.Consent)
					if (len(s.Acts) == 0 || slices.Contains(s.Acts, d.Act)) && (s.State == "" || s.State == state) && (s.Type == "" || covers(all, d.Consent, s.Type)) &&
						(s.Citizen == nil || *s.Citizen == d.Citizen) && (s.Consumer == "" || s.Consumer == d.Consumer) {
						want, consents[d.Consent] = append(want, consentlog.Found{Decision: d, State: state}), true
						totals[d.Act]++
						states[state]++
					}
				}
				got := []consentlog.Found{}
				for cursor := projections.Latest; ; {
					page, err := l.Search(t.Context(), leaf, s, cursor, 7)
					if err != nil {
						t.Fatal(err)
					}
					if got = append(got, page...); len(page) < 7 {
						break
					}
					cursor = page[6].Leaf
				}
				if tell(t, got) != tell(t, want) {
					t.Fatalf("at leaf %d %+v:\n%s\nwant\n%s", leaf, s, tell(t, got), tell(t, want))
				}
				counted, n, err := l.Totals(t.Context(), leaf, s)
				if err != nil || tell(t, counted) != tell(t, totals) || n != int64(len(consents)) {
					t.Fatalf("at leaf %d %+v: %v of %d, want %v of %d: %v", leaf, s, counted, n, totals, len(consents), err)
				}
				found += len(got)
			}
		}
	}
	for _, s := range []consentlog.State{"", consentlog.IsRequested, consentlog.IsGranted, consentlog.IsWithdrawn, consentlog.IsExpired, consentlog.IsExhausted} {
		if states[s] == 0 {
			t.Errorf("no consent was ever %q: this proves little", s)
		}
	}
	if found < 200 {
		t.Errorf("only %d were found", found)
	}
}

// The consent that renews another is found from it, once it was granted.
func TestRenewedBy(t *testing.T) { projectiontest.OnEach(t, renewedBy) }

func renewedBy(t *testing.T, place func(testing.TB) string) {
	w, l := projectiontest.NewWorld(), consentlog.New()
	running := projectiontest.Start(t, w.Store, place(t), l)
	projectiontest.NewStory(w, 5).Tell(t, 150)
	running.CaughtUp(t)
	all, renewals := w.Recorded(), 0
	for leaf := int64(0); leaf < int64(len(all)); leaf += 29 {
		newest := map[domain.ConsentID]domain.ConsentID{}
		for _, e := range all[:leaf+1] {
			if f, ok := e.Data.(consent.Granted); ok {
				if _, known := newest[f.Consent]; !known {
					newest[f.Consent] = domain.ConsentID{} // renewed by none so far
				}
				if !f.Renews.IsZero() {
					newest[f.Renews] = f.Consent
				}
			}
		}
		for id, want := range newest {
			by, ok, err := l.RenewedBy(t.Context(), id, leaf)
			if err != nil || by != want || ok != !want.IsZero() {
				t.Fatalf("at leaf %d %s is renewed by %s, %t, want %s: %v", leaf, id, by, ok, want, err)
			}
			if ok {
				renewals++
			}
		}
	}
	if renewals == 0 {
		t.Fatal("nothing was renewed")
	}
}
