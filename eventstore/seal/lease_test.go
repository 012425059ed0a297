package seal

import (
	"testing"
	"time"
	"unsafe"
)

// wallAhead returns a moment at which only the wall clock has gone on: the machine slept,
// for which the other clock does not count.
func wallAhead(t *testing.T, from time.Time, by time.Duration) time.Time {
	t.Helper()
	const monotonic, secondsAt = 1 << 63, 30 // of a time.Time: the flag, and where seconds begin
	inside := (*struct {
		wall uint64
		ext  int64
		loc  *time.Location
	})(unsafe.Pointer(&from))
	if inside.wall&monotonic == 0 {
		t.Fatal("the moment has no monotonic clock")
	}
	before := from
	inside.wall += uint64(by/time.Second) << secondsAt
	if from.Sub(before) != 0 || from.Round(0).Sub(before.Round(0)) != by {
		t.Fatalf("moved by %v and %v", from.Sub(before), from.Round(0).Sub(before.Round(0)))
	}
	return from
}

// A lease ends by whichever clock says so first.
func TestLeaseEndsByEitherClock(t *testing.T) {
	const length = 30 * time.Second
	granted := time.Now()
	var l lease
	if l.covers(granted, length) {
		t.Error("a lease that was never granted holds")
	}
	l.granted.Store(&granted)
	for name, c := range map[string]struct {
		now  time.Time
		want bool
	}{
		"at once":                         {granted, true},
		"before its end":                  {granted.Add(length - time.Nanosecond), true},
		"at its end":                      {granted.Add(length), false},
		"the machine slept":               {wallAhead(t, granted, length), false},
		"it slept shorter than the lease": {wallAhead(t, granted, length-time.Second), true},
		"the wall clock was set back":     {wallAhead(t, granted.Add(length), -time.Hour), false},
	} {
		if got := l.covers(c.now, length); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
