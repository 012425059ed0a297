package api

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/eventstore/faulty"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
)

func (tv *testVault) consentDocuments(t testing.TB, who domain.Organisation, id domain.ConsentID, p contract.ListConsentDocumentsParams) (contract.ConsentDocuments, error) {
	t.Helper()
	tv.waitForReadModels(t)
	ctx := tv.as(t, consumer(who), "listConsentDocuments", nil)
	answer, err := tv.ListConsentDocuments(ctx, contract.ListConsentDocumentsRequestObject{ConsentID: id, Params: p})
	if err != nil {
		return contract.ConsentDocuments{}, err
	}
	writeAnswer(t, ctx, answer.VisitListConsentDocumentsResponse)
	return contract.ConsentDocuments(answer.(contract.ListConsentDocuments200JSONResponse)), nil
}

// A consumer learns on the way of consent which documents it may read, and reads one by the id
// that it learnt.
func TestConsumersLearnTheDocumentsOfAConsent(t *testing.T) {
	tv := newVault(t)
	issue := func(n int, from, until domain.Date) domain.DocumentID {
		t.Helper()
		return tv.issue(t, homeAffairs, contract.DocumentIssue{SSIN: ssin(n), DocumentType: "householdComposition", Content: contract.Content(household), ValidFrom: from, ValidUntil: until})
	}
	expired, good, revoked, suspended := issue(1, "2025-01-01", "2026-01-01"), issue(1, "2026-01-01", ""), issue(1, "2026-01-01", ""), issue(1, "2026-01-01", "")
	tv.household(t, 2)
	who := tv.person(t, 1)
	tv.Clock.Advance(time.Minute)
	ask := contract.ConsentAsk{Purpose: "familyDiscount", DocumentTypes: []contract.DocumentTypeCode{"householdComposition"}}

	t.Run("A-6 a request that waits tells nothing, whoever was asked", func(t *testing.T) {
		for _, n := range []int{1, 999} {
			ask.SSIN = ssin(n)
			a, err := tv.askAs(t, consumer(railways), ask)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tv.consentDocuments(t, railways, a.Body.ConsentID, contract.ListConsentDocumentsParams{}); !errors.Is(err, access.ErrNoBasis) {
				t.Errorf("%d: %v", n, err)
			}
		}
		if _, err := tv.consentDocuments(t, railways, domain.ConsentID{UUID: uuid.New()}, contract.ListConsentDocumentsParams{}); !errors.Is(err, access.ErrNoBasis) {
			t.Error(err)
		}
	})
	granted, err := tv.grantAs(t, citizenCaller(who), contract.ConsentGrant{Consumer: railways, Purpose: "familyDiscount", DocumentTypes: ask.DocumentTypes})
	if err != nil {
		t.Fatal(err)
	}
	tv.Clock.Advance(time.Minute)
	later := issue(1, "2026-01-01", "")
	tv.revokeDirectly(t, homeAffairs, revoked)
	by := domain.Actor{Role: domain.RoleIssuer, Organisation: homeAffairs}
	if _, err := acting.Documents.TransactReserved(t.Context(), tv.Log, eventstore.Write{Stream: acting.DocumentStream(suspended)}, document.Suspend{Expected: document.Expectation{Any: true}, Reason: "underInvestigation", By: by, At: noon}); err != nil {
		t.Fatal(err)
	}

	t.Run("C-2 A-10 what could be read, page by page, on record as what was told", func(t *testing.T) {
		var got []contract.ConsentDocument
		var p contract.ListConsentDocumentsParams
		for p.PageSize = 1; ; {
			page, err := tv.consentDocuments(t, railways, granted.ConsentID, p)
			if err != nil || len(page.Items) != 1 || page.PageSize != 1 {
				t.Fatalf("%+v, %v", page, err)
			}
			got = append(got, page.Items...)
			if page.Next == "" {
				break
			}
			p.After = page.NextCursor
		}
		if len(got) != 2 || got[0].DocumentID != expired || got[0].State != contract.DocumentStateExpired || got[1].DocumentID != good || got[1].State != contract.DocumentStateValid ||
			got[1].Version != 1 || got[1].Issuer != homeAffairs || got[1].Href != contract.DocumentHref(good) {
			t.Errorf("%+v; issued later %s", got, later)
		}
		tv.waitIdle(t)
		told := recorded[access.Told](t, tv)
		if len(told) != 2 || told[0].Consent != granted.ConsentID || told[0].Citizen != who || told[0].Consumer != railways || told[0].Purpose != "familyDiscount" ||
			!slices.Equal(told[0].Answers, []access.Answer{{Type: "householdComposition", Presence: access.Expired, Document: expired, Version: 1}}) ||
			!slices.Equal(told[1].Answers, []access.Answer{{Type: "householdComposition", Presence: access.Held, Document: good, Version: 1}}) {
			t.Errorf("%+v", told)
		}
		if c, err := tv.consent(t, consumer(railways), granted.ConsentID); err != nil || c.Uses != 0 {
			t.Errorf("C-3 a use was counted: %+v, %v", c, err)
		}
		if _, err := tv.read(t, consumer(railways), good, uuid.New(), contract.AccessRequest{Purpose: "familyDiscount", ConsentID: &granted.ConsentID}); err != nil {
			t.Errorf("read by the id that was learnt: %v", err)
		}
	})
	t.Run("A-6 another consumer learns nothing", func(t *testing.T) {
		if _, err := tv.consentDocuments(t, flanders, granted.ConsentID, contract.ListConsentDocumentsParams{}); !errors.Is(err, access.ErrNoBasis) {
			t.Error(err)
		}
	})
	t.Run("A-10 not a word without a durable record", func(t *testing.T) {
		tv.waitIdle(t)
		tv.Store.SetRule(faulty.At(faulty.Append, 1, faulty.Fault{Before: eventstore.ErrUnavailable}))
		if page, err := tv.consentDocuments(t, railways, granted.ConsentID, contract.ListConsentDocumentsParams{}); err == nil {
			t.Errorf("%+v", page)
		}
		tv.Store.SetRule(nil)
	})
	t.Run("C-2 of the documents that a consent names, those alone", func(t *testing.T) {
		named, err := tv.grantAs(t, citizenCaller(who), contract.ConsentGrant{Consumer: railways, Purpose: "familyDiscount", Documents: []contract.DocumentID{later, revoked}})
		if err != nil {
			t.Fatal(err)
		}
		page, err := tv.consentDocuments(t, railways, named.ConsentID, contract.ListConsentDocumentsParams{})
		if err != nil || len(page.Items) != 1 || page.Items[0].DocumentID != later {
			t.Errorf("%+v, %v", page, err)
		}
	})
	t.Run("A-10 what was revoked or suspended is on record as such, though it is listed nowhere", func(t *testing.T) {
		for document, presence := range map[domain.DocumentID]access.Presence{revoked: access.Revoked, suspended: access.Suspended} {
			named, err := tv.grantAs(t, citizenCaller(who), contract.ConsentGrant{Consumer: railways, Purpose: "familyDiscount", Documents: []contract.DocumentID{document}})
			if err != nil {
				t.Fatal(err)
			}
			if page, err := tv.consentDocuments(t, railways, named.ConsentID, contract.ListConsentDocumentsParams{}); err != nil || len(page.Items) != 0 {
				t.Errorf("%+v, %v", page, err)
			}
			tv.waitIdle(t)
			told := recorded[access.Told](t, tv)
			if last := told[len(told)-1]; !slices.Equal(last.Answers, []access.Answer{{Type: "householdComposition", Presence: presence, Document: document, Version: 1}}) {
				t.Errorf("%s: %+v", presence, last)
			}
		}
	})
	t.Run("P-7 those of both lives of a merged person", func(t *testing.T) {
		b := tv.household(t, 4)
		tv.household(t, 5)
		granted, err := tv.grantAs(t, citizenCaller(tv.person(t, 5)), contract.ConsentGrant{Consumer: railways, Purpose: "familyDiscount", DocumentTypes: ask.DocumentTypes})
		if err != nil {
			t.Fatal(err)
		}
		tv.merge(t, 4, 5)
		tv.Clock.Advance(time.Minute)
		page, err := tv.consentDocuments(t, railways, granted.ConsentID, contract.ListConsentDocumentsParams{})
		if err != nil || len(page.Items) != 2 || page.Items[0].DocumentID != b {
			t.Errorf("%+v, %v; want %s first", page, err, b)
		}
	})
	t.Run("A-1 withdrawn in between", func(t *testing.T) {
		tv.afterAppend(t, func() {
			if err := tv.withdraw(t, who, granted.ConsentID); err != nil {
				t.Error(err)
			}
		})
		_, err := tv.consentDocuments(t, railways, granted.ConsentID, contract.ListConsentDocumentsParams{})
		tv.Store.SetRule(nil)
		if !errors.Is(err, consent.ErrWithdrawn) {
			t.Error(err)
		}
		tv.waitIdle(t)
		outcomes := recorded[access.Disclosed](t, tv)
		if last := outcomes[len(outcomes)-1]; last.Outcome != access.Withheld || last.Reason != disclosure.ReasonOf(consent.ErrWithdrawn) {
			t.Errorf("%+v", last)
		}
		if _, err := tv.consentDocuments(t, railways, granted.ConsentID, contract.ListConsentDocumentsParams{}); !errors.Is(err, consent.ErrWithdrawn) {
			t.Error(err)
		}
	})
}
