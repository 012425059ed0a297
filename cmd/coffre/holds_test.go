package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
)

// An officer sees with one command every hold, restriction and release, however many pages they
// are, and a state that is none is named.
func TestOfficersListsShowEveryPage(t *testing.T) {
	ids := []uuid.UUID{newErasureID(1).UUID, newErasureID(2).UUID}
	for command, c := range map[string]struct {
		path, state string
		page        func(id uuid.UUID, next contract.Cursor) any
	}{
		"holds list": {"/vault/v1/legalHolds", "standing", func(id uuid.UUID, next contract.Cursor) any {
			return contract.LegalHolds{Items: []contract.LegalHold{{LegalHoldID: domain.HoldID{UUID: id}, Reason: "litigation"}}, NextCursor: next}
		}},
		"restrictions all": {"/vault/v1/restrictions", "lifted", func(id uuid.UUID, next contract.Cursor) any {
			return contract.Restrictions{Items: []contract.Restriction{{RestrictionID: domain.RestrictionID{UUID: id}, Reason: "objection"}}, NextCursor: next}
		}},
		"releases list": {"/vault/v1/releases", "proposed", func(id uuid.UUID, next contract.Cursor) any {
			return contract.Releases{Items: []contract.Release{{ReleaseID: domain.ReleaseID{UUID: id}, Kind: contract.ReleaseKindEnd, State: contract.ReleaseStateProposed}}, NextCursor: next}
		}},
		"suppressions list": {"/vault/v1/suppressions", "reviewDue", func(id uuid.UUID, next contract.Cursor) any {
			return contract.Suppressions{Items: []contract.Suppression{{SuppressionID: id, LegalBasis: "legalObligation", State: contract.SuppressionStateReviewDue, Since: "2020-01-02"}}, NextCursor: next}
		}},
	} {
		var asked []string
		sh := answering(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method+" "+r.URL.Path != "GET "+c.path {
				t.Errorf("asked for %s %s", r.Method, r.URL.Path)
			}
			asked = append(asked, r.URL.Query().Encode())
			next := "theNext"
			if len(asked) > 1 {
				next = ""
			}
			answer(t, w, 200, c.page(ids[min(len(asked), 2)-1], next))
		})
		out := sh.must(0, append(strings.Fields(command), "--data", t.TempDir(), "--state", c.state)...).out
		for _, id := range ids {
			if strings.Count(out, id.String()) != 1 {
				t.Errorf("%s: %s is not shown once in\n%s", command, id, out)
			}
		}
		if want := []string{"pageSize=200&state=" + c.state, "after=theNext&pageSize=200&state=" + c.state}; !slices.Equal(asked, want) {
			t.Errorf("%s asked for %q", command, asked)
		}
		if got := sh.must(2, append(strings.Fields(command), "--data", t.TempDir(), "--state", "canary")...); !strings.Contains(got.err, c.state) {
			t.Errorf("%s: the states are not named: %s", command, got.err)
		}
	}
}
