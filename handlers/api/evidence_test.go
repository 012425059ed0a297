package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/eventstore/faulty"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// evidenceOf makes an evidence query and returns the answer as it went over the wire.
func (tv *testVault) evidenceOf(t testing.TB, who domain.Organisation, body contract.EvidenceQuery) (contract.EvidenceAnswer, error) {
	t.Helper()
	ctx := tv.as(t, consumer(who), "queryEvidence", body)
	answer, err := tv.QueryEvidence(ctx, contract.QueryEvidenceRequestObject{Body: &body})
	if err != nil {
		if answer != nil {
			t.Fatal("an answer and an error")
		}
		return contract.EvidenceAnswer{}, err
	}
	w := writeAnswer(t, ctx, answer.VisitQueryEvidenceResponse)
	var got contract.EvidenceAnswer
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	return got, nil
}

func outcomesIn(a contract.EvidenceAnswer) string {
	var all []string
	for _, item := range a.Items {
		all = append(all, string(item.Outcome))
	}
	return strings.Join(all, " ")
}

func TestEvidence(t *testing.T) {
	tv := newVault(t)
	home := tv.household(t, 1)
	tv.issue(t, homeAffairs, contract.DocumentIssue{SSIN: ssin(1), DocumentType: "identityData", Content: contract.Content(identity)})
	tv.childCard(t, 1)
	who := tv.person(t, 1)
	query := contract.EvidenceQuery{
		SSIN: ssin(1), Procedure: "schoolEnrolmentAllowance", Purpose: "schoolAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010",
		Needs: []contract.EvidenceNeed{{DocumentType: "householdComposition"}, {DocumentType: "identityData"}, {DocumentType: "isiPlusCard"}}, CaseReference: "canary 7",
	}
	with := func(change func(*contract.EvidenceQuery)) contract.EvidenceQuery { q := query; change(&q); return q }

	t.Run("A-2 the minimum of each type, on record before", func(t *testing.T) {
		got, err := tv.evidenceOf(t, flanders, query)
		if err != nil {
			t.Fatal(err)
		}
		if outcomesIn(got) != "held held held" || got.NotAsked != 3 {
			t.Fatalf("%+v", got)
		}
		for i, want := range []string{
			`{"householdSize":4,"members":[{"relation":"child"}]}`,
			`{"birthdate":"1980-02-29","family_name":"Canary","given_name":"Carla"}`,
			`{"birthDate":"2016-04-05","name":"Canary Child"}`,
		} {
			if item := got.Items[i]; string(item.Content) != want || item.AccessID.IsZero() || item.Version != 1 {
				t.Errorf("%+v: content %s", item, item.Content)
			}
		}
		if got.Items[2].ValidUntil != "" || got.Items[0].ValidFrom != "2026-01-01" {
			t.Errorf("dates %+v", got.Items)
		}
		tv.waitIdle(t)
		if n := len(recorded[access.Authorized](t, tv)); n != 3 {
			t.Errorf("%d on record", n)
		}
		for _, o := range recorded[access.Disclosed](t, tv) {
			if o.Outcome != access.Delivered {
				t.Errorf("%+v", o)
			}
		}
		spared, err := tv.AccessLog.Spared(t.Context(), flanders, noon, noon)
		if err != nil || len(spared) != 1 || spared[0].Questions != 3 {
			t.Errorf("questions not asked: %+v, %v", spared, err)
		}
	})
	t.Run("presence only opens and records nothing", func(t *testing.T) {
		before := len(recorded[any](t, tv))
		got, err := tv.evidenceOf(t, flanders, with(func(q *contract.EvidenceQuery) {
			q.PresenceOnly = true
			q.Needs = append(q.Needs[:3:3], contract.EvidenceNeed{DocumentType: "householdComposition", Fields: []contract.Field{"members"}})
		}))
		if err != nil || outcomesIn(got) != "held held held held" || got.Items[0].Content != nil || !got.Items[0].AccessID.IsZero() {
			t.Errorf("%+v, %v", got, err)
		}
		if after := len(recorded[any](t, tv)); after != before {
			t.Errorf("%d facts recorded", after-before)
		}
	})
	t.Run("A-6 the basis first: one need without it and nothing is told", func(t *testing.T) {
		for slug, q := range map[string]contract.EvidenceQuery{
			"noBasis": with(func(q *contract.EvidenceQuery) {
				q.Needs = append(q.Needs[:1:1], contract.EvidenceNeed{DocumentType: "diploma"})
			}),
			"fieldsNotCovered": with(func(q *contract.EvidenceQuery) {
				q.Needs = []contract.EvidenceNeed{{DocumentType: "householdComposition", Fields: []contract.Field{"address"}}}
			}),
		} {
			for _, n := range []int{1, 2, 999} {
				q.SSIN = ssin(n)
				if _, err := tv.evidenceOf(t, flanders, q); slugOf(err) != slug {
					t.Errorf("%s of %d: %v", slug, n, err)
				}
			}
		}
		if _, err := tv.evidenceOf(t, railways, query); !errors.Is(err, access.ErrNoBasis) {
			t.Errorf("no registration: %v", err)
		}
	})
	t.Run("A-6 by law, a person unknown and one who holds nothing are alike", func(t *testing.T) {
		tv.issue(t, homeAffairs, contract.DocumentIssue{SSIN: ssin(3), DocumentType: "identityData", Content: contract.Content(identity)})
		texts := map[string]bool{}
		for _, n := range []int{3, 999} {
			got, err := tv.evidenceOf(t, flanders, with(func(q *contract.EvidenceQuery) { q.SSIN, q.Needs = ssin(n), q.Needs[:1] }))
			if err != nil {
				t.Fatal(err)
			}
			texts[fmt.Sprintf("%+v", got)] = true
		}
		if len(texts) != 1 {
			t.Errorf("%v", texts)
		}
	})
	t.Run("C-2 A-6 under a consent, of its citizen alone", func(t *testing.T) {
		tv.Clock.Advance(time.Minute)
		c := tv.consentTo(t, who, contract.ConsentGrant{DocumentTypes: []contract.DocumentType{"householdComposition", "identityData"}, Limits: contract.ConsentLimits{Uses: 2}})
		q := with(func(q *contract.EvidenceQuery) {
			q.LegalBasis, q.Deliberation, q.ConsentID, q.Needs = "", "", c, q.Needs[:2]
		})
		for _, n := range []int{3, 999} {
			q.SSIN = ssin(n)
			if _, err := tv.evidenceOf(t, flanders, q); !errors.Is(err, access.ErrNoBasis) {
				t.Errorf("of %d: %v", n, err)
			}
		}
		q.SSIN = ssin(1)
		three := q
		three.Needs = append(q.Needs[:2:2], contract.EvidenceNeed{DocumentType: "householdComposition"})
		before := len(recorded[access.Authorized](t, tv))
		if _, err := tv.evidenceOf(t, flanders, three); !errors.Is(err, consent.ErrExhausted) || len(recorded[access.Authorized](t, tv)) != before {
			t.Errorf("C-3 three uses of two: %v", err)
		}
		if got, err := tv.evidenceOf(t, flanders, q); err != nil || outcomesIn(got) != "held held" {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := tv.evidenceOf(t, flanders, q); !errors.Is(err, consent.ErrExhausted) {
			t.Errorf("C-3 once more: %v", err)
		}
	})
	t.Run("A-1 D-2 one revoked in between is withheld, the others are told", func(t *testing.T) {
		tv.afterAppend(t, func() { tv.revokeDirectly(t, homeAffairs, home) })
		got, err := tv.evidenceOf(t, flanders, query)
		tv.Store.SetRule(nil)
		if err != nil || outcomesIn(got) != "revoked held held" || got.NotAsked != 2 || got.Items[0].Content != nil {
			t.Errorf("%+v, %v", got, err)
		}
		outcomes := map[access.Outcome]int{}
		for _, o := range recorded[access.Disclosed](t, tv) {
			outcomes[o.Outcome]++
		}
		if outcomes[access.Withheld] != 1 {
			t.Errorf("%v", outcomes)
		}
	})
	t.Run("A-1 no byte without durable accesses", func(t *testing.T) {
		tv.waitForReadModels(t)
		tv.Store.SetRule(faulty.At(faulty.Append, 2, faulty.Fault{Before: eventstore.ErrUnavailable}))
		defer tv.Store.SetRule(nil)
		if got, err := tv.evidenceOf(t, flanders, query); err == nil {
			t.Errorf("%+v", got)
		}
	})
}

func TestEvidenceOutcomes(t *testing.T) {
	by := domain.Actor{Role: domain.RoleIssuer, Organisation: homeAffairs}
	query := contract.EvidenceQuery{
		SSIN: ssin(1), Procedure: "housingAllowanceRequest", Purpose: "housingAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/011",
		Needs: []contract.EvidenceNeed{{DocumentType: "householdComposition"}},
	}
	for _, test := range []struct {
		want        contract.EvidenceOutcome
		from, until domain.Date
		change      documentCommand
	}{
		{contract.EvidenceOutcomeHeld, "2026-01-01", "", nil},
		{contract.EvidenceOutcomeNotYetValid, "2027-01-01", "", nil},
		{contract.EvidenceOutcomeExpired, "2026-01-01", "2026-02-01", nil},
		{contract.EvidenceOutcomeSuspended, "2026-01-01", "", document.Suspend{Reason: "underInvestigation", By: by, At: noon}},
		{contract.EvidenceOutcomeRevoked, "2026-01-01", "", document.Revoke{Reason: "issuedInError", By: by, At: noon}},
	} {
		t.Run("D-6 "+string(test.want), func(t *testing.T) {
			tv := newVault(t)
			id := tv.issue(t, homeAffairs, contract.DocumentIssue{SSIN: ssin(1), DocumentType: "householdComposition", Content: contract.Content(household), ValidFrom: test.from, ValidUntil: test.until})
			if test.change != nil {
				if _, err := acting.Documents.TransactReserved(t.Context(), tv.Log, eventstore.Write{Stream: acting.DocumentStream(id)}, test.change); err != nil {
					t.Fatal(err)
				}
			}
			got, err := tv.evidenceOf(t, flanders, query)
			if err != nil || outcomesIn(got) != string(test.want) || got.Items[0].DocumentID != id {
				t.Fatalf("%+v, %v", got, err)
			}
			if held := test.want == contract.EvidenceOutcomeHeld; held != (got.Items[0].Content != nil) || held != (len(recorded[access.Authorized](t, tv)) == 1) {
				t.Errorf("%+v", got)
			}
			if test.want == contract.EvidenceOutcomeHeld {
				return
			}
			good := tv.household(t, 1) // the one that is good for something is chosen
			if got, err := tv.evidenceOf(t, flanders, query); err != nil || got.Items[0].DocumentID != good || got.Items[0].Outcome != contract.EvidenceOutcomeHeld {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestEvidenceQuota(t *testing.T) {
	tv := newVault(t, func(r *registry.Registry) { organisation(t, r, flanders).DailyQuota = 2 })
	tv.household(t, 1)
	query := contract.EvidenceQuery{
		Procedure: "schoolEnrolmentAllowance", Purpose: "schoolAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010",
		Needs: []contract.EvidenceNeed{{DocumentType: "householdComposition"}}, PresenceOnly: true,
	}
	t.Run("A-7 A-6 presence counts, and who is unknown counts as well", func(t *testing.T) {
		for _, test := range []struct {
			n    int
			slug string
		}{{998, ""}, {1, ""}, {998, ""}, {1, ""}, {999, "dailyQuotaExceeded"}, {2, "dailyQuotaExceeded"}} {
			query.SSIN = ssin(test.n)
			if _, err := tv.evidenceOf(t, flanders, query); slugOf(err) != test.slug {
				t.Errorf("%d: %v", test.n, err)
			}
		}
	})
}
