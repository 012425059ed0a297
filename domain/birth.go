package domain

import (
	"fmt"
	"time"
)

// EarliestBirth returns the earliest day on which the bearer of the number can have been
// born, as its date part tells; "" for an absent number. BIS numbers have 20 or 40 added to
// the month. A month that no year has, as in a number of somebody whose day of birth is not
// known, stands for the first of the year, and a day that the month has not for the first of
// the month. A number proves no birth: whoever limits another person's power by an age takes
// the earlier of this day and the source's.
func (s SSIN) EarliestBirth() Date {
	if s.IsZero() {
		return ""
	}
	part := func(at int) int { return int(s.digits[at]-'0')*10 + int(s.digits[at+1]-'0') }
	year, month, day := s.Century()+part(0), part(2), part(4)
	if month > 20 {
		month -= 20
	}
	if month > 20 {
		month -= 20
	}
	if month < 1 || month > 12 {
		month, day = 1, 1
	}
	if born := Date(fmt.Sprintf("%04d-%02d-%02d", year, month, day)); born.exists() {
		return born
	}
	return Date(fmt.Sprintf("%04d-%02d-01", year, month))
}

// ErrNotBorn refuses a number whose date of birth lies in the future. Its check digits prove the
// century (see Century), so it cannot be read as an earlier one.
var ErrNotBorn = NewError(Invalid, "ssinNotBorn", "the number's date of birth lies in the future")

// CheckBorn refuses with ErrNotBorn a number of somebody who is born after a day, whatever its
// date part leaves open. An absent number passes.
func (s SSIN) CheckBorn(day Date) error {
	if born := s.EarliestBirth(); !born.IsZero() && day.Before(born) {
		return ErrNotBorn
	}
	return nil
}

// exists reports whether the date is in the calendar.
func (d Date) exists() bool {
	_, err := time.Parse(time.DateOnly, string(d))
	return err == nil
}

// Earlier returns the earlier of two dates, the other one where one is absent.
func Earlier(d, e Date) Date {
	if d.IsZero() || !e.IsZero() && e.Before(d) {
		return e
	}
	return d
}
