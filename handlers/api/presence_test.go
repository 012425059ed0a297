package api

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// The gate refuses the nil UUID; the tests here ask the use cases themselves, which must not
// take one for "not given" either.

// F1: a zero time is a moment in the past, answered as the second after it is.
func TestF1AZeroTimeIsAMoment(t *testing.T) {
	tv := newVault(t)
	tv.grantAndWithdraw(t)
	ana := tv.person(t, 1)
	me := citizenCaller(ana)
	for _, zero := range []time.Time{{}, time.Time{}.Add(time.Second)} {
		body := contract.ConsentGrant{Consumer: railways, Purpose: "familyDiscount", DocumentTypes: []contract.DocumentTypeCode{"householdComposition"}, ShownText: shownToAll, Until: &zero}
		if _, err := tv.grantAs(t, me, body); slugOf(err) != "consentPeriod" {
			t.Errorf("a consent until %v: %v", zero, err)
		}
		if _, err := tv.askAs(t, consumer(railways), contract.ConsentAsk{SSIN: ssin(1), Purpose: "familyDiscount", DocumentTypes: body.DocumentTypes, Until: &zero}); slugOf(err) != "consentPeriod" {
			t.Errorf("a consent request until %v: %v", zero, err)
		}
		if then, _, err := tv.wallet(t, me, ana, contract.GetWalletParams{AsOf: &zero}); err != nil || len(then.Items) > 0 || then.AsOf != zero {
			t.Errorf("the wallet as of %v: %+v, %v", zero, then, err)
		}
		if log, err := tv.accessesOf(t, me, ana, contract.GetAccessLogParams{Until: &zero}); err != nil || len(log.Items) > 0 {
			t.Errorf("accesses until %v: %+v, %v", zero, log, err)
		}
		if found := tv.decisions(t, contract.ConsentLogQuery{Until: &zero}); len(found) > 0 {
			t.Errorf("decisions until %v: %d", zero, len(found))
		}
		if found := tv.decisions(t, contract.ConsentLogQuery{From: &zero}); len(found) != 6 {
			t.Errorf("decisions from %v on: %d", zero, len(found))
		}
		id := tv.export(t, contract.ExportCreate{Format: contract.ExportFormatCsv, Until: &zero})
		tv.waitIdle(t)
		if done, err := tv.exported(t, id); err != nil || done.Status.State != contract.TaskStateDone || !is(done.Rows, 0) {
			t.Errorf("F38 an export until %v: %+v, %v", zero, done, err)
		}
		if _, err := tv.proposeRelease(t, officer, contract.ReleasePropose{SSIN: ssin(1), Kind: contract.ReleaseKindEnd, LegalBasis: "legalObligation", Until: &zero}); slugOf(err) != "releaseEndPast" {
			t.Errorf("a release until %v: %v", zero, err)
		}
	}
}

// decisions returns the decisions that an officer finds.
func (tv *testVault) decisions(t testing.TB, q contract.ConsentLogQuery) []contract.ConsentLogItem {
	t.Helper()
	answer, err := tv.QueryConsentLog(tv.as(t, officer, "queryConsentLog", q), contract.QueryConsentLogRequestObject{Body: &q})
	if err != nil {
		t.Fatal(err)
	}
	return answer.(contract.QueryConsentLog200JSONResponse).Items
}

