package domain

import "time"

// BelgianDate returns the civil date in Belgium at t: Central European Time, one
// hour more from the last Sunday of March to that of October, 01:00 UTC both
// (Directive 2000/84/EC). It reads no time zone database, so it is pure; for
// moments before 1996 it may be wrong within an hour of midnight.
func BelgianDate(t time.Time) Date {
	t = t.UTC()
	offset := time.Hour
	if !t.Before(lastSunday(t.Year(), time.March)) && t.Before(lastSunday(t.Year(), time.October)) {
		offset = 2 * time.Hour
	}
	return DateOf(t.Add(offset))
}

// lastSunday returns 01:00 UTC on the last Sunday of a month of 31 days.
func lastSunday(year int, month time.Month) time.Time {
	last := time.Date(year, month, 31, 1, 0, 0, 0, time.UTC)
	return last.AddDate(0, 0, -int(last.Weekday()))
}
