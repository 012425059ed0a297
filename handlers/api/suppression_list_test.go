package api

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"coffre/domain"
	"coffre/handlers/contract"
)

// listedSuppressions reads the list page by page, one item a page.
func (tv *testVault) listedSuppressions(t testing.TB, states ...contract.SuppressionState) (all []contract.Suppression) {
	t.Helper()
	after := contract.Cursor("")
	for {
		answer, err := tv.ListSuppressions(tv.as(t, officer, "listSuppressions", nil), contract.ListSuppressionsRequestObject{
			Params: contract.ListSuppressionsParams{State: states, After: after, PageSize: 1},
		})
		if err != nil {
			t.Fatal(err)
		}
		page := answer.(contract.ListSuppressions200JSONResponse)
		all = append(all, page.Items...)
		if page.NextCursor == "" {
			return all
		}
		if len(page.Items) != 1 || len(all) > 20 {
			t.Fatalf("a page of %d, after %d", len(page.Items), len(all))
		}
		after = page.NextCursor
	}
}

// E-4: officers see what is remembered of erased persons, since when, on which basis and until
// when, and when it is due for a review; never of whom. A due review ends nothing.
func TestSuppressionsAreListed(t *testing.T) {
	tv := newVault(t)
	const people = 4
	erased := map[domain.CitizenID]bool{}
	for n := 1; n <= people; n++ {
		tv.household(t, n)
		who := tv.person(t, n)
		tv.waitIdle(t)
		tv.erase(t, who, domain.DocumentID{})
		tv.waitIdle(t)
		erased[who] = true
	}
	tv.Review = 30 * 24 * time.Hour
	all := tv.listedSuppressions(t)
	if len(all) != people {
		t.Fatalf("%d are listed", len(all))
	}
	ids := map[string]bool{}
	for _, s := range all {
		ids[s.SuppressionID.String()] = true
		if s.State != contract.SuppressionStateKept || s.LegalBasis == "" || s.Since != domain.BelgianDate(noon) || s.ReviewOn != domain.DateOf(noon.Add(tv.Review)) || !s.Until.IsZero() {
			t.Errorf("%+v", s)
		}
	}
	told, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	for who := range erased {
		if strings.Contains(string(told), who.String()) {
			t.Error("a former life is told")
		}
	}
	for n := 1; n <= people; n++ {
		if strings.Contains(string(told), ssin(n).Reveal()) {
			t.Error("a number is told")
		}
	}
	if len(ids) != people || len(tv.listedSuppressions(t, contract.SuppressionStateReviewDue, contract.SuppressionStateEnding)) != 0 {
		t.Errorf("%d ids", len(ids))
	}

	// Two officers let one end; its review is over.
	body := contract.ReleasePropose{SSIN: ssin(1), Kind: contract.ReleaseKindEnd, LegalBasis: "legalObligation", Until: new(noon.AddDate(1, 0, 0))}
	proposed, err := tv.proposeRelease(t, officer, body)
	if err == nil {
		_, err = tv.approveReleaseOf(t, second, proposed.ReleaseID, 1, proposed.ReleaseID.UUID)
	}
	if err != nil {
		t.Fatal(err)
	}
	tv.Clock.Advance(tv.Review + 24*time.Hour)
	due := tv.listedSuppressions(t, contract.SuppressionStateReviewDue)
	ending := tv.listedSuppressions(t, contract.SuppressionStateEnding)
	if len(due) != people-1 || len(ending) != 1 || !ending[0].Until.Equal(*body.Until) || ending[0].ReviewOn != "" || len(tv.listedSuppressions(t, contract.SuppressionStateKept)) != 0 {
		t.Errorf("due %+v, ending %+v", due, ending)
	}
	one := due[1].SuppressionID
	if answer, err := tv.ListSuppressions(tv.as(t, officer, "listSuppressions", nil), contract.ListSuppressionsRequestObject{Params: contract.ListSuppressionsParams{SuppressionID: &one}}); err != nil ||
		len(answer.(contract.ListSuppressions200JSONResponse).Items) != 1 || answer.(contract.ListSuppressions200JSONResponse).Items[0] != due[1] || answer.(contract.ListSuppressions200JSONResponse).Self != due[1].Href {
		t.Errorf("one alone: %+v %v", answer, err)
	}
	if slices.ContainsFunc(due, func(s contract.Suppression) bool { return !ids[s.SuppressionID.String()] }) {
		t.Error("an id changed")
	}
	issue := contract.DocumentIssue{SSIN: ssin(2), DocumentType: "householdComposition", Content: contract.Content(household)}
	if err := tv.tryIssue(t, homeAffairs, issue); problemOf(err) != "citizenErased" {
		t.Errorf("E-4 a due review ended the memory: %v", err)
	}
	tv.Clock.Advance(366 * 24 * time.Hour)
	if left := tv.listedSuppressions(t); len(left) != people-1 {
		t.Errorf("what has ended is listed: %+v", left)
	}
}
