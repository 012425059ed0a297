package acting

import (
	"fmt"
	"testing"
	"time"

	"coffre/eventstore"
	"coffre/handlers/edge"
)

// An error of the stores or the keys that callers can wait out is answered as such, with
// the time after which to try again.
func TestErrorAnswers(t *testing.T) {
	for _, tc := range []struct {
		err    error
		status int
		is     string
		wait   time.Duration
	}{
		{eventstore.ErrTampered, 503, "urn:problem-type:coffre:integrityViolated", time.Hour},
		{&eventstore.Corrupt{Revision: -1}, 503, "urn:problem-type:coffre:integrityViolated", time.Hour},
		{eventstore.ErrOverloaded, 503, "urn:problem-type:coffre:overloaded", 1 * time.Second},
		{eventstore.ErrDiskFull, 507, "urn:problem-type:coffre:storageFull", 60 * time.Second},
		{eventstore.ErrErased, 410, "urn:problem-type:coffre:erased", 0},
		{eventstore.ErrKeysUnavailable, 503, "urn:problem-type:coffre:keysUnavailable", 5 * time.Second},
		{eventstore.ErrOutcomeUnknown, 503, "urn:problem-type:coffre:outcomeUnknown", 1 * time.Second},
	} {
		p, _, wait, known := edge.Describe(fmt.Errorf("somewhere: %w", tc.err), ErrorAnswers)
		if !known || p.Status != tc.status || p.Type != tc.is || wait != tc.wait {
			t.Errorf("%v: %t, %d %s, wait %s", tc.err, known, p.Status, p.Type, wait)
		}
	}
}
