package api

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

func (tv *testVault) affected(t testing.TB, who edge.Caller, q contract.AffectedPersonsQuery, p contract.QueryAffectedPersonsParams) (contract.AffectedPersons, string, error) {
	t.Helper()
	ctx := tv.as(t, who, "queryAffectedPersons", q)
	answer, err := tv.QueryAffectedPersons(ctx, contract.QueryAffectedPersonsRequestObject{Params: p, Body: &q})
	if err != nil {
		return contract.AffectedPersons{}, "", err
	}
	w := writeAnswer(t, ctx, answer.VisitQueryAffectedPersonsResponse)
	return contract.AffectedPersons(answer.(contract.QueryAffectedPersons200JSONResponse)), w.Body.String(), nil
}

// After a breach a privacy officer learns, in pages, by references alone, whose documents went to
// an organisation; the question is on record with its reason before anything is told, the erased
// are counted, and what was known at a moment stays what it was.
func TestAffectedPersons(t *testing.T) {
	tv := newVault(t)
	people := map[domain.CitizenRef]domain.CitizenID{}
	var first domain.CitizenID
	var names []string // of which no page holds one
	began := tv.Clock.Now()
	for n := 1; n <= 5; n++ {
		doc := tv.household(t, n)
		if _, err := tv.read(t, consumer(flanders), doc, uuid.New(), allowance); err != nil {
			t.Fatal(err)
		}
		names = append(names, ssin(n).Reveal(), tv.person(t, n).String())
		if n == 1 {
			first = tv.person(t, n)
			if _, err := tv.read(t, consumer(flanders), doc, uuid.New(), allowance); err != nil {
				t.Fatal(err)
			}
		}
	}
	tv.waitIdle(t)
	tv.waitForReadModels(t)
	early := tv.Clock.Now()
	tv.Clock.Advance(time.Hour)
	q := contract.AffectedPersonsQuery{DocumentType: "householdComposition", Consumer: flanders, From: began, Until: tv.Clock.Now().Add(time.Hour), Reason: "audit"}
	ask := func(q contract.AffectedPersonsQuery) (all []contract.AffectedPerson, first contract.AffectedPersons) {
		t.Helper()
		for p := (contract.QueryAffectedPersonsParams{PageSize: 2}); ; {
			page, body, err := tv.affected(t, officer, q, p)
			if err != nil {
				t.Fatal(err)
			}
			if p.After == "" {
				first = page
			} else if page.Totals != nil {
				t.Error("totals on a later page")
			}
			if slices.ContainsFunc(names, func(name string) bool { return strings.Contains(body, name) }) {
				t.Error("a page names somebody")
			}
			all = append(all, page.Items...)
			if p.After = page.NextCursor; p.After == "" {
				return all, first
			}
		}
	}
	all, page := ask(q)
	if len(all) != 5 || page.Totals == nil || *page.Totals != (contract.AffectedTotals{Persons: 5, Accesses: 6}) {
		t.Fatalf("%+v, %+v", all, page.Totals)
	}
	refs, err := tv.OfficersRefs(t.Context(), []domain.CitizenID{first})
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		people[one.CitizenRef] = first
		if want := map[bool]int{true: 2, false: 1}[one.CitizenRef == refs[first]]; one.Accesses != want || one.MayHaveBeenDisclosed != 0 {
			t.Errorf("%+v", one)
		}
	}
	if len(people) != 5 {
		t.Errorf("%d references", len(people))
	}
	asked := recorded[audit.AffectedAsked](t, tv)
	if len(asked) != 1 || asked[0].Type != q.DocumentType || asked[0].Consumer != flanders || asked[0].Reason != "audit" || !asked[0].From.Equal(q.From) {
		t.Errorf("on record: %+v", asked)
	}

	tv.erase(t, first, domain.DocumentID{})
	tv.waitIdle(t)
	all, page = ask(q)
	if len(all) != 4 || *page.Totals != (contract.AffectedTotals{Persons: 4, Erased: 1, Accesses: 6}) || slices.ContainsFunc(all, func(p contract.AffectedPerson) bool { return p.CitizenRef == refs[first] }) {
		t.Errorf("%+v, %+v", all, page.Totals)
	}
	known := page.Events
	then := q
	then.AsOf = &early
	if _, page = ask(then); *page.Totals != (contract.AffectedTotals{Persons: 4, Erased: 1, Accesses: 6}) || page.Events >= known {
		t.Errorf("as of before: %+v, %d events of %d", page.Totals, page.Events, known)
	}
	then.AsOf = new(began.Add(-time.Hour))
	if all, page = ask(then); len(all) != 0 || *page.Totals != (contract.AffectedTotals{}) {
		t.Errorf("before everything: %+v", page)
	}
	none := q
	none.DocumentType = "diploma"
	if all, _ = ask(none); len(all) != 0 {
		t.Errorf("of another type: %v", all)
	}
	late := q
	late.From, late.Until = tv.Clock.Now().Add(time.Minute), tv.Clock.Now().Add(time.Hour)
	if all, _ = ask(late); len(all) != 0 {
		t.Errorf("of later: %v", all)
	}
}

// A question without a reason, about no time, of words that the registry does not have, or as of
// what is still to come, is refused and tells nothing; a cursor of another list is none.
func TestAffectedPersonsIsRefused(t *testing.T) {
	tv := newVault(t)
	q := contract.AffectedPersonsQuery{DocumentType: "householdComposition", Consumer: flanders, From: tv.Clock.Now(), Until: tv.Clock.Now().Add(time.Hour), Reason: "audit"}
	for want, change := range map[string]func(*contract.AffectedPersonsQuery, *contract.QueryAffectedPersonsParams){
		"affectedPeriod": func(q *contract.AffectedPersonsQuery, _ *contract.QueryAffectedPersonsParams) { q.Until = q.From },
		"unknownReason":  func(q *contract.AffectedPersonsQuery, _ *contract.QueryAffectedPersonsParams) { q.Reason = "curiosity" },
		"unknownWord": func(q *contract.AffectedPersonsQuery, _ *contract.QueryAffectedPersonsParams) {
			q.DocumentType = "secret"
		},
		"asOfNotSettled": func(q *contract.AffectedPersonsQuery, _ *contract.QueryAffectedPersonsParams) { q.AsOf = new(q.Until) },
		"unknownPosition": func(_ *contract.AffectedPersonsQuery, p *contract.QueryAffectedPersonsParams) {
			p.After = tv.Cursor("queryConsentLog", 1, 2, 3, 4)
		},
	} {
		changed, p := q, contract.QueryAffectedPersonsParams{}
		change(&changed, &p)
		if _, _, err := tv.affected(t, officer, changed, p); slugOf(err) != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if asked := recorded[audit.AffectedAsked](t, tv); len(asked) != 0 {
		t.Errorf("on record: %+v", asked)
	}
}
