package domain

import (
	"testing"
	"time"
	_ "time/tzdata"
)

func TestBelgianDate(t *testing.T) {
	brussels, err := time.LoadLocation("Europe/Brussels")
	if err != nil {
		t.Fatal(err)
	}
	end := time.Date(2045, 1, 1, 0, 0, 0, 0, time.UTC)
	for at := time.Date(1996, 1, 1, 0, 0, 0, 0, time.UTC); at.Before(end); at = at.Add(30 * time.Minute) {
		if got, want := BelgianDate(at), DateOf(at.In(brussels)); got != want {
			t.Fatalf("%v: %s, want %s", at, got, want)
		}
	}
}

// F10: a day begins in Belgium where the day before it ends, those of the changes of the clock
// included, and days are counted one by one.
func TestF10BelgianDays(t *testing.T) {
	brussels, err := time.LoadLocation("Europe/Brussels")
	if err != nil {
		t.Fatal(err)
	}
	lengths := make(map[time.Duration]int)
	for day := Date("1996-01-01"); day < "2045-01-01"; day = day.AddDays(1) {
		begins, next := BelgianMidnight(day), BelgianMidnight(day.AddDays(1))
		y, m, d := begins.In(brussels).Date()
		if want := time.Date(y, m, d, 0, 0, 0, 0, brussels); !begins.Equal(want) || BelgianDate(begins) != day || BelgianDate(begins.Add(-time.Nanosecond)) != day.AddDays(-1) {
			t.Fatalf("%s begins at %s", day, begins)
		}
		if BelgianDay(next) != BelgianDay(begins)+1 || BelgianDay(next.Add(-time.Nanosecond)) != BelgianDay(begins) {
			t.Fatalf("%s is day %d, the next is %d", day, BelgianDay(begins), BelgianDay(next))
		}
		lengths[next.Sub(begins)]++
	}
	if len(lengths) != 3 || lengths[23*time.Hour] != 49 || lengths[25*time.Hour] != 49 {
		t.Errorf("days have these lengths: %v", lengths)
	}
	for at, want := range map[string]int64{"1970-01-01T00:00:00Z": 0, "1969-12-31T23:00:00Z": 0, "1969-12-31T22:59:59Z": -1, "1969-12-30T23:00:00Z": -1, "1970-01-01T23:00:00Z": 1} {
		moment, err := ParseTime(at)
		if got := BelgianDay(moment); err != nil || got != want {
			t.Errorf("%s is day %d, want %d, %v", at, got, want, err)
		}
	}
	if !BelgianMidnight("").IsZero() {
		t.Error("an absent date begins somewhere")
	}
}
