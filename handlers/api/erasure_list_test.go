package api

import (
	"slices"
	"testing"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/handlers/contract"
)

// A second person finds the requests that wait for an approval, page by page, and the look is
// on record before anything is shown.
func TestErasuresAreListedForASecondPerson(t *testing.T) {
	tv := newVault(t)
	var asked []domain.ErasureID
	for n := 1; n <= 3; n++ {
		tv.household(t, n)
		who := tv.person(t, n)
		if n == 2 {
			asked = append(asked, tv.erase(t, who, domain.DocumentID{}))
			tv.waitIdle(t)
			continue
		}
		id, err := tv.requestErasureOf(t, citizenCaller(who), who, domain.DocumentID{})
		if err != nil {
			t.Fatal(err)
		}
		asked = append(asked, id)
	}
	tv.waitForReadModels(t)
	list := func(p contract.ListErasuresParams) (ids []domain.ErasureID) {
		t.Helper()
		for {
			answer, err := tv.ListErasures(tv.as(t, officeCaller(domain.RolePrivacyOfficer), "listErasures", nil), contract.ListErasuresRequestObject{Params: p})
			if err != nil {
				t.Fatal(err)
			}
			page := answer.(contract.ListErasures200JSONResponse)
			if p.PageSize == 1 && len(page.Items) > 1 {
				t.Errorf("%d items on a page of one", len(page.Items))
			}
			for _, e := range page.Items {
				ids = append(ids, e.ErasureID)
			}
			if p.After = page.NextCursor; p.After == "" {
				return ids
			}
		}
	}
	if got := list(contract.ListErasuresParams{PageSize: 1}); !slices.Equal(got, asked) {
		t.Errorf("%v, want %v", got, asked)
	}
	waiting := []contract.ErasureState{contract.ErasureStateRequested}
	if got := list(contract.ListErasuresParams{State: waiting, PageSize: 1}); !slices.Equal(got, []domain.ErasureID{asked[0], asked[2]}) {
		t.Errorf("waiting: %v of %v", got, asked)
	}
	looks := 0
	for _, o := range recorded[audit.Operated](t, tv) {
		if o.Act == audit.ListErasures {
			looks++
		}
	}
	if looks == 0 {
		t.Error("no look is on record")
	}
}
