package consentlog_test

import (
	"slices"
	"testing"

	"coffre/projections"
	"coffre/projections/consentlog"
	"coffre/projections/projectiontest"
)

// Newest shows what Decisions does, the other way round, page by page.
func TestNewest(t *testing.T) { projectiontest.OnEach(t, newest) }

func newest(t *testing.T, place func(testing.TB) string) {
	w, l := projectiontest.NewWorld(), consentlog.New()
	running := projectiontest.Start(t, w.Store, place(t), l)
	projectiontest.NewStory(w, 3).Tell(t, 200)
	running.CaughtUp(t)
	all, err := l.Decisions(t.Context(), projections.Latest, consentlog.Filter{}, "", -1, 1000)
	if err != nil || len(all) < 10 {
		t.Fatalf("%d decisions, %v", len(all), err)
	}
	slices.Reverse(all)
	for _, acts := range [][]consentlog.Act{nil, {consentlog.Granted}, {consentlog.Requested, consentlog.Withdrawn, consentlog.Refused}} {
		want := slices.DeleteFunc(slices.Clone(all), func(d consentlog.Decision) bool { return len(acts) > 0 && !slices.Contains(acts, d.Act) })
		var got []consentlog.Decision
		for cursor := projections.Latest; ; {
			page, err := l.Newest(t.Context(), consentlog.Filter{}, acts, cursor, 3)
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, page...); len(page) < 3 {
				break
			}
			cursor = page[2].Leaf
		}
		if len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("%v: %d decisions, want %d", acts, len(got), len(want))
		}
	}
	of, err := l.Newest(t.Context(), consentlog.Filter{Citizen: &all[0].Citizen}, nil, projections.Latest, 1000)
	if err != nil || len(of) == 0 || slices.ContainsFunc(of, func(d consentlog.Decision) bool { return d.Citizen != all[0].Citizen }) {
		t.Errorf("%d of one citizen, %v", len(of), err)
	}
}
