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

// DateOf returns the civil date of t in Belgium's sense of a day for t's own
// location; callers convert first (see Brussels time at the edge).
func DateOf(t time.Time) Date { return Date(t.Format(time.DateOnly)) }

// IsZero reports whether the date is absent.
func (d Date) IsZero() bool { return d == "" }

// Before reports whether d is an earlier day than e. Both must be present.
func (d Date) Before(e Date) bool { return d < e }

// AddYears returns the same day n years later; 29 February becomes 1 March in a
// year without it, as Belgian civil law counts ages.
func (d Date) AddYears(n int) Date {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return ""
	}
	return DateOf(t.AddDate(n, 0, 0))
}

// AddDays returns the day n days later; "" for an absent date.
func (d Date) AddDays(n int) Date {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return ""
	}
	return DateOf(t.AddDate(0, 0, n))
}

// EndOfYear returns 31 December of the year n years after d's.
func (d Date) EndOfYear(n int) Date {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return ""
	}
	return DateOf(time.Date(t.Year()+n, time.December, 31, 0, 0, 0, 0, time.UTC))
}
