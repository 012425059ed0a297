package domain

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// numbered returns the number with six digits of date, in a century.
func numbered(t interface{ Fatal(...any) }, date string, century int) SSIN {
	var n int64
	if _, err := fmt.Sscan("1"+date+"101", &n); err != nil {
		t.Fatal(err)
	}
	n -= 1_000_000_000
	check := 97 - n%97
	if century == 2000 {
		check = 97 - (2_000_000_000+n)%97
	}
	ssin, err := ParseSSIN(fmt.Sprintf("%09d%02d", n, check))
	if err != nil {
		t.Fatal(err)
	}
	return ssin
}

// What a number leaves open is read as the earliest day: whoever's power ends at an age
// loses it on the earliest day on which the person can have that age.
func TestEarliestBirth(t *testing.T) {
	for _, tc := range []struct {
		date    string
		century int
		want    Date
	}{
		{"850730", 1900, "1985-07-30"},
		{"080229", 2000, "2008-02-29"},
		{"152130", 2000, "2015-01-30"}, // BIS, sex unknown
		{"155203", 2000, "2015-12-03"}, // BIS, sex known
		{"153200", 2000, "2015-12-01"}, // BIS, day unknown
		{"150700", 2000, "2015-07-01"},
		{"150000", 2000, "2015-01-01"},
		{"152000", 2000, "2015-01-01"},
		{"154000", 2000, "2015-01-01"},
		{"150017", 2000, "2015-01-01"}, // a counter where no month is known
		{"151317", 2000, "2015-01-01"},
		{"050229", 2000, "2005-02-01"}, // no such day
		{"150431", 2000, "2015-04-01"},
		{"000001", 1900, "1900-01-01"}, // nothing is known
	} {
		if got := numbered(t, tc.date, tc.century).EarliestBirth(); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.date, got, tc.want)
		}
	}
	if got := (SSIN{}).EarliestBirth(); got != "" {
		t.Errorf("no number: %s", got)
	}
}

// A number of the coming year is nobody's yet: its check digits prove the century. One that
// leaves the day or the month open counts from the first day that it can mean.
func TestNumbersOfWhoIsNotBornYet(t *testing.T) {
	const today = Date("2026-06-15")
	for _, tc := range []struct {
		date    string
		century int
		born    bool
	}{
		{"300615", 2000, false},
		{"300615", 1900, true},
		{"260616", 2000, false},
		{"260615", 2000, true},
		{"260614", 2000, true},
		{"260600", 2000, true}, // the day is not known
		{"260700", 2000, false},
		{"260000", 2000, true}, // nor the month
		{"270000", 2000, false},
		{"264615", 2000, true},  // BIS
		{"264616", 2000, false}, // BIS
		{"990000", 2000, false},
		{"000000", 1900, true},
	} {
		if err := numbered(t, tc.date, tc.century).CheckBorn(today); (err == nil) != tc.born || err != nil && !errors.Is(err, ErrNotBorn) {
			t.Errorf("%s of %d: %v", tc.date, tc.century, err)
		}
	}
	if err := (SSIN{}).CheckBorn(today); err != nil {
		t.Errorf("no number: %v", err)
	}
}

// Every number that passes the check tells a day of the calendar, in its own year.
func TestEveryNumberHasAnEarliestBirth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		date, century := fmt.Sprintf("%06d", rapid.IntRange(0, 999_999).Draw(t, "date")), rapid.SampledFrom([]int{1900, 2000}).Draw(t, "century")
		born := numbered(t, date, century).EarliestBirth()
		if _, err := ParseDate(string(born)); err != nil || string(born[:4]) != fmt.Sprint(century/100)+date[:2] {
			t.Fatalf("%s: %q, %v", date, born, err)
		}
	})
}

func TestEarlier(t *testing.T) {
	for _, tc := range [][3]Date{{"", "", ""}, {"2020-01-01", "", "2020-01-01"}, {"", "2020-01-01", "2020-01-01"}, {"2020-01-01", "2020-01-02", "2020-01-01"}, {"2020-01-02", "2020-01-01", "2020-01-01"}} {
		if got := Earlier(tc[0], tc[1]); got != tc[2] {
			t.Errorf("%v: %s", tc, got)
		}
	}
}

// A person has n full years from the same day n years later; born on 29 February, in a
// year without that day, from 1 March, when the year is full (old Civil Code, art. 388).
func TestF26FullYearsOfWhoWasBornOnALeapDay(t *testing.T) {
	for _, tc := range []struct {
		born  Date
		years int
		want  Date
	}{
		{"2008-02-29", 18, "2026-03-01"},
		{"2008-02-29", 12, "2020-02-29"},
		{"2008-02-29", 16, "2024-02-29"},
		{"2008-02-28", 18, "2026-02-28"},
		{"2008-03-01", 18, "2026-03-01"},
	} {
		if got := tc.born.AddYears(tc.years); got != tc.want {
			t.Errorf("%s + %d: %s, want %s", tc.born, tc.years, got, tc.want)
		}
	}
}
