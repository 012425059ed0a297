package main

import (
	"testing"
	"time"

	"coffre/domain"
)

// A day that somebody types is a day in Belgium: from its beginning, until it is over, or what
// was known when it was. The days on which the clock changes are no exception.
func TestF10DaysAreDaysInBelgium(t *testing.T) {
	now := time.Date(2026, 3, 1, 22, 59, 0, 0, time.UTC)
	for _, tc := range []struct {
		how  string
		read func(flag, s string) (*time.Time, error)
		day  string
		want string
	}{
		{"from a day of winter", beginning, "2026-12-31", "2026-12-30T23:00:00Z"},
		{"from a day of summer", beginning, "2026-07-01", "2026-06-30T22:00:00Z"},
		{"from the day on which summer begins", beginning, "2026-03-29", "2026-03-28T23:00:00Z"},
		{"until a day of winter", ending, "2026-12-31", "2026-12-31T23:00:00Z"},
		{"until a day of summer", ending, "2026-07-01", "2026-07-01T22:00:00Z"},
		{"until the day on which summer begins", ending, "2026-03-29", "2026-03-29T22:00:00Z"},
		{"until the day on which summer ends", ending, "2026-10-25", "2026-10-25T23:00:00Z"},
		{"known on a day", func(flag, s string) (*time.Time, error) { return knownAt(flag, s, now) }, "2026-02-28", "2026-02-28T22:59:59.999999Z"},
		{"known at a moment", func(flag, s string) (*time.Time, error) { return knownAt(flag, s, now) }, "2026-03-01T12:00:00+01:00", "2026-03-01T11:00:00Z"},
		{"from a moment", beginning, "2026-03-01t12:00:00z", "2026-03-01T12:00:00Z"},
		{"until a moment", ending, "2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z"},
	} {
		want, err := domain.ParseTime(tc.want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tc.read("x", tc.day); err != nil || got == nil || !got.Equal(want) {
			t.Errorf("%s: %s, want %s, %v", tc.how, got, tc.want, err)
		}
	}
	if got, err := knownAt("as-of", "2026-03-01", now); err != nil || got != nil {
		t.Errorf("what is known today: %s, %v", got, err)
	}
	for _, bad := range []string{"2026-13-01", "2026-02-30", "2026-03-01T12:00:00", "soon", "2026-3-1"} {
		if got, err := ending("until", bad); err == nil {
			t.Errorf("%q is %s", bad, got)
		}
	}
	if got, err := ending("until", ""); err != nil || got != nil {
		t.Errorf("nothing typed is %s, %v", got, err)
	}
}
