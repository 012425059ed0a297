package work

import (
	"testing"
	"time"
)

// ATREQ01: an act is kept for ten years from 1 January after it, in Belgium.
func TestAuditTrailIsKeptForTenYearsFromTheNextJanuary(t *testing.T) {
	for _, c := range []struct{ act, end string }{
		{"2026-01-01T00:00:00+01:00", "2037-01-01T00:00:00+01:00"},
		{"2026-11-29T09:00:00+01:00", "2037-01-01T00:00:00+01:00"},
		{"2026-12-31T23:59:59+01:00", "2037-01-01T00:00:00+01:00"},
		{"2026-12-31T23:30:00Z", "2038-01-01T00:00:00+01:00"}, // in Belgium it is 2027
	} {
		act, err := time.Parse(time.RFC3339, c.act)
		if err != nil {
			t.Fatal(err)
		}
		end, err := time.Parse(time.RFC3339, c.end)
		if err != nil {
			t.Fatal(err)
		}
		if got := auditTrailEnd(act); !got.Equal(end) {
			t.Errorf("%s is kept until %s, not %s", c.act, got, c.end)
		}
		if last := end.Add(-time.Microsecond); auditTrailFrom(last).After(act) || !auditTrailFrom(end).After(act) {
			t.Errorf("%s is told from %s until %s", c.act, auditTrailFrom(last), auditTrailFrom(end))
		}
	}
}
