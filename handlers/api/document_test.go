package api

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/domain/mandate"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/eventstore/requests"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/work"
)

// issueAs issues a document through the use case and reports whether it was new.
func (tv *testVault) issueAs(t testing.TB, by domain.Organisation, key uuid.UUID, body contract.DocumentIssue) (isNew bool, receipt contract.DocumentReceipt, err error) {
	t.Helper()
	answer, err := tv.IssueDocument(tv.as(t, issuer(by), "issueDocument", body), contract.IssueDocumentRequestObject{
		Params: contract.IssueDocumentParams{IdempotencyKey: key}, Body: &body,
	})
	switch a := answer.(type) {
	case contract.IssueDocument201JSONResponse:
		return true, a.Body, err
	case contract.IssueDocument200JSONResponse:
		return false, a.Body, err
	}
	return false, contract.DocumentReceipt{}, err
}

func (tv *testVault) update(t testing.TB, by domain.Organisation, id domain.DocumentID, tag contract.EntityTag, content string) (contract.DocumentReceipt, error) {
	t.Helper()
	body := contract.DocumentUpdate{EffectiveFrom: "2026-06-01", Content: contract.Content(content)}
	answer, err := tv.UpdateDocument(tv.as(t, issuer(by), "updateDocument", body), contract.UpdateDocumentRequestObject{
		DocumentID: id, Params: contract.UpdateDocumentParams{IdempotencyKey: uuid.New(), IfMatch: tag}, Body: &body,
	})
	if err != nil {
		return contract.DocumentReceipt{}, err
	}
	return answer.(contract.UpdateDocument200JSONResponse).Body, nil
}

const identity2 = `{"birthdate":"1980-02-29","family_name":"Canary","given_name":"Clara","nationalities":["BE"]}`

func TestIssuing(t *testing.T) {
	tv := newVault(t)
	body := contract.DocumentIssue{SSIN: ssin(1), DocumentType: "identityData", SourceReference: "one", ValidFrom: "2026-01-01", Content: contract.Content(identity)}
	_, first, err := tv.issueAs(t, homeAffairs, uuid.New(), body)
	if err != nil {
		t.Fatal(err)
	}
	head := func() int { return len(recorded[document.Event](t, tv)) }

	t.Run("D-4 the same again is 200 and records nothing", func(t *testing.T) {
		before := head()
		isNew, again, err := tv.issueAs(t, homeAffairs, uuid.New(), body)
		if err != nil || isNew || again.DocumentID != first.DocumentID || again.CitizenRef != first.CitizenRef || head() != before {
			t.Fatal(isNew, again, err)
		}
	})
	t.Run("D-4 members in another order are the same content", func(t *testing.T) {
		other := body
		other.Content = contract.Content(`{"nationalities":["BE"],"given_name":"Carla", "family_name":"Canary","birthdate":"1980-02-29"}`)
		if isNew, _, err := tv.issueAs(t, homeAffairs, uuid.New(), other); err != nil || isNew {
			t.Fatal(isNew, err)
		}
	})
	t.Run("D-4 other content is refused and names the update", func(t *testing.T) {
		other := body
		other.Content = contract.Content(identity2)
		if _, _, err := tv.issueAs(t, homeAffairs, uuid.New(), other); !errors.Is(err, document.ErrAlreadyIssued) {
			t.Fatal(err)
		}
	})
	t.Run("D-4 the content of an older version is refused as superseded", func(t *testing.T) {
		if _, err := tv.update(t, homeAffairs, first.DocumentID, `"1"`, identity2); err != nil {
			t.Fatal(err)
		}
		if _, _, err := tv.issueAs(t, homeAffairs, uuid.New(), body); !errors.Is(err, document.ErrSupersededContent) {
			t.Fatal(err)
		}
	})
	t.Run("D-1 only an authentic source issues", func(t *testing.T) {
		if _, _, err := tv.issueAs(t, economy, uuid.New(), body); !errors.Is(err, document.ErrNotIssuer) {
			t.Fatal(err)
		}
	})
	t.Run("D-5 content satisfies the schema, and the refusal does not repeat it", func(t *testing.T) {
		other := body
		other.SourceReference, other.Content = "two", contract.Content(`{"birthdate":"canary","given_name":"Canary"}`)
		_, _, err := tv.issueAs(t, homeAffairs, uuid.New(), other)
		problem, _, _, known := edge.Describe(err, acting.ErrorAnswers)
		if !known || problem.Status != 400 || len(problem.Issues) == 0 {
			t.Fatal(err)
		}
		for _, i := range problem.Issues {
			if i.Name == "" || i.Name == "/content/canary" || i.Detail == "canary" {
				t.Error(i)
			}
		}
	})
	t.Run("D-5 an unknown type is refused", func(t *testing.T) {
		other := body
		other.DocumentType = "canaryPass"
		if _, _, err := tv.issueAs(t, homeAffairs, uuid.New(), other); !errors.Is(err, document.ErrUnknownType) {
			t.Fatal(err)
		}
	})
	t.Run("D-6 validity ends not before it begins", func(t *testing.T) {
		other := body
		other.SourceReference, other.ValidUntil = "three", "2025-12-31"
		if _, _, err := tv.issueAs(t, homeAffairs, uuid.New(), other); !errors.Is(err, document.ErrValidity) {
			t.Fatal(err)
		}
	})
}

