package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/eventstore/faulty"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/accesslog"
)

// evidenceOf makes an evidence query and returns the answer as it went over the wire.
func (tv *testVault) evidenceOf(t testing.TB, who domain.Organisation, body contract.EvidenceQuery) (contract.EvidenceAnswer, error) {
	t.Helper()
	return tv.evidenceUnder(t, who, uuid.New(), body)
}

// evidenceUnder asks under a key of the caller's choice.
func (tv *testVault) evidenceUnder(t testing.TB, who domain.Organisation, key uuid.UUID, body contract.EvidenceQuery) (contract.EvidenceAnswer, error) {
	t.Helper()
	ctx := tv.as(t, consumer(who), "queryEvidence", body)
	answer, err := tv.QueryEvidence(ctx, contract.QueryEvidenceRequestObject{Params: contract.QueryEvidenceParams{IdempotencyKey: key}, Body: &body})
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
	t.Run("A-10 presence only opens nothing, and is on record once as what was told", func(t *testing.T) {
		before := len(recorded[access.Event](t, tv))
		got, err := tv.evidenceOf(t, flanders, with(func(q *contract.EvidenceQuery) {
			q.PresenceOnly = true
			q.Needs = append(q.Needs[:3:3], contract.EvidenceNeed{DocumentType: "householdComposition", Fields: []contract.FieldName{"members"}})
		}))
		if err != nil || outcomesIn(got) != "held held held held" || got.Items[0].Content != nil || !got.Items[0].AccessID.IsZero() {
			t.Errorf("%+v, %v", got, err)
		}
		tv.waitIdle(t)
		all := recorded[access.Event](t, tv)[before:]
		if len(all) != 2 {
			t.Fatalf("%d facts recorded", len(all))
		}
		told, is := all[0].(access.Told)
		if !is || told.Citizen != who || told.Consumer != flanders || told.LegalBasis != "publicTask" || told.Procedure != "schoolEnrolmentAllowance" ||
			len(told.Answers) != 4 || told.Answers[0] != (access.Answer{Type: "householdComposition", Presence: access.Held, Document: home, Version: 1}) || told.Answers[3] != told.Answers[0] {
			t.Errorf("told %+v", all[0])
		}
		if outcome, is := all[1].(access.Disclosed); !is || outcome.Access != told.Access || outcome.Outcome != access.Delivered {
			t.Errorf("outcome %+v", all[1])
		}
	})
	t.Run("A-6 the basis first: one need without it and nothing is told", func(t *testing.T) {
		for slug, q := range map[string]contract.EvidenceQuery{
			"wordsNotCovered": with(func(q *contract.EvidenceQuery) {
				q.Needs = append(q.Needs[:1:1], contract.EvidenceNeed{DocumentType: "diploma"})
			}),
			"fieldsNotCovered": with(func(q *contract.EvidenceQuery) {
				q.Needs = []contract.EvidenceNeed{{DocumentType: "householdComposition", Fields: []contract.FieldName{"address"}}}
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
		c := tv.consentTo(t, who, contract.ConsentGrant{DocumentTypes: []contract.DocumentTypeCode{"householdComposition", "identityData"}, Limits: contract.ConsentLimits{Uses: 2}})
		q := with(func(q *contract.EvidenceQuery) {
			q.LegalBasis, q.Deliberation, q.ConsentID, q.Needs = "", "", &c, q.Needs[:2]
		})
		for _, n := range []int{3, 999} {
			q.SSIN = ssin(n)
			if _, err := tv.evidenceOf(t, flanders, q); !errors.Is(err, access.ErrWords) || issuesOf(err) != "/consentId" {
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
		tv.waitIdle(t) // outcomes of accesses are appended as well
		tv.Store.SetRule(faulty.At(faulty.Append, 2, faulty.Fault{Before: eventstore.ErrUnavailable}))
		defer tv.Store.SetRule(nil)
		if got, err := tv.evidenceOf(t, flanders, query); err == nil {
			t.Errorf("%+v", got)
		}
	})
}

// issuesOf returns the places that a refusal names, with blanks between them.
func issuesOf(err error) string {
	p, _, _, _ := edge.Describe(err, acting.ErrorAnswers)
	var names []string
	for _, i := range p.Issues {
		names = append(names, i.Name)
	}
	return strings.Join(names, " ")
}

// problemText returns the whole answer to an error, so that two can be compared to the byte.
func problemText(err error) string {
	p, challenge, wait, _ := edge.Describe(err, acting.ErrorAnswers)
	return fmt.Sprintf("%+v %s %s", p, challenge, wait)
}

// a consumer with any basis for a citizen is told which words its basis does not cover;
// one with none gets the same bytes whoever is named.
func TestEvidenceRefusalsNameTheWord(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	tv.household(t, 2)
	query := contract.EvidenceQuery{
		SSIN: ssin(1), Procedure: "schoolEnrolmentAllowance", Purpose: "schoolAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010",
		Needs: []contract.EvidenceNeed{{DocumentType: "householdComposition"}, {DocumentType: "isiPlusCard"}},
	}
	for name, test := range map[string]struct {
		change      func(*contract.EvidenceQuery)
		slug, names string
	}{
		"the purpose":      {func(q *contract.EvidenceQuery) { q.Purpose = "canary" }, "wordsNotCovered", "/purpose"},
		"the legal basis":  {func(q *contract.EvidenceQuery) { q.LegalBasis = "canary" }, "wordsNotCovered", "/legalBasis"},
		"the deliberation": {func(q *contract.EvidenceQuery) { q.Deliberation = "EX-26/999" }, "wordsNotCovered", "/deliberation"},
		"the procedure":    {func(q *contract.EvidenceQuery) { q.Procedure = "canary" }, "wordsNotCovered", "/procedure"},
		"two types": {func(q *contract.EvidenceQuery) {
			q.Needs = append(q.Needs[:2:2], contract.EvidenceNeed{DocumentType: "diploma"}, contract.EvidenceNeed{DocumentType: "canary"})
		}, "wordsNotCovered", "/needs/2/documentType /needs/3/documentType"},
		"two fields of three, and a type": {func(q *contract.EvidenceQuery) {
			q.Needs = []contract.EvidenceNeed{{DocumentType: "householdComposition", Fields: []contract.FieldName{"address", "members", "canary"}}, {DocumentType: "diploma"}}
		}, "fieldsNotCovered", "/needs/0/fields/0 /needs/0/fields/2 /needs/1/documentType"},
		"a predicate": {func(q *contract.EvidenceQuery) {
			q.Needs = []contract.EvidenceNeed{{DocumentType: "householdComposition", Predicate: contract.AskedPredicate{Name: "canary"}}}
		}, "fieldsNotCovered", "/needs/0/predicate/name"},
		"a consent of nobody": {func(q *contract.EvidenceQuery) {
			q.LegalBasis, q.Deliberation, q.ConsentID = "", "", &domain.ConsentID{UUID: uuid.New()}
		}, "wordsNotCovered", "/consentId"},
	} {
		t.Run(name, func(t *testing.T) {
			q := query
			test.change(&q)
			var answers []string
			for _, n := range []int{1, 999} {
				q.SSIN = ssin(n)
				_, err := tv.evidenceOf(t, flanders, q)
				if slugOf(err) != test.slug || issuesOf(err) != test.names || strings.Contains(problemText(err), "canary") {
					t.Errorf("%d: %s %q: %s", n, slugOf(err), issuesOf(err), problemText(err))
				}
				answers = append(answers, problemText(err))
			}
			if answers[0] != answers[1] {
				t.Errorf("%q", answers)
			}
		})
	}
	t.Run("to a consumer with a consent, about its citizen alone", func(t *testing.T) {
		tv.Clock.Advance(time.Minute)
		plain := problemText(access.ErrNoBasis)
		told := func(n int) string {
			t.Helper()
			q := query
			q.SSIN = ssin(n)
			_, err := tv.evidenceOf(t, railways, q)
			return problemText(err)
		}
		ask := contract.ConsentAsk{SSIN: ssin(1), Purpose: "familyDiscount", DocumentTypes: []contract.DocumentTypeCode{"householdComposition"}}
		if _, err := tv.askAs(t, consumer(railways), ask); err != nil {
			t.Fatal(err)
		}
		if got := []string{told(1), told(2), told(999)}; got[0] != plain || got[1] != plain || got[2] != plain {
			t.Errorf("without any basis, while a request waits: %q", got)
		}
		c, err := tv.grantAs(t, citizenCaller(tv.person(t, 1)), contract.ConsentGrant{Consumer: railways, Purpose: "familyDiscount", DocumentTypes: ask.DocumentTypes})
		if err != nil {
			t.Fatal(err)
		}
		if got := told(1); !strings.Contains(got, "/purpose") {
			t.Errorf("of its citizen: %s", got)
		}
		if got := []string{told(2), told(999)}; got[0] != plain || got[1] != plain {
			t.Errorf("of others: %q", got)
		}
		q := contract.EvidenceQuery{SSIN: ssin(1), Purpose: "familyDiscount", ConsentID: &c.ConsentID, Needs: []contract.EvidenceNeed{{DocumentType: "isiPlusCard"}}}
		if _, err := tv.evidenceOf(t, railways, q); slugOf(err) != "wordsNotCovered" || issuesOf(err) != "/needs/0/documentType" {
			t.Errorf("under its consent: %v", err)
		}
		if err := tv.withdraw(t, tv.person(t, 1), c.ConsentID); err != nil {
			t.Fatal(err)
		}
		if got := told(1); got != plain {
			t.Errorf("after the withdrawal: %s", got)
		}
	})
	t.Run("P-5 a restriction of processing is told to nobody", func(t *testing.T) {
		who, uncovered := tv.person(t, 1), query
		uncovered.Deliberation = "none/000"
		_, before := tv.evidenceOf(t, flanders, uncovered)
		if _, err := tv.restrict(t, citizenCaller(who), who, contract.RestrictionAsk{Reason: "accuracyContested"}); err != nil {
			t.Fatal(err)
		}
		if _, err := tv.evidenceOf(t, flanders, uncovered); slugOf(err) != "wordsNotCovered" || problemText(err) != problemText(before) || issuesOf(err) != issuesOf(before) {
			t.Errorf("%s, before the restriction %s", problemText(err), problemText(before))
		}
		if got, err := tv.evidenceOf(t, flanders, query); err != nil || strings.Trim(outcomesIn(got), "notHeld ") != "" {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// a repetition of a query under its key is the same accesses, so that a retry takes no
// second use.
func TestEvidenceRepetitionTakesNoSecondUse(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	who := tv.person(t, 1)
	tv.Clock.Advance(time.Minute)
	byLaw := contract.EvidenceQuery{
		SSIN: ssin(1), Procedure: "schoolEnrolmentAllowance", Purpose: "schoolAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010",
		Needs: []contract.EvidenceNeed{{DocumentType: "householdComposition"}, {DocumentType: "isiPlusCard"}},
	}
	c := tv.consentTo(t, who, contract.ConsentGrant{DocumentTypes: []contract.DocumentTypeCode{"householdComposition"}, Limits: contract.ConsentLimits{Uses: 1}})
	byConsent := contract.EvidenceQuery{SSIN: ssin(1), Purpose: "schoolAllowance", ConsentID: &c, Needs: []contract.EvidenceNeed{{DocumentType: "householdComposition"}}}
	for name, q := range map[string]contract.EvidenceQuery{"by law": byLaw, "under a consent of one use, without a procedure": byConsent} {
		t.Run(name, func(t *testing.T) {
			key := uuid.New()
			first, err := tv.evidenceUnder(t, flanders, key, q)
			if err != nil || first.Items[0].Outcome != contract.EvidenceOutcomeHeld {
				t.Fatal(first, err)
			}
			again, err := tv.evidenceUnder(t, flanders, key, q)
			if err != nil || again.Items[0].AccessID != first.Items[0].AccessID || !bytes.Equal(again.Items[0].Content, first.Items[0].Content) {
				t.Errorf("%+v, %v", again, err)
			}
			attempts := []int{}
			for _, a := range recorded[access.Authorized](t, tv) {
				if a.Access == first.Items[0].AccessID {
					attempts = append(attempts, a.Attempt)
				}
			}
			if !slices.Equal(attempts, []int{1, 2}) {
				t.Errorf("attempts %v", attempts)
			}
			other := q
			other.CaseReference = "other"
			if _, err := tv.evidenceUnder(t, flanders, key, other); slugStatus(err) != 422 {
				t.Errorf("another query under the key: %v", err)
			}
			tv.Clock.Advance(access.RepeatWithin + time.Second)
			if _, err := tv.evidenceUnder(t, flanders, key, q); !errors.Is(err, access.ErrAlreadyUsed) {
				t.Errorf("later: %v", err)
			}
		})
	}
	if _, err := tv.evidenceOf(t, flanders, byConsent); !errors.Is(err, consent.ErrExhausted) {
		t.Errorf("C-3 another query: %v", err)
	}
	t.Run("a refused one is judged again", func(t *testing.T) {
		key, q := uuid.New(), byLaw
		q.SSIN = ssin(2)
		q.Purpose = "canary"
		for range 2 {
			if _, err := tv.evidenceUnder(t, flanders, key, q); !errors.Is(err, access.ErrWords) {
				t.Error(err)
			}
		}
	})
	t.Run("presence is told again", func(t *testing.T) {
		key, q := uuid.New(), byLaw
		q.PresenceOnly = true
		for range 2 {
			if got, err := tv.evidenceUnder(t, flanders, key, q); err != nil || outcomesIn(got) != "held notHeld" {
				t.Errorf("%+v, %v", got, err)
			}
		}
	})
	t.Run("one that failed between its records goes on", func(t *testing.T) {
		key, q := uuid.New(), byLaw
		q.Needs = append(q.Needs[:1:1], contract.EvidenceNeed{DocumentType: "householdComposition", Fields: []contract.FieldName{"members"}})
		tv.waitIdle(t)
		tv.Store.SetRule(faulty.At(faulty.Append, 2, faulty.Fault{Before: eventstore.ErrUnavailable}))
		_, err := tv.evidenceUnder(t, flanders, key, q)
		tv.Store.SetRule(nil)
		if !errors.Is(err, eventstore.ErrUnavailable) {
			t.Fatal(err)
		}
		before := len(recorded[access.Authorized](t, tv))
		if got, err := tv.evidenceUnder(t, flanders, key, q); err != nil || outcomesIn(got) != "held held" {
			t.Errorf("%+v, %v", got, err)
		}
		if made := recorded[access.Authorized](t, tv)[before:]; len(made) != 2 || made[0].Attempt != 2 || made[1].Attempt != 1 {
			t.Errorf("%+v", made)
		}
	})
	t.Run("the key of zeros is none", func(t *testing.T) {
		if _, err := tv.evidenceUnder(t, flanders, uuid.Nil, byLaw); slugOf(err) != "nilIdempotencyKey" {
			t.Error(err)
		}
	})
	t.Run("by law the procedure is named", func(t *testing.T) {
		q := byLaw
		q.Procedure = ""
		if _, err := tv.evidenceOf(t, flanders, q); problemOf(err) != "badRequest" || issuesOf(err) != "/procedure" {
			t.Error(err)
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
		{contract.EvidenceOutcomeSuspended, "2026-01-01", "", document.Suspend{Expected: document.Expectation{Any: true}, Reason: "underInvestigation", By: by, At: noon}},
		{contract.EvidenceOutcomeRevoked, "2026-01-01", "", document.Revoke{Expected: document.Expectation{Any: true}, Reason: "issuedInError", By: by, At: noon}},
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

// whatever a query tells of a citizen stands in their access log.
func TestTheCitizenSeesWhatWasTold(t *testing.T) {
	tv := newVault(t)
	id := tv.household(t, 1)
	tv.issue(t, homeAffairs, contract.DocumentIssue{SSIN: ssin(1), DocumentType: "identityData", Content: contract.Content(identity)})
	query := contract.EvidenceQuery{
		SSIN: ssin(1), Procedure: "schoolEnrolmentAllowance", Purpose: "schoolAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010",
		Needs: []contract.EvidenceNeed{{DocumentType: "householdComposition"}, {DocumentType: "identityData"}, {DocumentType: "isiPlusCard"}},
	}
	log := func() []contract.AccessLogItem {
		t.Helper()
		tv.waitIdle(t)
		who := tv.person(t, 1)
		answer, err := tv.GetAccessLog(tv.as(t, citizenCaller(who), "getAccessLog", nil), contract.GetAccessLogRequestObject{CitizenID: who})
		if err != nil {
			t.Fatal(err)
		}
		return answer.(contract.GetAccessLog200JSONResponse).Items
	}
	spared := func(t *testing.T) (n int) {
		t.Helper()
		tv.waitIdle(t)
		all, err := tv.AccessLog.Spared(t.Context(), flanders, noon, noon)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			n += s.Questions
		}
		return n
	}
	t.Run("A-10 what is disclosed and what is merely told are apart", func(t *testing.T) {
		tv.revokeDirectly(t, homeAffairs, id)
		tv.waitForReadModels(t)
		got, err := tv.evidenceOf(t, flanders, query)
		if err != nil || outcomesIn(got) != "revoked held notHeld" {
			t.Fatal(outcomesIn(got), err)
		}
		items := log()
		if len(items) != 2 || items[0].Kind != contract.AccessKindDocument || items[0].DocumentType != "identityData" {
			t.Fatalf("%+v", items)
		}
		told := items[1]
		if told.Kind != contract.AccessKindPresence || told.Outcome != contract.AccessOutcomeDisclosed || told.Organization != flanders || told.Purpose != "schoolAllowance" || told.LegalBasis != "publicTask" ||
			len(told.Answers) != 2 || told.Answers[0].DocumentID != id || told.Answers[0].Version != 1 || told.Answers[0].Outcome != contract.EvidenceOutcomeRevoked || told.Answers[1].Outcome != contract.EvidenceOutcomeNotHeld || told.Answers[1].DocumentType != "isiPlusCard" {
			t.Errorf("%+v", told)
		}
	})
	t.Run("A-10 each of fifty queries", func(t *testing.T) {
		before := len(log())
		query := query
		query.PresenceOnly = true
		for range 50 {
			if _, err := tv.evidenceOf(t, flanders, query); err != nil {
				t.Fatal(err)
			}
		}
		who := tv.person(t, 1)
		tv.waitIdle(t)
		all, err := tv.AccessLog.Of(t.Context(), who, projections.Latest, accesslog.Filter{}, projections.Latest, 200)
		if err != nil || len(all)-before != 50 {
			t.Errorf("%d entries more, %v", len(all)-before, err)
		}
	})
	t.Run("A-10 nothing is told that cannot be recorded", func(t *testing.T) {
		tv.Store.SetRule(func(c faulty.Call) faulty.Fault {
			if c.Method == faulty.Append {
				return faulty.Fault{Before: eventstore.ErrUnavailable}
			}
			return faulty.Fault{}
		})
		defer tv.Store.SetRule(nil)
		query := query
		query.PresenceOnly = true
		for _, n := range []int{1, 999} { // whoever is asked about
			query.SSIN = ssin(n)
			if got, err := tv.evidenceOf(t, flanders, query); err == nil {
				t.Errorf("told of %d: %+v", n, got)
			}
		}
	})
	t.Run("A-10 without the answer, what it was to tell was not told", func(t *testing.T) {
		back := tv.Opener.set(keysAway{})
		defer back()
		if got, err := tv.evidenceOf(t, flanders, query); err == nil {
			t.Fatalf("%+v", got)
		}
		back()
		told := log()[1]
		if told.Kind != contract.AccessKindPresence || told.Outcome != contract.AccessOutcomeFailed || len(told.Answers) != 2 {
			t.Errorf("%+v", told)
		}
	})
	t.Run("A-10 a consent withdrawn meanwhile: nothing is told, and that is on record", func(t *testing.T) {
		tv.household(t, 2)
		who := tv.person(t, 2)
		c := tv.consentTo(t, who, contract.ConsentGrant{})
		query := contract.EvidenceQuery{SSIN: ssin(2), Purpose: "schoolAllowance", Procedure: query.Procedure, ConsentID: &c, PresenceOnly: true, Needs: []contract.EvidenceNeed{{DocumentType: "householdComposition"}}}
		tv.afterAppend(t, func() {
			if err := tv.withdraw(t, who, c); err != nil {
				t.Error(err)
			}
		})
		if got, err := tv.evidenceOf(t, flanders, query); slugOf(err) != "consentWithdrawn" {
			t.Fatalf("%+v, %v", got, err)
		}
		tv.waitIdle(t)
		outcomes := recorded[access.Disclosed](t, tv)
		if last := outcomes[len(outcomes)-1]; last.Citizen != who || last.Outcome != access.Withheld || last.Reason != "consentWithdrawn" {
			t.Errorf("%+v", last)
		}
	})
	t.Run("A-10 the only-once counter counts what is held", func(t *testing.T) {
		before := spared(t)
		query := query
		query.PresenceOnly, query.Needs = true, append(query.Needs[:3:3], query.Needs[1])
		if got, err := tv.evidenceOf(t, flanders, query); err != nil || outcomesIn(got) != "revoked held notHeld held" || got.NotAsked != 2 {
			t.Fatal(outcomesIn(got), err)
		}
		if n := spared(t) - before; n != 2 {
			t.Errorf("%d questions spared", n)
		}
	})
	t.Run("A-10 the case reference is sealed, for the citizen alone", func(t *testing.T) {
		query := query
		query.PresenceOnly, query.CaseReference = true, "canary 10"
		if _, err := tv.evidenceOf(t, flanders, query); err != nil {
			t.Fatal(err)
		}
		if items := log(); items[0].Kind != contract.AccessKindPresence || items[0].CaseReference != "canary 10" {
			t.Errorf("%+v", items[0])
		}
		for _, r := range tv.log(t) {
			if strings.Contains(string(r.Clear), "canary 10") {
				t.Errorf("%s holds the case reference in clear", r.Type)
			}
		}
	})
	t.Run("A-6 the same is recorded of somebody whom the vault does not know, and nothing that names them", func(t *testing.T) {
		query := query
		query.SSIN, query.PresenceOnly, query.CaseReference = ssin(999), true, "canary 11"
		before := len(tv.log(t))
		for range 2 {
			if _, err := tv.evidenceOf(t, flanders, query); err != nil {
				t.Fatal(err)
			}
		}
		tv.waitIdle(t)
		records := tv.log(t)[before:]
		streams := map[eventstore.Stream]int{}
		for _, r := range records {
			streams[r.Stream]++
			if r.Sealed != nil || strings.Contains(string(r.Clear), `"citizen"`) {
				t.Errorf("%s names somebody: %s", r.Type, r.Clear)
			}
		}
		told := recorded[access.Told](t, tv)
		last := told[len(told)-1]
		if len(records) != 4 || len(streams) != 2 || streams[acting.UnknownStream(last.Access, tv.Clock.Now())] != 2 || last.Consumer != flanders || last.LegalBasis != "publicTask" {
			t.Errorf("%d facts in %v, %+v", len(records), streams, last)
		}
	})
}
