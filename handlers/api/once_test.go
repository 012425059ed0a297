package api

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain/access"
	"coffre/domain/document"
	"coffre/eventstore/requests"
	"coffre/handlers/contract"
)

// An idempotency key counts as a new one after a week: its request is carried out, even where
// the same key made the same request before.
func TestKeyReusedAfterAWeekIsNew(t *testing.T) {
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
func TestNilKeyIsRefused(t *testing.T) {
	tv := newVault(t)
	id := tv.household(t, 1)
	body := contract.DocumentSuspension{Reason: "underReview"}
	_, err := tv.SuspendDocument(tv.as(t, issuer(homeAffairs), "suspendDocument", body), contract.SuspendDocumentRequestObject{
		DocumentID: id, Params: contract.SuspendDocumentParams{IfMatch: `"1"`}, Body: &body,
	})
	if slugOf(err) != "nilIdempotencyKey" {
		t.Fatal(err)
	}
	if n := len(recorded[document.Suspended](t, tv)); n != 0 {
		t.Fatalf("suspended %d times", n)
	}
	if _, err := tv.read(t, consumer(flanders), id, uuid.Nil, contract.AccessRequest{LegalBasis: "06.1e", Deliberation: "21/008", Purpose: "schoolAllowance"}); slugOf(err) != "nilIdempotencyKey" {
		t.Errorf("an access: %v", err)
	}
	_, err = tv.AccessAttachment(tv.as(t, consumer(flanders), "accessAttachment", nil), contract.AccessAttachmentRequestObject{DocumentID: id, Body: &contract.AccessAttachmentJSONRequestBody{}})
	if slugOf(err) != "nilIdempotencyKey" {
		t.Errorf("an access to a file: %v", err)
	}
	if n := len(recorded[access.Authorized](t, tv)); n != 0 {
		t.Errorf("%d accesses on record", n)
	}
}
