package api

import (
	"testing"

	"coffre/domain/registry"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// Citizens whom a consumer looks up by number count for its quota; a consumer by law could
// otherwise try every number there is.
func TestLookupsByNumberCountForQuota(t *testing.T) {
	tv := newVault(t, func(r *registry.Registry) { organisation(t, r, flanders).DailyQuota = 2 })
	tv.household(t, 1)
	tv.household(t, 2)
	get := func(by edge.Caller, n int) string {
		t.Helper()
		body := contract.CitizenGet{SSIN: ssin(n)}
		_, err := tv.GetCitizen(tv.as(t, by, "getCitizen", body), contract.GetCitizenRequestObject{Body: &body})
		return slugOf(err)
	}
	for i, step := range []struct {
		n    int
		slug string
	}{{998, "resourceNotFound"}, {1, ""}, {998, "resourceNotFound"}, {1, ""}, {999, "dailyQuotaExceeded"}, {2, "dailyQuotaExceeded"}} {
		if got := get(consumer(flanders), step.n); got != step.slug {
			t.Errorf("A-7 A-6 step %d: %q, want %q", i, got, step.slug)
		}
	}
	for _, n := range []int{1, 2, 999} { // without a basis the quota tells nothing either
		if got := get(consumer(railways), n); got != "resourceNotFound" {
			t.Errorf("A-6 %d: %q", n, got)
		}
	}
}
