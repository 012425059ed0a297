package api

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/document"
	"coffre/eventstore/requests"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// After a week a key is a new one: what it asks for then happens, even where the
// same key asked for the same before.
func TestAKeyReusedAfterAWeekIsAnother(t *testing.T) {
	tv := newVault(t)
	id := tv.household(t, 1)
	key := uuid.New()
	suspend := func() {
		t.Helper()
		body := contract.DocumentSuspension{Reason: "underReview"}
		_, err := tv.SuspendDocument(tv.as(t, issuer(homeAffairs), "suspendDocument", body), contract.SuspendDocumentRequestObject{
			DocumentID: id, Params: contract.SuspendDocumentParams{IdempotencyKey: key, IfMatch: `"1"`}, Body: &body,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	suspend()
	suspend() // the first answer again
	body := contract.DocumentReinstatement{}
	if _, err := tv.ReinstateDocument(tv.as(t, issuer(homeAffairs), "reinstateDocument", body), contract.ReinstateDocumentRequestObject{
		DocumentID: id, Params: contract.ReinstateDocumentParams{IdempotencyKey: uuid.New(), IfMatch: `"1"`}, Body: &body,
	}); err != nil {
		t.Fatal(err)
	}
	tv.Clock.Advance(requests.Life + time.Hour)
	suspend()
	if n := len(recorded[document.Suspended](t, tv)); n != 2 {
		t.Fatalf("suspended %d times, want twice", n)
	}
}

// A client that forgot to choose a key is told, before anything happens.
func TestTheNilKeyIsNone(t *testing.T) {
	tv := newVault(t)
	id := tv.household(t, 1)
	body := contract.DocumentSuspension{Reason: "underReview"}
	_, err := tv.SuspendDocument(tv.as(t, issuer(homeAffairs), "suspendDocument", body), contract.SuspendDocumentRequestObject{
		DocumentID: id, Params: contract.SuspendDocumentParams{IfMatch: `"1"`}, Body: &body,
	})
	if !errors.Is(err, errNilKey) {
		t.Fatalf("%v, want %v", err, errNilKey)
	}
	if n := len(recorded[document.Suspended](t, tv)); n != 0 {
		t.Fatalf("suspended %d times", n)
	}
}

// The keys of two officers of one organisation are their own.
func TestOwnersOfKeys(t *testing.T) {
	officer := func(subject string) *edge.Call {
		return &edge.Call{Caller: edge.Caller{Role: domain.RolePrivacyOfficer, Organisation: homeAffairs, Subject: subject}}
	}
	if owner(officer("a")) == owner(officer("b")) {
		t.Error("two officers share their keys")
	}
	if owner(&edge.Call{Caller: issuer(homeAffairs)}) != "org:"+string(homeAffairs) {
		t.Error("an organisation's keys are not the organisation's")
	}
}

// A task that panics is tried again like one that fails, and ends nothing else.
func TestATaskThatPanics(t *testing.T) {
	broken := task{name: "broken", run: nil}
	if err := broken.attempt(t.Context()); err == nil || errors.Is(err, t.Context().Err()) && t.Context().Err() != nil {
		t.Fatal(err)
	}
}
