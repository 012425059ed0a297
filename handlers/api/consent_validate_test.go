package api

import (
	"testing"

	"coffre/domain/registry"
	"coffre/handlers/contract"
)

// Each citizen about whom a consumer validates a reading counts for its quota, whether the
// vault knows them or not, for the answer tells who holds what.
func TestValidatingQuota(t *testing.T) {
	tv := newVault(t, func(r *registry.Registry) { organisation(t, r, flanders).DailyQuota = 2 })
	home := tv.household(t, 1)
	tv.household(t, 2)
	validate := func(body contract.ConsentValidation) string {
		t.Helper()
		body.Purpose, body.Procedure, body.LegalBasis, body.Deliberation = "schoolAllowance", "schoolEnrolmentAllowance", "publicTask", "EX-26/010"
		answer, err := tv.ValidateConsent(tv.as(t, consumer(flanders), "validateConsent", body), contract.ValidateConsentRequestObject{Body: &body})
		if err != nil {
			t.Fatal(err)
		}
		return contract.ConsentJudgement(answer.(contract.ValidateConsent200JSONResponse)).Reason
	}
	byNumber := func(n int) contract.ConsentValidation {
		return contract.ConsentValidation{SSIN: ssin(n), DocumentType: "householdComposition"}
	}
	for i, step := range []struct {
		body   contract.ConsentValidation
		reason string
	}{
		{byNumber(998), "noBasis"}, {byNumber(1), ""}, {contract.ConsentValidation{DocumentID: &home}, ""}, {byNumber(998), "noBasis"}, {byNumber(1), ""},
		{byNumber(999), "dailyQuotaExceeded"}, {byNumber(2), "dailyQuotaExceeded"}, {byNumber(1), ""},
	} {
		if got := validate(step.body); got != step.reason {
			t.Errorf("A-7 A-6 step %d: %q, want %q", i, got, step.reason)
		}
	}
}
