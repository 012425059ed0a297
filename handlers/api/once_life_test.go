package api

import (
	"testing"

	"github.com/google/uuid"

	"coffre/eventstore/requests"
	"coffre/handlers/contract"
)

// The keys of requests are remembered for a week, and not for ever.
func TestOldRequestsAreForgotten(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	tv.Clock.Advance(requests.Life - 1)
	key := uuid.New()
	body := contract.DocumentIssue{SSIN: ssin(2), DocumentType: "householdComposition", SourceReference: "two", ValidFrom: "2026-01-01", Content: contract.Content(household)}
	if _, _, err := tv.issueAs(t, homeAffairs, key, body); err != nil {
		t.Fatal(err)
	}
	tv.Clock.Advance(1)
	tv.restart()
	tv.waitIdle(t)
	if left, err := tv.Requests.Purge(t.Context()); err != nil || left != 0 {
		t.Errorf("%d requests of a week ago were left, %v", left, err)
	}
	if isNew, _, err := tv.issueAs(t, homeAffairs, key, body); err != nil || !isNew {
		t.Errorf("a request of this week was forgotten: %v, %v", isNew, err)
	}
}
