package domain

import (
	"fmt"
	"testing"
	"time"
)

// Vectors of the National Register's rule: before 2000, from 2000, BIS numbers
// with a known and an unknown sex, unknown and impossible dates.
func TestSSIN(t *testing.T) {
	good := map[string]int{
		"53480200724": 1900, "85073003328": 1900, "85073003357": 2000, "00010100105": 2000, "12061500265": 2000,
		"12123199787": 2000, "05022900153": 2000, "72520100102": 1900, "72420100228": 1900, "00410100191": 2000,
		"90000000146": 1900, "84022711082": 1900, "71022722582": 1900, "84022711014": 2000, "71022722514": 2000,
	}
	for s, century := range good {
		n, err := ParseSSIN(s)
		if err != nil || n.Reveal() != s {
			t.Errorf("%s refused: %v", s, err)
			continue
		}
		if n.Century() != century {
			t.Errorf("%s: century %d, want %d", s, n.Century(), century)
		}
		for _, verb := range []string{"%s", "%v", "%+v", "%#v", "%q", "%d", "%x"} {
			if got := fmt.Sprintf(verb, n); got != "(ssin)" {
				t.Errorf("an SSIN prints as %q with %s", got, verb)
			}
		}
	}
	for _, s := range []string{
		"", "40010110001", "84022711080", "71022722580", "8402271108", "840227110822", "84022711O82",
		"84.02.27-110.82", " 84022711082", "84022700060", "84022799999", "８4022711082",
	} {
		if _, err := ParseSSIN(s); err == nil {
			t.Errorf("%q accepted", s)
		}
	}
}

// No nine digits have one check number that fits both centuries, so exactly two
// of the hundred endings are right for every beginning.
func TestSSINHasTwoEndings(t *testing.T) {
	for n := 1; n < 999_999_999; n += 7_654_321 {
		if s, month := n%1000, n/100_000%100; (s == 0 || s == 999) && month <= 12 {
			continue
		}
		right := 0
		for c := range 100 {
			if _, err := ParseSSIN(fmt.Sprintf("%09d%02d", n, c)); err == nil {
				right++
			}
		}
		if right != 2 {
			t.Fatalf("%09d has %d endings", n, right)
		}
	}
}

// The serials 000 and 999 were never issued in national register numbers, whose month is at
// most 12 (00 where it is unknown), and were in BIS numbers.
func TestF3SerialsOfBISNumbers(t *testing.T) {
	for _, s := range []string{"80240199943", "99200199926", "01200199934", "80240100072"} {
		if n, err := ParseSSIN(s); err != nil || n.Reveal() != s {
			t.Errorf("%s refused: %v", s, err)
		}
	}
	for month := range 100 {
		for _, serial := range []int{0, 1, 998, 999} {
			n := 80_00_01_000 + month*100_000 + serial
			_, err := ParseSSIN(fmt.Sprintf("%09d%02d", n, 97-n%97))
			if refused := month <= 12 && (serial == 0 || serial == 999); (err != nil) != refused {
				t.Errorf("month %02d, serial %03d: %v", month, serial, err)
			}
		}
	}
}

// A day, a month or both that the register did not know are 00 in the number.
func TestF5SSINOfAnUnknownDay(t *testing.T) {
	for _, s := range []string{"81000003517", "90000000146"} {
		if _, err := ParseSSIN(s); err != nil {
			t.Errorf("%s refused: %v", s, err)
		}
	}
}

func TestOrganisation(t *testing.T) {
	for _, s := range []string{"0206731645", "0671516647", "0202239951"} {
		if _, err := ParseOrganisation(s); err != nil {
			t.Errorf("%s refused", s)
		}
	}
	for _, s := range []string{"", "0206731646", "2206731645", "206731645", "0206.731.645", "0000000097", "02067316450"} {
		if _, err := ParseOrganisation(s); err == nil {
			t.Errorf("%q accepted", s)
		}
	}
}