func TestIdempotencyKeyOfIssue(t *testing.T) {
	tv := newVault(t)
	key := uuid.New()
	body := contract.DocumentIssue{SSIN: ssin(1), DocumentType: "identityData", SourceReference: "one", ValidFrom: "2026-01-01", Content: contract.Content(identity)}
	isNew, first, err := tv.issueAs(t, homeAffairs, key, body)
	if err != nil || !isNew {
		t.Fatal(isNew, err)
	}
	isNew, again, err := tv.issueAs(t, homeAffairs, key, body)
	if err != nil || !isNew || again != first {
		t.Fatalf("the first answer was another: %v %+v %v", isNew, again, err)
	}
	body.SourceReference = "two"
	if _, _, err := tv.issueAs(t, homeAffairs, key, body); !errors.Is(err, requests.ErrKeyReuse) {
		t.Fatal("one key for two bodies: ", err)
	}
	if n := len(recorded[document.Issued](t, tv)); n != 1 {
		t.Fatal(n)
	}
}

// Concurrent calls with one key make one document, and every caller gets the first answer or
// the refusal that a call is in flight.
func TestConcurrentCallsWithOneKey(t *testing.T) {
	tv := newVault(t)
	key, body := uuid.New(), contract.DocumentIssue{SSIN: ssin(1), DocumentType: "identityData", SourceReference: "one", ValidFrom: "2026-01-01", Content: contract.Content(identity)}
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if _, _, err := tv.issueAs(t, homeAffairs, key, body); err != nil && !errors.Is(err, requests.ErrInFlight) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(recorded[document.Issued](t, tv)); n != 1 {
		t.Fatal(n)
	}
}

// A person is registered once, however many issuers issue first documents concurrently.
func TestConcurrentFirstDocumentsOfOnePerson(t *testing.T) {
	tv := newVault(t)
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			body := contract.DocumentIssue{SSIN: ssin(1), DocumentType: "identityData", SourceReference: string(rune('a' + i)), ValidFrom: "2026-01-01", Content: contract.Content(identity)}
			if _, _, err := tv.issueAs(t, homeAffairs, uuid.New(), body); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(recorded[citizen.Registered](t, tv)); n != 1 {
		t.Fatalf("registered %d times", n)
	}
	if n := len(recorded[document.Issued](t, tv)); n != 32 {
		t.Fatal(n)
	}
}

