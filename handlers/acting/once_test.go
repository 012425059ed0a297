package acting

import (
	"testing"

	"coffre/domain"
	"coffre/handlers/edge"
)

// Two officers of one organisation do not share their idempotency keys.
func TestOwnersOfKeys(t *testing.T) {
	officer := func(subject string) *edge.Call {
		return &edge.Call{Caller: edge.Caller{Role: domain.RolePrivacyOfficer, Organisation: "0308356862", Subject: subject}}
	}
	if RequestOwner(officer("a")) == RequestOwner(officer("b")) {
		t.Error("two officers share their keys")
	}
	if RequestOwner(&edge.Call{Caller: edge.Caller{Role: domain.RoleIssuer, Organisation: "0308356862"}}) != "org:"+"0308356862" {
		t.Error("an organisation's keys are not the organisation's")
	}
}
