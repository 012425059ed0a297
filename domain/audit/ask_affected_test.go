package audit_test

import (
	"testing"
	"time"

	. "coffre/domain/audit"
	"coffre/domain/domaintest"
)

// A question after a breach is on record with its reason and about some time, or is refused.
func TestAskAffected(t *testing.T) {
	at := time.Date(2026, time.June, 15, 10, 0, 0, 0, time.UTC)
	whole := AffectedAsked{Type: "diploma", Consumer: "0203430576", From: at.Add(-time.Hour), Until: at, Reason: "audit", At: at}
	ask := func(change func(*AffectedAsked)) AskAffected {
		changed := whole
		change(&changed)
		return AskAffected(changed)
	}
	domaintest.Run(t, Evolve, []domaintest.Scenario[State, Event]{
		{Name: "a question with a reason", When: AskAffected(whole), Then: []Event{whole}},
		{Name: "a question without a reason", When: ask(func(a *AffectedAsked) { a.Reason = "" }), Err: ErrAffectedReason},
		{Name: "a question about no time", When: ask(func(a *AffectedAsked) { a.From = a.Until }), Err: ErrAffectedPeriod},
		{Name: "a question about less than no time", When: ask(func(a *AffectedAsked) { a.From = at.Add(1) }), Err: ErrAffectedPeriod},
	})
}
