package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"coffre/handlers/contract"
)

// An auditor has a vault compare its read models by one command, which waits, names the rows that
// differ, and ends as it does of a directory.
func TestAuditCompare(t *testing.T) {
	id, leaf, event := uuid.New(), int64(7), uuid.New()
	sound := contract.ComparedModel{Projection: "evidence", Version: 1, State: contract.ComparedStateCompared, Taken: 40, Size: 40, Rows: 12, Differences: []contract.ComparedRow{}}
	altered := contract.ComparedModel{Projection: "wallet", Version: 3, State: contract.ComparedStateCompared, Taken: 40, Size: 40, Rows: 9, Differing: 1, Differences: []contract.ComparedRow{
		{Divergence: contract.RowDivergenceOther, Table: "versions", Row: "from_leaf 7", Columns: []string{"issuer"}, Leaf: &leaf, Type: "document.issued/2", EventID: &event},
	}}
	hindered := contract.ComparedModel{Projection: "terms", Version: 1, State: contract.ComparedStateCompared, Differences: []contract.ComparedRow{}, Hindrance: contract.ComparisonHindranceLogUnreadable, StoppedAt: &leaf}
	for name, c := range map[string]struct {
		end  contract.ModelComparison
		code int
		says []string
	}{
		"sound":    {contract.ModelComparison{State: contract.ComparisonStateDone, Models: []contract.ComparedModel{sound}}, 0, []string{"evidence", "every row is as the log makes it"}},
		"altered":  {contract.ModelComparison{State: contract.ComparisonStateDone, Models: []contract.ComparedModel{sound, altered}}, exitTamper, []string{"wallet: the row of versions with from_leaf 7 has another issuer; see leaf 7, document.issued/2, event " + event.String(), "1 rows are not as the log makes them"}},
		"hindered": {contract.ModelComparison{State: contract.ComparisonStateDone, Models: []contract.ComparedModel{sound, hindered}}, exitIncomplete, []string{"the log cannot be taken in past leaf 7", "INCOMPLETE"}},
		"failed":   {contract.ModelComparison{State: contract.ComparisonStateFailed, Problem: contract.Problem{Type: "urn:problem-type:coffre:comparisonFailed", Status: 503, Detail: "they could not all be compared"}}, exitFailed, []string{"comparisonFailed"}},
	} {
		t.Run(name, func(t *testing.T) {
			now := contract.ModelComparison{ComparisonID: id, State: contract.ComparisonStateWaiting}
			looks := 0
			s := answering(t, func(w http.ResponseWriter, r *http.Request) {
				switch r.Method + " " + r.URL.Path {
				case "POST /vault/v1/comparisons":
					var ask contract.ComparisonCreate
					if err := json.NewDecoder(r.Body).Decode(&ask); err != nil || ask.Reason != "audit" {
						t.Errorf("asked %+v, %v", ask, err)
					}
					answer(t, w, 202, now)
				case "GET /vault/v1/comparisons/" + id.String():
					if looks++; looks > 1 {
						now = c.end
						now.ComparisonID = id
					}
					answer(t, w, 200, now)
				default:
					t.Errorf("asked for %s %s", r.Method, r.URL.Path)
				}
			})
			got := s.must(c.code, "audit", "compare", "--reason", "audit", "--data", t.TempDir())
			for _, want := range c.says {
				if !strings.Contains(got.out+got.err, want) {
					t.Errorf("%q is not said: %s%s", want, got.out, got.err)
				}
			}
		})
	}
	s := answering(t, func(http.ResponseWriter, *http.Request) { t.Error("something is asked for") })
	s.must(exitUsage, "audit", "compare", "--data", t.TempDir())
	s.must(exitUsage, "audit", "compare", "x", "--reason", "audit", "--data", t.TempDir())
}
