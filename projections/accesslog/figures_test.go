package accesslog_test

import (
	"slices"
	"testing"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/projections/accesslog"
	"coffre/projections/projectiontest"
)

// What figures count of accesses is what folding every citizen's entries tells, at every leaf:
// each access by a consumer once, by the first attempt of it that went or may have gone, and none
// that an investigation hides.
func TestCountEqualsAFold(t *testing.T) { projectiontest.OnEach(t, countEqualsAFold) }

func countEqualsAFold(t *testing.T, place func(testing.TB) string) {
	w, log := projectiontest.NewWorld(), accesslog.New()
	story := projectiontest.NewStory(w, 78)
	r := projectiontest.Start(t, w, place(t), log)
	defer r.Stop()
	story.Tell(t, 1000)
	r.CaughtUp(t)
	all := w.Recorded()
	citizens := map[domain.CitizenID]bool{}
	for _, e := range all {
		if !e.Citizen.IsZero() {
			citizens[e.Citizen] = true
		}
	}
	counted, left := compareCounts(t, log, all, citizens, time.Time{})
	if counted < 30 || left < 10 {
		t.Errorf("%d counted, %d left out: this proves little", counted, left)
	}
	if seen, _ := compareCounts(t, log, all, citizens, story.Now.AddDate(1, 0, 0)); seen <= counted {
		t.Errorf("%d counted, and %d when investigations were over: this proves little", counted, seen)
	}
	if err := log.Count(t.Context(), int64(len(all))-1, story.Now, "2099-01-01", "2099-12-31", func(c accesslog.Counted) { t.Errorf("of another year: %+v", c) }); err != nil {
		t.Fatal(err)
	}
}

// compareCounts returns how many accesses were counted, and how many attempts were left out.
func compareCounts(t *testing.T, log *accesslog.Log, all []projectiontest.Recorded, citizens map[domain.CitizenID]bool, now time.Time) (counted, left int) {
	t.Helper()
	for _, upTo := range []int64{0, int64(len(all)) / 3, int64(len(all)) - 1} {
		want, refused := map[accesslog.Counted]int{}, map[accesslog.RefusedOften]int{}
		for who := range citizens {
			entries := fold(all, who, upTo, now)
			slices.Reverse(entries)
			for _, e := range entries {
				if e.Kind == accesslog.Refusal {
					refused[accesslog.RefusedOften{Citizen: who, Consumer: e.Consumer, Reason: e.Reason, Times: e.Count, Week: domain.BelgianDate(e.At).Monday()}]++
				}
			}
			seen := map[domain.AccessID]bool{}
			for _, e := range entries {
				if e.Role != domain.RoleConsumer || e.Kind == accesslog.Refusal || e.Kind == access.OpenedLookup {
					continue
				}
				if e.Outcome == accesslog.Withheld || e.Outcome == accesslog.Failed || seen[e.Access] {
					left++
					continue
				}
				seen[e.Access] = true
				one := accesslog.Counted{Citizen: who, Consumer: e.Consumer, Procedure: e.Procedure, LegalBasis: e.LegalBasis, Told: e.Kind == access.OpenedPresence, Week: domain.BelgianDate(e.At).Monday()}
				for _, a := range e.Answers {
					if e.Procedure != "" && a.Presence == access.Held {
						one.Spared++
					}
				}
				if !one.Told && e.Procedure != "" {
					one.Spared = 1
				}
				want[one]++
				counted++
			}
		}
		got := map[accesslog.Counted]int{}
		if err := log.Count(t.Context(), upTo, now, "2000-01-01", "2099-12-31", func(c accesslog.Counted) { got[c]++ }); err != nil {
			t.Fatal(err)
		}
		if err := log.CountRefusals(t.Context(), upTo, now, "2000-01-01", "2099-12-31", func(r accesslog.RefusedOften) { refused[r]-- }); err != nil {
			t.Fatal(err)
		}
		for one, n := range refused {
			if n != 0 {
				t.Fatalf("at %d: %+v is missing %d times", upTo, one, n)
			}
		}
		if upTo > 0 && len(refused) < 3 {
			t.Errorf("%d refusals at %d: this proves little", len(refused), upTo)
		}
		if len(got) != len(want) {
			t.Fatalf("at %d: %d, want %d", upTo, len(got), len(want))
		}
		for one, n := range want {
			if got[one] != n {
				t.Fatalf("at %d: %+v %d times, want %d", upTo, one, got[one], n)
			}
		}
	}
	return counted, left
}
