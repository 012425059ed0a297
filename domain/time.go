package domain

import (
	"strings"
	"time"
)

var errBadTime = NewError(Invalid, "invalidTime", "a moment is written as in RFC 3339, with an offset: 2026-03-01T12:00:00+01:00 or 2026-03-01T11:00:00Z")

// ParseTime reads a date-time of RFC 3339: a day, T, a time, and an offset or Z, of which T
// and Z may be small letters (section 5.6). Years run from 0001 to 9999, there and in UTC.
// The error never quotes its input.
func ParseTime(s string) (time.Time, error) {
	if s = strings.ToUpper(s); !formedTime(s) {
		return time.Time{}, errBadTime
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if utc := t.UTC().Year(); err != nil || t.Year() < 1 || utc < 1 || utc > 9999 {
		return time.Time{}, errBadTime
	}
	return t, nil
}

// formedTime reports whether each character of a date-time is where it belongs, which the
// standard library's parser takes less strictly: it knows hours of one digit, fractions behind
// a comma, and offsets of any length of time.
func formedTime(s string) bool {
	const whole = "0000-00-00T00:00:00"
	if len(s) <= len(whole) || !shaped(s[:len(whole)], whole) {
		return false
	}
	rest := s[len(whole):]
	if rest[0] == '.' {
		digits := strings.TrimLeft(rest[1:], "0123456789")
		if len(digits) == len(rest)-1 {
			return false
		}
		rest = digits
	}
	return rest == "Z" || (shaped(rest, "+00:00") || shaped(rest, "-00:00")) && rest[1:3] < "24" && rest[4:] < "60"
}

// shaped reports whether s has a digit wherever shape has a 0, and else what shape has.
func shaped(s, shape string) bool {
	if len(s) != len(shape) {
		return false
	}
	for i := range len(s) {
		if digit := s[i] >= '0' && s[i] <= '9'; shape[i] == '0' && !digit || shape[i] != '0' && s[i] != shape[i] {
			return false
		}
	}
	return true
}