func TestSixtyFourWriters(t *testing.T) {
	tv := newVault(t)
	id := tv.issue(t, homeAffairs, contract.DocumentIssue{SSIN: ssin(1), DocumentType: "identityData", Content: contract.Content(identity)})
	t.Run("D-3 of 64 updates of one version one wins, the others get 412", func(t *testing.T) {
		for version := 1; version <= 3; version++ {
			var won atomic.Int32
			var wg sync.WaitGroup
			for range 64 {
				wg.Go(func() {
					_, err := tv.update(t, homeAffairs, id, edge.ETag(version), identity2)
					switch {
					case err == nil:
						won.Add(1)
					case !errors.Is(err, document.ErrStale):
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 {
				t.Fatalf("version %d: %d won", version, won.Load())
			}
		}
		for i, u := range recorded[document.Updated](t, tv) {
			if u.Version != i+2 || u.Replaces != i+1 {
				t.Errorf("update %d makes version %d of %d", i, u.Version, u.Replaces)
			}
		}
	})
	t.Run("D-3 a tag that is none of ours matches nothing", func(t *testing.T) {
		for _, tag := range []contract.EntityTag{`"0"`, `"canary"`, `"-1"`, `"04"`} {
			if _, err := tv.update(t, homeAffairs, id, tag, identity); !errors.Is(err, document.ErrStale) {
				t.Errorf("%s: %v", tag, err)
			}
		}
	})
}

func (tv *testVault) revoke(t testing.TB, by domain.Organisation, id domain.DocumentID, tag contract.EntityTag) error {
	t.Helper()
	body := contract.DocumentRevocation{Reason: "issuedInError"}
	_, err := tv.RevokeDocument(tv.as(t, issuer(by), "revokeDocument", body), contract.RevokeDocumentRequestObject{
		DocumentID: id, Params: contract.RevokeDocumentParams{IdempotencyKey: uuid.New(), IfMatch: tag}, Body: &body,
	})
	return err
}

// D-1: for an issuer to whom the document does not exist nothing is opened, not even its sealed
// dates.
func TestForAnotherIssuerNothingIsOpened(t *testing.T) {
	tv := newVault(t)
	id := tv.childCard(t, child(1))
	tv.waitIdle(t)
	opener := &breakingOpener{Opener: tv.Opener.get(), limit: -1}
	tv.Opener.set(opener)
	if _, err := tv.show(t, issuer(homeAffairs), id); !errors.Is(err, edge.ErrNoResource) || opener.opens.Load() != 0 {
		t.Errorf("%v, after %d opened parts", err, opener.opens.Load())
	}
	if _, err := tv.show(t, issuer(socialSecurity), id); err != nil || opener.opens.Load() == 0 {
		t.Errorf("its own issuer: %v, after %d opened parts, which this test counts", err, opener.opens.Load())
	}
}

func TestRevoking(t *testing.T) {
	tv := newVault(t)
	id := tv.household(t, 1)
	t.Run("D-1 to another issuer there is no such document", func(t *testing.T) {
		if err := tv.revoke(t, socialSecurity, id, `"1"`); slugOf(err) != "documentNotFound" {
			t.Fatal(err)
		}
	})
	t.Run("a reason that the registry does not know is refused", func(t *testing.T) {
		body := contract.DocumentRevocation{Reason: "canary"}
		_, err := tv.RevokeDocument(tv.as(t, issuer(homeAffairs), "revokeDocument", body), contract.RevokeDocumentRequestObject{
			DocumentID: id, Params: contract.RevokeDocumentParams{IdempotencyKey: uuid.New(), IfMatch: `"1"`}, Body: &body,
		})
		if !errors.Is(err, acting.ErrReason) {
			t.Fatal(err)
		}
	})
	t.Run("D-2 revocation needs no key and is final", func(t *testing.T) {
		tv.Keys.Forget(tv.person(t, 1)) // nothing of theirs is in memory
		tv.keysAway(true)
		if err := tv.revoke(t, homeAffairs, id, `"1"`); err != nil {
			t.Fatal(err)
		}
		tv.keysAway(false)
		if _, err := tv.update(t, homeAffairs, id, `"1"`, household); !errors.Is(err, document.ErrRevoked) {
			t.Fatal(err)
		}
	})
}

// keysAway lets the keeper of the key-encryption key refuse every call.
func (tv *testVault) keysAway(away bool) {
	tv.Keeper.Before(func(string) error {
		if away {
			return eventstore.ErrKeysUnavailable
		}
		return nil
	})
}

func (tv *testVault) show(t testing.TB, who edge.Caller, id domain.DocumentID) (contract.VaultDocument, error) {
	t.Helper()
	ctx := tv.as(t, who, "getDocument", nil)
	answer, err := tv.GetDocument(ctx, contract.GetDocumentRequestObject{DocumentID: id})
	if err != nil {
		return contract.VaultDocument{}, err
	}
	writeAnswer(t, ctx, answer.VisitGetDocumentResponse)
	return answer.(contract.GetDocument200JSONResponse).Body, nil
}

func TestReadingADocument(t *testing.T) {
	tv := newVault(t)
	card := tv.childCard(t, child(3), 1, 2)
	kid, mother, father := tv.person(t, child(3)), tv.person(t, 1), tv.person(t, 2)

	t.Run("the subject reads without a record", func(t *testing.T) {
		d, err := tv.show(t, citizenCaller(kid), card)
		if err != nil || string(d.Content) != childCard || d.ValidUntil != "2028-12-31" || d.CitizenID != kid {
			t.Fatal(d, err)
		}
		if n := len(recorded[access.Authorized](t, tv)); n != 0 {
			t.Fatal(n)
		}
	})
	t.Run("A-1 the issuer's reading back is recorded first", func(t *testing.T) {
		d, err := tv.show(t, issuer(socialSecurity), card)
		if err != nil || string(d.Content) != childCard || d.SourceReference == "" || d.CitizenRef.IsZero() || !d.CitizenID.IsZero() {
			t.Fatal(d, err)
		}
		all := recorded[access.Authorized](t, tv)
		if len(all) != 1 || all[0].Kind != access.OpenedReadBack || all[0].Consumer != socialSecurity {
			t.Fatal(all)
		}
	})
	t.Run("M-1.5 each parent reads under a mandate of their own, on record", func(t *testing.T) {
		for i, parent := range []domain.CitizenID{mother, father} {
			if _, err := tv.show(t, citizenCaller(parent), card); err != nil {
				t.Fatal(err)
			}
			all := recorded[access.Authorized](t, tv)
			last := all[len(all)-1]
			if len(all) != 2+i || last.Reader != parent || last.Role != domain.RoleRepresentative || last.Mandate != tv.mandateOf(t, parent, kid) {
				t.Fatal(last)
			}
		}
	})
	t.Run("M-1.5 one mandate ended leaves the other", func(t *testing.T) {
		tv.endMandate(t, tv.mandateOf(t, mother, kid), domain.Actor{Role: domain.RoleCitizen, Citizen: mother}, mandate.ByRepresentative)
		if _, err := tv.show(t, citizenCaller(mother), card); slugOf(err) != "resourceNotFound" {
			t.Fatal("a mandate that ended still shows: ", err)
		}
		if _, err := tv.show(t, citizenCaller(father), card); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("M-1.8 a death voids the mandate at once", func(t *testing.T) {
		tv.reportDeath(t, 2)
		if _, err := tv.show(t, citizenCaller(father), card); slugOf(err) != "resourceNotFound" {
			t.Fatal(err)
		}
	})
	t.Run("M-1.9 an end that cannot be read shows nothing", func(t *testing.T) {
		other := tv.childCard(t, child(6), 5)
		parent := tv.person(t, 5)
		if _, err := tv.show(t, citizenCaller(parent), other); err != nil {
			t.Fatal(err)
		}
		tv.Keys.Forget(tv.person(t, child(6)))
		tv.keysAway(true)
		defer tv.keysAway(false)
		if _, err := tv.show(t, citizenCaller(parent), other); err == nil {
			t.Fatal("shown without knowing the end")
		}
	})
	t.Run("strangers and other issuers find nothing", func(t *testing.T) {
		tv.household(t, 9)
		for _, who := range []edge.Caller{citizenCaller(tv.person(t, 9)), issuer(homeAffairs), citizenCaller(domain.CitizenID{})} {
			if _, err := tv.show(t, who, card); slugOf(err) != "resourceNotFound" {
				t.Error(err)
			}
		}
	})
}

func (tv *testVault) reportDeath(t testing.TB, n int) {
	t.Helper()
	body := contract.DeathReport{SSIN: ssin(n), Date: "2026-06-14"}
	_, err := tv.ReportDeath(tv.as(t, issuer(homeAffairs), "reportDeath", body), contract.ReportDeathRequestObject{Params: contract.ReportDeathParams{IdempotencyKey: uuid.New()}, Body: &body})
	if err != nil {
		t.Fatal(err)
	}
}

// A parent named for somebody who is 18 gets no mandate, and the card is issued
// all the same.
func TestParentsOfAnAdult(t *testing.T) {
	tv := newVault(t)
	body := contract.DocumentIssue{SSIN: ssin(1), DocumentType: "isiPlusCard", SourceReference: "adult", ValidFrom: "2020-01-01", Parents: []contract.SSIN{ssin(2)},
		Content: contract.Content(`{"birthDate":"2000-04-05","name":"Canary Grown"}`)}
	if _, _, err := tv.issueAs(t, socialSecurity, uuid.New(), body); err != nil {
		t.Fatal(err)
	}
	if n := len(recorded[mandate.Granted](t, tv)); n != 0 {
		t.Fatalf("%d mandates over an adult", n)
	}
}

func TestMandateEndsAtEighteen(t *testing.T) {
	tv := newVault(t, func(r *registry.Registry) { r.Settings.MinorsDecideFrom = 0 })
	card := tv.childCard(t, child(2), 1) // born 2016-04-05
	parent := tv.person(t, 1)
	t.Run("M-1.6 the last day of minority shows, the eighteenth birthday does not", func(t *testing.T) {
		tv.Clock.Advance(domainDays(t, noon, "2034-04-04"))
		if _, err := tv.show(t, citizenCaller(parent), card); err != nil {
			t.Fatal(err)
		}
		tv.Clock.Advance(domainDays(t, tv.Clock.Now(), "2034-04-05"))
		if _, err := tv.show(t, citizenCaller(parent), card); slugOf(err) != "resourceNotFound" {
			t.Fatal(err)
		}
	})
}

func TestVersionsAndReconciliation(t *testing.T) {
	tv := newVault(t)
	id := tv.issue(t, homeAffairs, contract.DocumentIssue{SSIN: ssin(1), DocumentType: "identityData", SourceReference: "canary-1", Content: contract.Content(identity)})
	if _, err := tv.update(t, homeAffairs, id, `"1"`, identity2); err != nil {
		t.Fatal(err)
	}
	tv.household(t, 1)
	tv.waitForReadModels(t)
	answer, err := tv.GetDocumentVersions(tv.as(t, issuer(homeAffairs), "getDocumentVersions", nil), contract.GetDocumentVersionsRequestObject{DocumentID: id})
	if err != nil {
		t.Fatal(err)
	}
	items := answer.(contract.GetDocumentVersions200JSONResponse).Items
	if len(items) != 2 || string(items[0].Content) != identity || string(items[1].Content) != identity2 || items[1].EffectiveFrom != "2026-06-01" {
		t.Fatal(items)
	}
	query := func(body contract.DocumentQuery, cursor string, size int) contract.HeldDocuments {
		t.Helper()
		answer, err := tv.QueryDocuments(tv.as(t, issuer(homeAffairs), "queryDocuments", body), contract.QueryDocumentsRequestObject{
			Params: contract.QueryDocumentsParams{After: cursor, PageSize: int32(size)}, Body: &body,
		})
		if err != nil {
			t.Fatal(err)
		}
		return contract.HeldDocuments(answer.(contract.QueryDocuments200JSONResponse))
	}
	all := query(contract.DocumentQuery{}, "", 0)
	if len(all.Items) != 2 || all.Items[0].SourceReference != "canary-1" || all.Items[0].Version != 2 || all.Next != "" {
		t.Fatalf("%+v", all)
	}
	first := query(contract.DocumentQuery{}, "", 1)
	if len(first.Items) != 1 || first.Next == "" {
		t.Fatalf("%+v", first)
	}
	if second := query(contract.DocumentQuery{}, cursorIn(t, first.Next), 1); len(second.Items) != 1 || second.Items[0].DocumentID == first.Items[0].DocumentID {
		t.Fatalf("%+v", second)
	}
	if one := query(contract.DocumentQuery{SourceReference: []string{"canary-1"}, SSIN: ssin(1)}, "", 0); len(one.Items) != 1 {
		t.Fatalf("%+v", one)
	}
	for _, whose := range []contract.DocumentQuery{{}, {SSIN: ssin(1)}, {DocumentType: "identityData"}} {
		whose.SourceReference = []contract.SourceReference{"canary-0", "canary-1", "canary-11"}
		if one := query(whose, "", 0); len(one.Items) != 1 || one.Items[0].SourceReference != "canary-1" || one.Items[0].DocumentID != id {
			t.Errorf("%+v: found %+v", whose, one.Items)
		}
	}
	for _, whose := range []contract.DocumentQuery{{SSIN: ssin(77)}, {DocumentType: "householdComposition"}} {
		whose.SourceReference = []contract.SourceReference{"canary-1"}
		if none := query(whose, "", 0); len(none.Items) != 0 {
			t.Errorf("%+v: found %+v", whose, none.Items)
		}
	}
	if none := query(contract.DocumentQuery{SSIN: ssin(77)}, "", 0); len(none.Items) != 0 {
		t.Fatalf("%+v", none)
	}
	if none := query(contract.DocumentQuery{State: []contract.DocumentState{contract.DocumentStateRevoked}}, "", 0); len(none.Items) != 0 {
		t.Fatalf("%+v", none)
	}
}

// A person whom the vault does not know looks the same as one with whom the caller has
// nothing to do.
func TestNamingACitizen(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	get := func(who edge.Caller, n int) (contract.Citizen, error) {
		body := contract.CitizenGet{SSIN: ssin(n)}
		answer, err := tv.GetCitizen(tv.as(t, who, "getCitizen", body), contract.GetCitizenRequestObject{Body: &body})
		if err != nil {
			return contract.Citizen{}, err
		}
		return contract.Citizen(answer.(contract.GetCitizen200JSONResponse)), nil
	}
	mine, err := get(issuer(homeAffairs), 1)
	if err != nil || mine.CitizenRef.IsZero() || !mine.CitizenID.IsZero() {
		t.Fatal(mine, err)
	}
	theirs, err := get(consumer(economy), 1)
	if err != nil || theirs.CitizenRef == mine.CitizenRef {
		t.Fatal("two organisations got one name: ", err)
	}
	t.Run("A-6 without a basis a known person is as unknown as an unknown one", func(t *testing.T) {
		_, known := get(consumer(railways), 1)
		_, unknown := get(consumer(railways), 42)
		if slugOf(known) != "resourceNotFound" || slugOf(known) != slugOf(unknown) {
			t.Fatal(known, unknown)
		}
	})
}

// A number that was replaced finds the person as the new one does.
func TestReplacedNumber(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	id := tv.person(t, 1)
	body := contract.SSINReplacement{SSIN: ssin(1), ReplacedBy: ssin(2)}
	if _, err := tv.ReplaceSSIN(tv.as(t, issuer(homeAffairs), "replaceSsin", body), contract.ReplaceSSINRequestObject{Params: contract.ReplaceSSINParams{IdempotencyKey: uuid.New()}, Body: &body}); err != nil {
		t.Fatal(err)
	}
	if tv.person(t, 1) != id || tv.person(t, 2) != id {
		t.Fatal("the numbers find two persons")
	}
	if _, err := tv.ReplaceSSIN(tv.as(t, issuer(socialSecurity), "replaceSsin", body), contract.ReplaceSSINRequestObject{Params: contract.ReplaceSSINParams{IdempotencyKey: uuid.New()}, Body: &body}); slugOf(err) != "nationalNumberRightMissing" {
		t.Fatal(err)
	}
}

// Consents and mandates that a death ends are ended once, however often that is repeated.
func TestDeathEndsConsentsAndMandates(t *testing.T) {
	tv := newVault(t)
	tv.childCard(t, child(2), 1)
	m := tv.mandateOf(t, tv.person(t, 1), tv.person(t, child(2)))
	c := work.Consequence{ID: uuid.New(), Causation: uuid.New()}
	for range 2 {
		if err := tv.EndForDeath(t.Context(), m, c); err != nil {
			t.Fatal(err)
		}
	}
	if ended := recorded[mandate.Ended](t, tv); len(ended) != 1 || ended[0].Reason != mandate.Death {
		t.Fatal(ended)
	}
	ids, err := tv.MandatesOf(t.Context(), tv.person(t, child(2)))
	if err != nil || len(ids) != 1 {
		t.Fatal(ids, err)
	}
	if open, err := tv.OpenConsents(t.Context(), tv.person(t, child(2))); err != nil || len(open) != 0 {
		t.Fatal(open, err)
	}
}

func TestMandatesListed(t *testing.T) {
	tv := newVault(t)
	tv.childCard(t, child(3), 1, 2)
	list := func(n int) []contract.Mandate {
		t.Helper()
		answer, err := tv.ListMandates(tv.as(t, citizenCaller(tv.person(t, n)), "listMandates", nil), contract.ListMandatesRequestObject{})
		if err != nil {
			t.Fatal(err)
		}
		return answer.(contract.ListMandates200JSONResponse).Items
	}
	if kid := list(child(3)); len(kid) != 2 || kid[0].HeldAs != contract.HeldAsSubject || kid[0].Until != "2034-04-05" || kid[0].State != contract.MandateStateAccepted {
		t.Fatalf("%+v", kid)
	}
	if parent := list(1); len(parent) != 1 || parent[0].HeldAs != contract.HeldAsRepresentative {
		t.Fatalf("%+v", parent)
	}
	// A citizen lets somebody act for them; it holds once that person agrees.
	me, friend := tv.person(t, 1), tv.person(t, 2)
	body := contract.MandateGrant{RepresentativeSSIN: ssin(2), Kind: contract.MandateKindRepresentation, Actions: []contract.MandateAction{contract.MandateActionRead}, Until: "2027-01-01"}
	answer, err := tv.GrantMandate(tv.as(t, citizenCaller(me), "grantMandate", body), contract.GrantMandateRequestObject{Params: contract.GrantMandateParams{IdempotencyKey: uuid.New()}, Body: &body})
	if err != nil {
		t.Fatal(err)
	}
	id := answer.(contract.GrantMandate201JSONResponse).Body.MandateID
	t.Run("A-6 a representative nobody knows is answered and recorded as one who is known", func(t *testing.T) {
		before := len(recorded[mandate.Granted](t, tv))
		other := body
		other.RepresentativeSSIN = ssin(99)
		answer, err := tv.GrantMandate(tv.as(t, citizenCaller(me), "grantMandate", other), contract.GrantMandateRequestObject{Params: contract.GrantMandateParams{IdempotencyKey: uuid.New()}, Body: &other})
		if err != nil || answer.(contract.GrantMandate201JSONResponse).Body.State != contract.MandateStateGranted || len(recorded[mandate.Granted](t, tv)) != before+1 {
			t.Fatal(answer, err)
		}
	})
	accept := func(who domain.CitizenID) error {
		_, err := tv.AcceptMandate(tv.as(t, citizenCaller(who), "acceptMandate", nil), contract.AcceptMandateRequestObject{MandateID: id, Params: contract.AcceptMandateParams{IdempotencyKey: uuid.New()}})
		return err
	}
	if err := accept(me); slugOf(err) != "mandateNotFound" {
		t.Fatal("accepted by the wrong side: ", err)
	}
	if err := accept(friend); err != nil {
		t.Fatal(err)
	}
	end := contract.MandateEnd{}
	if _, err := tv.EndMandate(tv.as(t, citizenCaller(me), "endMandate", end), contract.EndMandateRequestObject{MandateID: id, Params: contract.EndMandateParams{IdempotencyKey: uuid.New()}, Body: &end}); err != nil {
		t.Fatal(err)
	}
	tv.waitForReadModels(t)
	if mine := list(1); mine[1].State != contract.MandateStateEnded || mine[1].Reason != mandate.ByCitizen {
		t.Fatalf("%+v", mine[1])
	}
}

func TestAuditorReadsLog(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	page := func(p contract.ListEventsParams) contract.LogEvents {
		t.Helper()
		answer, err := tv.ListEvents(tv.as(t, officeCaller(domain.RoleAuditor), "listEvents", nil), contract.ListEventsRequestObject{Params: p})
		if err != nil {
			t.Fatal(err)
		}
		return contract.LogEvents(answer.(contract.ListEvents200JSONResponse))
	}
	var all []contract.LogEvent
	for p := (contract.ListEventsParams{PageSize: 1}); ; {
		e := page(p)
		all = append(all, e.Items...)
		if e.Next == "" {
			break
		}
		p.After = cursorIn(t, e.Next)
	}
	types := map[string]int{}
	for _, e := range all {
		types[e.Type]++
	}
	if types["registry.published"] != 1 || types["citizen.registered"] != 1 || types["document.issued"] != 1 || types["audit.log-read"] != 1 {
		t.Fatal("one reading in one session is recorded once: ", types)
	}
	only := page(contract.ListEventsParams{Type: []string{"document.issued"}})
	if len(only.Items) != 1 || only.Items[0].Sealed == nil || only.Items[0].Actor.Organization != homeAffairs || len(only.Items[0].BasedOn) != 1 {
		t.Fatalf("%+v", only.Items)
	}
	if other := page(contract.ListEventsParams{Category: []string{"mandate"}}); len(other.Items) != 0 {
		t.Fatal(other.Items)
	}
}

func TestReadYourWrites(t *testing.T) {
	tv := newVault(t)
	_, _, err := tv.issueAs(t, homeAffairs, uuid.New(), contract.DocumentIssue{SSIN: ssin(1), DocumentType: "identityData", SourceReference: "x", ValidFrom: "2026-01-01", Content: contract.Content(identity)})
	if err != nil {
		t.Fatal(err)
	}
	head, err := tv.Log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	token, err := tv.PositionToken(t.Context(), head)
	if err != nil {
		t.Fatal(err)
	}
	if err := tv.WaitForToken(t.Context(), token, tv.Wallets.Name()); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"x", "AAAA", contract.LeafToken(0), tv.Cursor("queryDocuments", 0)} {
		if err := tv.WaitForToken(t.Context(), bad, tv.Wallets.Name()); !errors.Is(err, contract.ErrUnknownPosition) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	ended, stop := context.WithCancel(t.Context())
	stop()
	if err := tv.WaitForLeaf(ended, 1<<40, tv.Wallets.Name()); err == nil {
		t.Error("a position beyond the log was seen")
	}
}

// domainDays returns the duration from a time to noon of a day.
func domainDays(t testing.TB, from time.Time, day string) time.Duration {
	t.Helper()
	d, err := time.Parse(time.DateOnly, day)
	if err != nil {
		t.Fatal(err)
	}
	return d.Add(10 * time.Hour).Sub(from)
}

// cursorIn returns the cursor of a link to the next page.
func cursorIn(t testing.TB, href string) string {
	t.Helper()
	u, err := url.Parse(href)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("after")
}

// A person who logs in before anything was issued to them gets empty answers, the same from
// every call.
func TestUnknownCitizenHasNothing(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	nobody := tv.as(t, edge.Caller{Role: domain.RoleCitizen, Subject: "new"}, "list", nil)
	if a, err := tv.ListMandates(nobody, contract.ListMandatesRequestObject{}); err != nil || len(a.(contract.ListMandates200JSONResponse).Items) != 0 {
		t.Error(a, err)
	}
	if a, err := tv.ListConsents(nobody, contract.ListConsentsRequestObject{}); err != nil || len(a.(contract.ListConsents200JSONResponse).Items) != 0 {
		t.Error(a, err)
	}
	if a, err := tv.ListConsentRequests(nobody, contract.ListConsentRequestsRequestObject{}); err != nil || len(a.(contract.ListConsentRequests200JSONResponse).Items) != 0 {
		t.Error(a, err)
	}
}
