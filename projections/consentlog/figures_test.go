package consentlog_test

import (
	"testing"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/projections/consentlog"
	"coffre/projections/projectiontest"
)

// What figures count of consents is what a fold tells, at every leaf and time: their states, and
// how long before its withdrawal each was last used.
func TestCountEqualsAFold(t *testing.T) { projectiontest.OnEach(t, countEqualsAFold) }

func countEqualsAFold(t *testing.T, place func(testing.TB) string) {
	w, log := projectiontest.NewWorld(), consentlog.New()
	story := projectiontest.NewStory(w, 79)
	r := projectiontest.Start(t, w, place(t), log)
	defer r.Stop()
	story.Tell(t, 300)
	r.CaughtUp(t)
	all := w.Recorded()
	withdrawn := map[bool]int{}
	for _, upTo := range []int64{0, int64(len(all)) / 3, int64(len(all)) - 1} {
		for _, now := range []time.Time{story.Now, story.Now.AddDate(5, 0, 0)} {
			_, consents := fold(all, upTo, now)
			want, got := map[consentlog.Counted]int{}, map[consentlog.Counted]int{}
			for _, c := range consents {
				if c.Citizen.IsZero() {
					continue
				}
				one := consentlog.Counted{Citizen: c.Citizen, Consumer: c.Terms.Consumer, Purpose: c.Terms.Purpose, State: c.State}
				if !c.GrantedAt.IsZero() {
					one.Granted = domain.BelgianDate(c.GrantedAt).Monday()
				}
				switch c.State {
				case consentlog.IsWithdrawn, consentlog.IsRefused:
					one.Ended = domain.BelgianDate(c.EndedAt).Monday()
				case consentlog.IsExpired:
					one.Ended = domain.BelgianDate(c.Terms.Until).Monday()
				}
				if c.State == consentlog.IsWithdrawn {
					one.LastRead = lastUse(all, upTo, c)
					withdrawn[one.LastRead != consentlog.NeverRead]++
				}
				want[one]++
			}
			if err := log.Count(t.Context(), upTo, now, func(c consentlog.Counted) { got[c]++ }); err != nil {
				t.Fatal(err)
			}
			if len(got) != len(want) {
				t.Fatalf("at %d: %v, want %v", upTo, got, want)
			}
			for one, n := range want {
				if got[one] != n {
					t.Fatalf("at %d: %+v %d times, want %d", upTo, one, got[one], n)
				}
			}
		}
	}
	if withdrawn[true] < 3 || withdrawn[false] < 3 {
		t.Errorf("%v withdrawals: this proves little", withdrawn)
	}
}

// lastUse tells how long before its end a consent was last used.
func lastUse(all []projectiontest.Recorded, upTo int64, c *consentlog.Consent) consentlog.LastRead {
	last, leaf := time.Time{}, int64(-1)
	for _, e := range all {
		if f, is := e.Data.(access.Authorized); is && e.Leaf <= upTo && f.Consent == c.Consent && f.Consent != (domain.ConsentID{}) && f.Attempt == 1 {
			if leaf = e.Leaf; f.At.After(last) {
				last = f.At
			}
		}
	}
	before := c.EndedAt.Sub(last)
	switch {
	case leaf < 0:
		return consentlog.NeverRead
	case leaf > c.EndedLeaf:
		return consentlog.AfterTheEnd
	case before <= time.Minute:
		return consentlog.WithinMinute
	case before <= time.Hour:
		return consentlog.WithinHour
	case before <= 24*time.Hour:
		return consentlog.WithinDay
	case before <= 30*24*time.Hour:
		return consentlog.WithinMonth
	}
	return consentlog.Earlier
}
