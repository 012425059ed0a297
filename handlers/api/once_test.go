package api

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain/access"
	"coffre/domain/document"
	"coffre/eventstore/requests"
	"coffre/eventstore/seal/keysdb"
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

// Whoever deletes rows of requests makes nothing happen twice: what a request made lies in a
// stream that its key names, so a repetition whose first attempt nobody remembers meets it.
func TestRequestWhoseRowIsGoneActsOnce(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	me := tv.person(t, 1)
	tv.household(t, 2)
	source, whom := citizenCaller(me), ssin(2)
	consented := contract.ConsentGrant{Consumer: railways, Purpose: "ageVerification", DocumentTypes: []contract.DocumentTypeCode{"isiPlusCard"}, ShownText: shownToAll}
	for name, act := range map[string]func(key uuid.UUID) error{
		"document.issued": func(key uuid.UUID) error {
			_, _, err := tv.issueAs(t, homeAffairs, key, contract.DocumentIssue{SSIN: ssin(1), DocumentType: "householdComposition", SourceReference: "again", ValidFrom: "2026-01-01", Content: contract.Content(household)})
			return err
		},
		"consent.granted": func(key uuid.UUID) error {
			_, err := tv.GrantConsent(tv.as(t, source, "grantConsent", consented), contract.GrantConsentRequestObject{Params: contract.GrantConsentParams{IdempotencyKey: key}, Body: &consented})
			return err
		},
		"consent.requested": func(key uuid.UUID) error {
			body := contract.ConsentAsk{SSIN: whom, Purpose: "ageVerification", DocumentTypes: []contract.DocumentTypeCode{"isiPlusCard"}}
			_, err := tv.RequestConsent(tv.as(t, consumer(railways), "requestConsent", body), contract.RequestConsentRequestObject{Params: contract.RequestConsentParams{IdempotencyKey: key}, Body: &body})
			return err
		},
		"mandate.granted": func(key uuid.UUID) error {
			body := contract.MandateGrant{Kind: contract.MandateKindRepresentation, RepresentativeSSIN: whom, Actions: []contract.MandateAction{contract.MandateActionRead}, Until: "2027-01-01"}
			_, err := tv.GrantMandate(tv.as(t, source, "grantMandate", body), contract.GrantMandateRequestObject{Params: contract.GrantMandateParams{IdempotencyKey: key}, Body: &body})
			return err
		},
		"citizen.legal-hold-placed": func(key uuid.UUID) error {
			body := contract.LegalHoldPlace{Reason: "litigation", CaseReference: "canary-case"}
			_, err := tv.PlaceHold(tv.as(t, officer, "placeHold", body), contract.PlaceHoldRequestObject{CitizenID: me, Params: contract.PlaceHoldParams{IdempotencyKey: key}, Body: &body})
			return err
		},
		"citizen.processing-restricted": func(key uuid.UUID) error {
			_, err := tv.RestrictProcessing(tv.as(t, officer, "restrictProcessing", contested), contract.RestrictProcessingRequestObject{CitizenID: tv.person(t, 2), Params: contract.RestrictProcessingParams{IdempotencyKey: key}, Body: &contested})
			return err
		},
		"release.proposed": func(key uuid.UUID) error {
			body := newLifeOf(3)
			_, err := tv.ProposeRelease(tv.as(t, officer, "proposeRelease", body), contract.ProposeReleaseRequestObject{Params: contract.ProposeReleaseParams{IdempotencyKey: key}, Body: &body})
			return err
		},
	} {
		count := func() (n int) {
			for _, r := range tv.log(t) {
				if strings.HasPrefix(r.Type, name+"/") {
					n++
				}
			}
			return n
		}
		before, key := count(), uuid.New()
		if err := act(key); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := keysdb.Do(t.Context(), tv.KeysDB, func(tx *keysdb.Tx) (int64, error) { return tx.Exec(`DELETE FROM requests`) }); err != nil {
			t.Fatal(err)
		}
		tv.Clock.Advance(time.Second) // the time of the first use is forgotten, too
		err := act(key)
		if n := count() - before; n != 1 {
			t.Errorf("%s: on record %d times, the repetition was answered %v", name, n, err)
		}
	}
}
