package audit_test

import (
	"testing"
	"time"

	. "coffre/domain/audit"
	"coffre/domain/domaintest"
)

// An act is recorded by a name that is known, and by no other.
func TestOperate(t *testing.T) {
	at := time.Date(2026, time.June, 15, 10, 0, 0, 0, time.UTC)
	table := []domaintest.Scenario[State, Event]{
		{Name: "an act without a name", When: Operate{At: at}, Err: ErrAct},
		{Name: "an act that nobody knows", When: Operate{Act: "peek", At: at}, Err: ErrAct},
	}
	for _, act := range Acts {
		table = append(table, domaintest.Scenario[State, Event]{Name: "the act " + string(act), When: Operate{Act: act, On: "x", At: at}, Then: []Event{Operated{Act: act, On: "x", At: at}}})
	}
	domaintest.Run(t, Evolve, table)
}
