package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"coffre/handlers/contract"
)

// TestF21RebuildCommandWaitsForItsOwn plays a vault whose read model is live throughout, while
// the rebuild that was asked for waits, runs, and ends.
func TestF21RebuildCommandWaitsForItsOwn(t *testing.T) {
	for name, c := range map[string]struct {
		end  contract.Rebuild
		code int
		out  string
		err  string
	}{
		"done":   {contract.Rebuild{State: contract.RebuildStateDone}, 0, "done", ""},
		"failed": {contract.Rebuild{State: contract.RebuildStateFailed, Problem: contract.Problem{Type: "urn:problem-type:coffre:rebuildFailed", Status: 503, Detail: "it could not be built"}}, exitFailed, "", "it could not be built"},
	} {
		t.Run(name, func(t *testing.T) {
			id := uuid.New()
			now := contract.Rebuild{RebuildID: id, Projection: "wallet", State: contract.RebuildStateWaiting}
			looks := 0
			s := answering(t, func(w http.ResponseWriter, r *http.Request) {
				switch r.Method + " " + r.URL.Path {
				case "POST /vault/v1/projections/wallet/rebuild":
					answer(t, w, 202, now)
				case "GET /vault/v1/rebuilds/" + id.String():
					looks++
					switch looks {
					case 2:
						now.State = contract.RebuildStateRunning
					case 3:
						now.State, now.Problem = c.end.State, c.end.Problem
					}
					answer(t, w, 200, now)
				default:
					t.Errorf("asked for %s %s", r.Method, r.URL.Path)
				}
			})
			got := s.must(c.code, "projections", "rebuild", "wallet", "--data", t.TempDir())
			if looks != 3 || !strings.Contains(got.out, c.out) || (c.out == "") != (got.out == "") || !strings.Contains(got.err, c.err) {
				t.Errorf("after %d looks: out %q, err %q", looks, got.out, got.err)
			}
		})
	}
}
