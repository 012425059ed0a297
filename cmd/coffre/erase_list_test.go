package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/handlers/contract"
	"coffre/projections/erasures"
)

// A second person sees with one command what waits for them, however many pages that are.
func TestEraseListShowsEveryPage(t *testing.T) {
	ids := []domain.ErasureID{newErasureID(1), newErasureID(2)}
	var asked []string
	sh := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method+" "+r.URL.Path != "GET /vault/v1/erasures" {
			t.Errorf("asked for %s %s", r.Method, r.URL.Path)
		}
		asked = append(asked, r.URL.Query().Encode())
		i := min(len(asked), 2) - 1
		page := contract.Erasures{Items: []contract.Erasure{{ErasureID: ids[i], Scope: contract.ErasureScope(citizen.WholeCitizen), State: contract.ErasureState(erasures.Requested), Reason: "citizenRequest"}}}
		if i == 0 {
			page.NextCursor = "theNext"
		}
		answer(t, w, 200, page)
	})
	out := sh.must(0, "erase", "list", "--data", t.TempDir(), "--state", "requested").out
	for _, id := range ids {
		if strings.Count(out, id.String()) != 1 {
			t.Errorf("%s is not shown once in\n%s", id, out)
		}
	}
	if want := []string{"pageSize=200&state=requested", "after=theNext&pageSize=200&state=requested"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q", asked)
	}
	if got := sh.must(2, "erase", "list", "--data", t.TempDir(), "--state", "canary"); !strings.Contains(got.err, "keysDestroyed") {
		t.Errorf("the states are not named: %s", got.err)
	}
}

func newErasureID(n byte) domain.ErasureID {
	var id domain.ErasureID
	id.UUID[15], id.UUID[6], id.UUID[8] = n, 0x40, 0x80
	return id
}
