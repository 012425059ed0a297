package domain

import (
	"strings"
	"time"
)

// Date is a civil date of the Gregorian calendar, "2026-03-01", without time or
// zone. Dates compare as strings do. "" means absent.
type Date string

var errBadDate = NewError(Invalid, "invalidDate", "a date is written yyyy-MM-dd and exists in the calendar")

// ParseDate accepts yyyy-MM-dd with a year from 0001 to 9999. The error never
// quotes its input.
func ParseDate(s string) (Date, error) {
	if _, err := time.Parse(time.DateOnly, s); err != nil || strings.HasPrefix(s, "0000") {
		return "", errBadDate
	}
	return Date(s), nil
}

// ParseSpan returns the first and the last day that a date may mean whose day, or whose day
// and month, nobody knows: "1953-08", "1953", and as Belgian and other registers write them,
// "1953-08-00", "1953-00-00". Of a whole date both are that day. A date without a year, which
// sources write as 0000, is refused: it means no day. The error never quotes its input.
func ParseSpan(s string) (first, last Date, err error) {
	if d, err := ParseDate(s); err == nil {
		return d, d, nil
	}
	known := strings.TrimSuffix(s, "-00")
	if len(known) == len("2006-00") {
		known = strings.TrimSuffix(known, "-00")
	}
	layout := "2006-01"
	if len(known) == len("2006") {
		layout = "2006"
	}
	from, err := time.Parse(layout, known)
	if err != nil || from.Year() == 0 || s != known && len(s) != len(time.DateOnly) {
		return "", "", errBadDate
	}
	to := from.AddDate(0, 1, -1)
	if layout == "2006" {
		to = from.AddDate(1, 0, -1)
	}
	return DateOf(from), DateOf(to), nil
}

// DateOf returns the civil date of t in Belgium's sense of a day for t's own
// location; callers convert first (see Brussels time at the edge).
// Days beyond what a Date can say are its first and its last, 0001-01-01 and 9999-12-31, so
// that dates compare as strings always.
func DateOf(t time.Time) Date {
	switch year := t.Year(); {
	case year < 1:
		return "0001-01-01"
	case year > 9999:
		return "9999-12-31"
	}
	return Date(t.Format(time.DateOnly))
}

// IsZero reports whether the date is absent.
func (d Date) IsZero() bool { return d == "" }

// Before reports whether d is an earlier day than e. Both must be present.
func (d Date) Before(e Date) bool { return d < e }

// AddYears returns the same day n years later, at most 9999-12-31; 29 February becomes
// 1 March in a year without it. Belgian law counts full years (old Civil Code, art. 388: a
// minor has not reached "the full age of eighteen years"), and a term in years runs to the
// eve of its day (Judicial Code, art. 54), so that the year of who was born on 29 February is
// full at the end of 28 February.
func (d Date) AddYears(n int) Date {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return ""
	}
	return DateOf(t.AddDate(n, 0, 0))
}

// AddMonths returns the same day n months later, or the last day of that month where it is
// shorter; "" for an absent date.
func (d Date) AddMonths(n int) Date {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return ""
	}
	first := time.Date(t.Year(), t.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
	return DateOf(first.AddDate(0, 0, min(t.Day(), first.AddDate(0, 1, -1).Day())-1))
}

// AddDays returns the day n days later; "" for an absent date.
func (d Date) AddDays(n int) Date {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return ""
	}
	return DateOf(t.AddDate(0, 0, n))
}

// Monday returns the first day of the week (ISO 8601) of the day.
func (d Date) Monday() Date {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return ""
	}
	return d.AddDays(-(int(t.Weekday()) + 6) % 7)
}

// DaysUntil returns how many days later e is, less than 0 when it is earlier; 0 when either is
// absent.
func (d Date) DaysUntil(e Date) int {
	from, err := time.Parse(time.DateOnly, string(d))
	to, err2 := time.Parse(time.DateOnly, string(e))
	if err != nil || err2 != nil {
		return 0
	}
	return int(to.Sub(from) / (24 * time.Hour))
}

// EndOfYear returns 31 December of the year n years after d's.
func (d Date) EndOfYear(n int) Date {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return ""
	}
	return DateOf(time.Date(t.Year()+n, time.December, 31, 0, 0, 0, 0, time.UTC))
}
