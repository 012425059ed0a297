package domain

import "time"

// BelgianDate returns the civil date in Belgium at t: Central European Time, one
// hour more from the last Sunday of March to that of October, 01:00 UTC both
// (Directive 2000/84/EC). It reads no time zone database, so it is pure; for
// moments before 1996 it may be wrong within an hour of midnight.
func BelgianDate(t time.Time) Date { return DateOf(t.UTC().Add(belgianOffset(t))) }

// InBelgium returns a moment with the clock that Belgium has then, for people to read.
func InBelgium(t time.Time) time.Time {
	return t.In(time.FixedZone("", int(belgianOffset(t)/time.Second)))
}

// BelgianDay returns the number of days from 1 January 1970 to the civil date in Belgium at t.
func BelgianDay(t time.Time) int64 {
	const day = 24 * 60 * 60
	local := t.Unix() + int64(belgianOffset(t)/time.Second)
	if local < 0 {
		local -= day - 1 // division rounds towards 0
	}
	return local / day
}

// BelgianMidnight returns the moment at which a day begins in Belgium, in UTC; the zero time
// for an absent date. The clocks change at 2 or 3 o'clock, so that each day has one.
func BelgianMidnight(d Date) time.Time {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return time.Time{}
	}
	return t.Add(-belgianOffset(t.Add(-time.Hour)))
}

// BelgianDayEnd returns the last microsecond of a day in Belgium, in UTC.
func BelgianDayEnd(d Date) time.Time { return BelgianMidnight(d.AddDays(1)).Add(-time.Microsecond) }

// MomentOn returns the moment for which a question asks about a day, put at a moment: that one
// on its own day in Belgium, and on another day its last.
func MomentOn(at time.Time, d Date) time.Time {
	if d == BelgianDate(at) {
		return at
	}
	return BelgianDayEnd(d)
}

// belgianOffset returns how far the clocks of Belgium are ahead of UTC at t.
func belgianOffset(t time.Time) time.Duration {
	t = t.UTC()
	if !t.Before(lastSunday(t.Year(), time.March)) && t.Before(lastSunday(t.Year(), time.October)) {
		return 2 * time.Hour
	}
	return time.Hour
}

// lastSunday returns 01:00 UTC on the last Sunday of a month of 31 days.
func lastSunday(year int, month time.Month) time.Time {
	last := time.Date(year, month, 31, 1, 0, 0, 0, time.UTC)
	return last.AddDate(0, 0, -int(last.Weekday()))
}
