package accesslog_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/projections/accesslog"
	"coffre/projections/projectiontest"
)

// Whose documents of a type went to an organisation in a time is what folding every citizen's
// entries tells, at every leaf, in pages of every size and after a rebuild.
func TestAffectedEqualsAFold(t *testing.T) { projectiontest.OnEach(t, affectedEqualsAFold) }

func affectedEqualsAFold(t *testing.T, place func(testing.TB) string) {
	w, log := projectiontest.NewWorld(), accesslog.New()
	story := projectiontest.NewStory(w, 78)
	r := projectiontest.Start(t, w, place(t), log)
	defer r.Stop()
	story.Tell(t, 500)
	r.CaughtUp(t)
	n := compareAffected(t, w, log, time.Time{})
	if seen := compareAffected(t, w, log, story.Now.AddDate(1, 0, 0)); seen.accesses <= n.accesses {
		t.Errorf("%+v, and %+v when investigations were over: this proves little", n, seen)
	}
	if err := r.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := compareAffected(t, w, log, time.Time{}); again != n || n.persons < 10 || n.unsure < 5 || n.erased < 1 {
		t.Errorf("%+v, then %+v: this proves little", n, again)
	}
}

type affectedSeen struct{ persons, unsure, erased, accesses int }

func compareAffected(t *testing.T, w *projectiontest.World, log *accesslog.Log, now time.Time) (seen affectedSeen) {
	t.Helper()
	all := w.Recorded()
	citizens, erased := map[domain.CitizenID]bool{}, map[domain.CitizenID]bool{}
	questions := map[accesslog.Affected]bool{}
	ever, never := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, e := range all {
		if !e.Citizen.IsZero() {
			citizens[e.Citizen] = true
		}
		if f, ok := e.Data.(citizen.KeyDestroyed); ok {
			erased[f.Citizen] = true
		}
	}
	for who := range citizens {
		for _, e := range foldWithHidden(all, who, int64(len(all))) {
			if e.Type != "" && e.Consumer != "" {
				questions[accesslog.Affected{Type: e.Type, Consumer: e.Consumer, From: ever, Until: never}] = true
				if e.Leaf%7 == 0 {
					questions[accesslog.Affected{Type: e.Type, Consumer: e.Consumer, From: e.At, Until: never}] = true
				}
			}
			if e.OnBehalfOf != "" && e.Type != "" {
				questions[accesslog.Affected{Type: e.Type, Consumer: e.OnBehalfOf, From: ever, Until: e.At}] = true
			}
		}
	}
	for _, upTo := range []int64{0, int64(len(all)) / 3, int64(len(all)) - 1} {
		for a := range questions {
			a.Now = now
			want, totals := foldAffected(all, citizens, erased, upTo, a)
			got := []accesslog.AffectedPerson{}
			for after := (domain.CitizenID{}); ; after = got[len(got)-1].Citizen {
				page, err := log.AffectedPersons(t.Context(), upTo, a, after, 3)
				if err != nil {
					t.Fatal(err)
				}
				if got = append(got, page...); len(page) < 3 {
					break
				}
			}
			if tell(t, got) != tell(t, want) {
				t.Fatalf("%+v at %d:\n%s\nwant\n%s", a, upTo, tell(t, got), tell(t, want))
			}
			if n, err := log.AffectedTotals(t.Context(), upTo, a); err != nil || n != totals {
				t.Fatalf("%+v at %d: %+v, want %+v (%v)", a, upTo, n, totals, err)
			}
			seen.persons += totals.Persons
			seen.unsure += totals.Accesses - totals.Disclosed
			seen.erased += totals.Erased
			seen.accesses += totals.Accesses
		}
	}
	return seen
}

func foldAffected(all []projectiontest.Recorded, citizens, erased map[domain.CitizenID]bool, upTo int64, a accesslog.Affected) (persons []accesslog.AffectedPerson, totals accesslog.AffectedTotals) {
	persons = []accesslog.AffectedPerson{}
	for who := range citizens {
		sure, accesses := map[domain.AccessID]bool{}, map[domain.AccessID]bool{}
		one := accesslog.AffectedPerson{Citizen: who}
		for _, e := range fold(all, who, upTo, a.Now) {
			went := e.List() == accesslog.Accesses && (e.Outcome == accesslog.Disclosed || e.Outcome == accesslog.MayHaveBeenDisclosed)
			if !went || e.Type != a.Type || e.Consumer != a.Consumer && e.OnBehalfOf != a.Consumer || e.At.Before(a.From) || !e.At.Before(a.Until) {
				continue
			}
			accesses[e.Access] = true
			if e.Outcome == accesslog.Disclosed {
				sure[e.Access] = true
			}
			if one.First.IsZero() || e.At.Before(one.First) {
				one.First = e.At
			}
			if e.At.After(one.Last) {
				one.Last = e.At
			}
		}
		if one.Accesses, one.Disclosed = len(accesses), len(sure); one.Accesses == 0 {
			continue
		}
		totals.Accesses += one.Accesses
		totals.Disclosed += one.Disclosed
		if erased[who] {
			totals.Erased++
			continue
		}
		totals.Persons++
		persons = append(persons, one)
	}
	slices.SortFunc(persons, func(a, b accesslog.AffectedPerson) int { return bytes.Compare(a.Citizen.UUID[:], b.Citizen.UUID[:]) })
	return persons, totals
}
