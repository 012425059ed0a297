package api

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain/access"
	"coffre/domain/registry"
	"coffre/handlers/acting"
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

// what an organisation did counts in every process on the key database, and after each
// of them has started again; issuers count as consumers do.
func TestQuotasHoldAcrossProcessesAndRestarts(t *testing.T) {
	limit := func(r *registry.Registry) {
		organisation(t, r, flanders).DailyQuota = 2
		organisation(t, r, homeAffairs).DailyQuota = 3
	}
	tv := newVault(t, limit)
	tv.household(t, 1)
	get := func(v *testVault, by edge.Caller, n int) string {
		t.Helper()
		body := contract.CitizenGet{SSIN: ssin(n)}
		_, err := v.GetCitizen(v.as(t, by, "getCitizen", body), contract.GetCitizenRequestObject{Body: &body})
		return slugOf(err)
	}
	other := tv.otherProcess(t, tv.Clock.Now)
	for i, step := range []struct {
		v    *testVault
		by   edge.Caller
		n    int
		slug string
	}{
		{tv, consumer(flanders), 998, "resourceNotFound"}, {other, consumer(flanders), 1, ""},
		{tv, consumer(flanders), 2, "dailyQuotaExceeded"}, {other, consumer(flanders), 999, "dailyQuotaExceeded"}, {other, consumer(flanders), 998, "resourceNotFound"},
		{tv, issuer(homeAffairs), 1, ""}, {tv, issuer(homeAffairs), 998, "resourceNotFound"}, {other, issuer(homeAffairs), 999, "resourceNotFound"},
		{tv, issuer(homeAffairs), 997, "dailyQuotaExceeded"}, {other, issuer(homeAffairs), 1, ""},
	} {
		if got := get(step.v, step.by, step.n); got != step.slug {
			t.Errorf("A-7 step %d: %q, want %q", i, got, step.slug)
		}
	}
	tv.restartOn(t, tv.KeysDB)
	if got := get(tv, consumer(flanders), 2); got != "dailyQuotaExceeded" {
		t.Errorf("A-7 after a restart: %q", got)
	}
	tv.Clock.Advance(24 * time.Hour)
	if got := get(tv, consumer(flanders), 1); got != "" {
		t.Errorf("A-7 the next day: %q", got)
	}
}

// a consumer that is refused again and again is not judged any more until the minute
// is over, whoever it names, in every process; a lawful consumer beside it is.
func TestTooManyRefusals(t *testing.T) {
	tv := newVault(t, func(r *registry.Registry) { organisation(t, r, railways).DailyQuota = 2 })
	home := tv.household(t, 1)
	other := tv.otherProcess(t, tv.Clock.Now)
	get := func(v *testVault, by edge.Caller, n int) error {
		body := contract.CitizenGet{SSIN: ssin(n)}
		_, err := v.GetCitizen(v.as(t, by, "getCitizen", body), contract.GetCitizenRequestObject{Body: &body})
		return err
	}
	for n := range 60 {
		if got := slugOf(get(tv, consumer(railways), n+1)); got != "resourceNotFound" {
			t.Fatalf("refusal %d: %q", n, got)
		}
	}
	for _, n := range []int{1, 999} {
		if err := get(tv, consumer(railways), n); slugOf(err) != "tooManyFailedRequests" {
			t.Errorf("%d: %v", n, err)
		}
	}
	if _, err := tv.read(t, consumer(railways), home, uuid.New(), allowance); !errors.Is(err, access.ErrTooManyRefusals) {
		t.Errorf("another call: %v", err)
	}
	if got := slugOf(get(tv, consumer(flanders), 1)); got != "" {
		t.Errorf("a lawful consumer: %q", got)
	}
	// What nobody waited for is in the database before what somebody waits for.
	if err := tv.Keys.ImitateStreamKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := get(other, consumer(railways), 1); slugOf(err) != "tooManyFailedRequests" {
		t.Errorf("another process: %v", err)
	}
	p, _, wait, _ := edge.Describe(get(tv, consumer(railways), 1), acting.ErrorAnswers)
	if p.Status != 429 || wait <= 0 || wait > time.Minute {
		t.Errorf("%+v after %v", p, wait)
	}
	tv.Clock.Advance(time.Minute)
	for _, v := range []*testVault{tv, other} {
		if got := slugOf(get(v, consumer(railways), 1)); got != "resourceNotFound" {
			t.Errorf("the next minute: %q", got)
		}
	}
}