// F2: the nil UUID is an id that nobody and nothing has, answered as any other unknown one.
func TestF2TheNilUUIDIsAnUnknownID(t *testing.T) {
	tv := newVault(t)
	tv.grantAndWithdraw(t)
	ana := tv.person(t, 1)
	home := tv.household(t, 2)
	me, stranger := citizenCaller(ana), edge.Caller{Role: domain.RoleCitizen, Subject: "nobody the vault knows"}
	for _, id := range []uuid.UUID{{}, uuid.New()} {
		query := contract.DocumentQuery{CitizenRef: &domain.CitizenRef{UUID: id}}
		answer, err := tv.QueryDocuments(tv.as(t, issuer(homeAffairs), "queryDocuments", query), contract.QueryDocumentsRequestObject{Body: &query})
		if err != nil || len(answer.(contract.QueryDocuments200JSONResponse).Items) > 0 {
			t.Errorf("an issuer's documents of %s: %+v, %v", id, answer, err)
		}
		if found := tv.decisions(t, contract.ConsentLogQuery{CitizenID: &domain.CitizenID{UUID: id}}); len(found) > 0 {
			t.Errorf("decisions of %s: %d", id, len(found))
		}
		body := contract.ConsentGrant{CitizenID: &domain.CitizenID{UUID: id}, Consumer: railways, Purpose: "familyDiscount", DocumentTypes: []contract.DocumentTypeCode{"householdComposition"}, ShownText: shownToAll}
		if _, err := tv.grantAs(t, me, body); !errors.Is(err, edge.ErrNoResource) {
			t.Errorf("a consent for %s: %v", id, err)
		}
		for name, who := range map[string]edge.Caller{"a citizen": me, "a consumer": consumer(railways), "somebody unknown": stranger} {
			p := contract.ListConsentsParams{CitizenID: &domain.CitizenID{UUID: id}}
			if _, err := tv.ListConsents(tv.as(t, who, "listConsents", nil), contract.ListConsentsRequestObject{Params: p}); !errors.Is(err, edge.ErrNoResource) {
				t.Errorf("%s's list for %s: %v", name, id, err)
			}
		}
		if log, err := tv.accessesOf(t, me, ana, contract.GetAccessLogParams{AccessID: &domain.AccessID{UUID: id}}); err != nil || len(log.Items) > 0 {
			t.Errorf("access %s: %+v, %v", id, log, err)
		}
		if _, err := tv.read(t, consumer(railways), home, uuid.New(), contract.AccessRequest{Purpose: "familyDiscount", ConsentID: &domain.ConsentID{UUID: id}}); slugOf(err) != "noBasis" {
			t.Errorf("a reading under the consent %s: %v", id, err)
		}
		if _, err := tv.restrict(t, me, ana, contract.RestrictionAsk{Reason: "accuracyContested", DocumentID: &domain.DocumentID{UUID: id}}); slugOf(err) != "documentNotFound" {
			t.Errorf("a restriction of the document %s: %v", id, err)
		}
		erasure := contract.ErasureRequest{CitizenID: ana, Scope: contract.ErasureScopeDocument, Reason: "citizenRequest", DocumentID: &domain.DocumentID{UUID: id}}
		if _, err := tv.RequestErasure(tv.as(t, me, "requestErasure", erasure), contract.RequestErasureRequestObject{Params: contract.RequestErasureParams{IdempotencyKey: uuid.New()}, Body: &erasure}); slugOf(err) != "nothingToErase" {
			t.Errorf("an erasure of the document %s: %v", id, err)
		}
	}
}

// F11: what a proxy does to a tag changes nothing; of two changes of one version one wins
// all the same; and a document that was suspended is not the one that a reader has.
func TestF11TagsOfADocument(t *testing.T) {
	tv := newVault(t)
	id := tv.household(t, 1)
	tag := func(who edge.Caller) contract.EntityTag {
		t.Helper()
		answer, err := tv.GetDocument(tv.as(t, who, "getDocument", nil), contract.GetDocumentRequestObject{DocumentID: id})
		if err != nil {
			t.Fatal(err)
		}
		return answer.(contract.GetDocument200JSONResponse).Headers.ETag
	}
	suspend := func(match contract.EntityTag, reason domain.ReasonCode) error {
		body := contract.DocumentSuspension{Reason: reason}
		_, err := tv.SuspendDocument(tv.as(t, issuer(homeAffairs), "suspendDocument", body), contract.SuspendDocumentRequestObject{
			DocumentID: id, Params: contract.SuspendDocumentParams{IdempotencyKey: uuid.New(), IfMatch: match}, Body: &body,
		})
		return err
	}
	first, mine := tag(issuer(homeAffairs)), tag(citizenCaller(tv.person(t, 1)))
	if first == mine || first != tag(issuer(homeAffairs)) || edge.VersionOf(first) != 1 {
		t.Errorf("the issuer has %s, the citizen %s", first, mine)
	}
	for _, stale := range []contract.EntityTag{`"2"`, `W/"2"`, `"x", "y"`} {
		if err := suspend(stale, "underReview"); slugOf(err) != "documentVersionStale" {
			t.Errorf("a change of %s: %v", stale, err)
		}
	}
	if err := suspend("W/"+first, "underReview"); err != nil {
		t.Errorf("a change of a weakened tag: %v", err)
	}
	if second := tag(issuer(homeAffairs)); second == first || edge.VersionOf(second) != 1 {
		t.Errorf("suspended since, the tag is %s and was %s", second, first)
	}
	if _, err := tv.update(t, homeAffairs, id, `"7", W/"1"`, `{"asOf":"2026-06-01","householdSize":5,"members":[]}`); err != nil {
		t.Errorf("a change of one of several tags: %v", err)
	}
	if _, err := tv.update(t, homeAffairs, id, "W/"+first, household); slugOf(err) != "documentVersionStale" {
		t.Errorf("a second change of one version: %v", err)
	}
	if _, err := tv.update(t, homeAffairs, id, "*", household); err != nil {
		t.Errorf("a change of whatever version: %v", err)
	}
}