func TestDate(t *testing.T) {
	for _, s := range []string{"2026-02-29", "2026-13-01", "2026-1-1", "20260101", "", "0000-01-01", "2026-01-01T00:00:00Z"} {
		if _, err := ParseDate(s); err == nil {
			t.Errorf("%q accepted", s)
		}
	}
	leap, err := ParseDate("2008-02-29")
	if err != nil {
		t.Fatal(err)
	}
	if got := leap.AddYears(18); got != "2026-03-01" {
		t.Errorf("18 years after 29 February 2008 is %s", got)
	}
	if got := leap.AddDays(366); got != "2009-03-01" || Date("").AddDays(1) != "" {
		t.Errorf("366 days after 29 February 2008 is %s", got)
	}
	if got := leap.EndOfYear(12); got != "2020-12-31" {
		t.Errorf("the year a child of 2008 turns 12 ends %s", got)
	}
}

// The letters of a date-time may be small (RFC 3339, section 5.6); nothing else may vary.
func TestF15TimesMayHaveSmallLetters(t *testing.T) {
	want := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, s := range []string{"2026-01-02T03:04:05Z", "2026-01-02t03:04:05z", "2026-01-02t03:04:05Z", "2026-01-02T03:04:05z", "2026-01-02t04:04:05+01:00", "2026-01-02t03:04:05.000000000z"} {
		if got, err := ParseTime(s); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "z", "t", "2026-01-02", "2026-01-02t", "2026-01-02T03:04:05", "2026-01-02 03:04:05Z", "2026-01-02x03:04:05Z", "2026-01-02T03:04:05y", "2026-01-02T3:04:05Z",
		"2026-01-02T24:00:00Z", "2026-02-30T00:00:00Z", "2026-01-02T03:04:05,5Z", "2026-01-02T03:04:05+25:00", "2026-01-02T03:04:05+01:60", "2026-01-02T03:04:05.Z", "2026-01-02T03:04:05.5", "2026-01-02T03:04:05+0100", "2026-01-02T03:04:05ZZ", "2026-01-02T03:04:60Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
	} {
		if got, err := ParseTime(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}

// Sources write 9999-12-31 for "no end". What is counted from it ends there too, and not in
// a year of five digits, which would compare as long past.
func TestDatesEndWithTheYear9999(t *testing.T) {
	for got, want := range map[Date]Date{
		Date("9999-12-31").AddYears(5): "9999-12-31", Date("9999-12-31").AddDays(1): "9999-12-31", Date("9990-06-01").EndOfYear(12): "9999-12-31",
		Date("0001-01-01").AddDays(-1): "0001-01-01", Date("9998-12-31").AddYears(1): "9999-12-31",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := (BelgianDate(time.Date(9999, 12, 31, 23, 30, 0, 0, time.UTC))); got != "9999-12-31" {
		t.Errorf("the end of time in Belgium is %s", got)
	}
}

// A date whose day, or day and month, nobody knows means any day of that month or year.
func TestF5SpanOfADateKnownInPart(t *testing.T) {
	for s, want := range map[string][2]Date{
		"1953-08-02": {"1953-08-02", "1953-08-02"}, "1953": {"1953-01-01", "1953-12-31"}, "1953-08": {"1953-08-01", "1953-08-31"},
		"2008-02": {"2008-02-01", "2008-02-29"}, "1953-08-00": {"1953-08-01", "1953-08-31"}, "1953-00-00": {"1953-01-01", "1953-12-31"},
		"9999": {"9999-01-01", "9999-12-31"}, "0001": {"0001-01-01", "0001-12-31"},
	} {
		first, last, err := ParseSpan(s)
		if err != nil || first != want[0] || last != want[1] {
			t.Errorf("%s: %s to %s, %v", s, first, last, err)
		}
	}
	for _, s := range []string{"", "53", "195", "19530", "1953-", "1953-8", "1953-13", "1953-00", "1953-08-", "1953-08-0", "1953-02-30", "1953-00-01", "1953-00-00-00", "1953-08-00-00", "0000", "0000-08", "0000-00-00", "0000-08-02", "00-00", "1953-08-02T00:00:00Z", " 1953", "１953"} {
		if first, last, err := ParseSpan(s); err == nil {
			t.Errorf("%q means %s to %s", s, first, last)
		}
	}
}
