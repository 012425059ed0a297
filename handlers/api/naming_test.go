package api

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/registry"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// namings are the ways in which an issuer names a person by number; n is of whom.
func namings(t *testing.T, tv *testVault) map[string]func(n int) error {
	key := uuid.New
	return map[string]func(n int) error{
		"issueDocument": func(n int) error {
			return tv.tryIssue(t, homeAffairs, contract.DocumentIssue{SSIN: ssin(n), DocumentType: "householdComposition", Content: contract.Content(household)})
		},
		"getCitizen": func(n int) error {
			_, err := tv.lookUp(t, issuer(homeAffairs), contract.CitizenGet{SSIN: ssin(n)})
			return err
		},
		"queryDocuments": func(n int) error {
			body := contract.DocumentQuery{SSIN: ssin(n)}
			_, err := tv.QueryDocuments(tv.as(t, issuer(homeAffairs), "queryDocuments", body), contract.QueryDocumentsRequestObject{Body: &body})
			return err
		},
		"reportDeath": func(n int) error {
			body := contract.DeathReport{SSIN: ssin(n), Date: "2026-01-01"}
			_, err := tv.ReportDeath(tv.as(t, issuer(homeAffairs), "reportDeath", body), contract.ReportDeathRequestObject{Params: contract.ReportDeathParams{IdempotencyKey: key()}, Body: &body})
			return err
		},
		"correctDeath": func(n int) error {
			body := contract.DeathCorrection{SSIN: ssin(n), CaseReference: "1"}
			_, err := tv.CorrectDeath(tv.as(t, issuer(homeAffairs), "correctDeath", body), contract.CorrectDeathRequestObject{Params: contract.CorrectDeathParams{IdempotencyKey: key()}, Body: &body})
			return err
		},
		"replaceSsin": func(n int) error {
			body := contract.SSINReplacement{SSIN: ssin(n), ReplacedBy: ssin(n + 500)}
			_, err := tv.ReplaceSSIN(tv.as(t, issuer(homeAffairs), "replaceSsin", body), contract.ReplaceSSINRequestObject{Params: contract.ReplaceSSINParams{IdempotencyKey: key()}, Body: &body})
			return err
		},
		"grantMandate": func(n int) error {
			_, err := tv.grantMandate(t, issuer(homeAffairs), contract.MandateGrant{SSIN: ssin(n), RepresentativeSSIN: ssin(n + 500), Kind: contract.MandateKindAppointedByCourt, Actions: []contract.MandateAction{contract.MandateActionRead}, Until: "2027-01-01"})
			return err
		},
	}
}

// whatever resolves or registers a national number for an issuer counts for its quota,
// and beyond it nobody is registered and nothing is told, whoever is named.
func TestEveryNamingOfAnIssuerCountsForItsQuota(t *testing.T) {
	const quota = 3
	tv := newVault(t, func(r *registry.Registry) {
		org := organisation(t, r, homeAffairs)
		org.DailyQuota, org.Attests = quota, append(org.Attests, registry.CourtAppointment)
	})
	tv.household(t, 1)
	for name, ask := range namings(t, tv) {
		t.Run(name, func(t *testing.T) {
			tv.Clock.Advance(24 * time.Hour)
			for n := range quota {
				if _, err := tv.lookUp(t, issuer(homeAffairs), contract.CitizenGet{SSIN: ssin(900 + n)}); slugOf(err) != "resourceNotFound" {
					t.Fatal(err)
				}
			}
			tv.waitIdle(t)
			known, before := len(recorded[citizen.Registered](t, tv)), len(tv.log(t))
			for _, n := range []int{1, 999} {
				if err := ask(n); slugOf(err) != access.ErrQuota.Slug {
					t.Errorf("%d: %v", n, err)
				}
			}
			tv.waitIdle(t)
			var more []string
			for _, r := range tv.log(t)[before:] {
				if !strings.HasPrefix(r.Type, "access.refused/") {
					more = append(more, r.Type)
				}
			}
			if len(recorded[citizen.Registered](t, tv)) != known || more != nil {
				t.Errorf("left %v", more)
			}
		})
	}
	t.Run("each of them uses it up", func(t *testing.T) {
		for name, ask := range namings(t, tv) {
			tv.Clock.Advance(24 * time.Hour)
			for n := range quota {
				_ = ask(800 + n)
			}
			if err := ask(700); slugOf(err) != access.ErrQuota.Slug {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// a person whom an issuer registers counts once that day, not again as somebody known.
func TestRegisteringSomebodyCountsOnce(t *testing.T) {
	tv := newVault(t, func(r *registry.Registry) { organisation(t, r, homeAffairs).DailyQuota = 2 })
	for _, n := range []int{1, 1, 2, 1} {
		if err := namings(t, tv)["issueDocument"](n); err != nil {
			t.Fatalf("%d: %v", n, err)
		}
	}
	if err := namings(t, tv)["issueDocument"](3); slugOf(err) != access.ErrQuota.Slug {
		t.Errorf("%v", err)
	}
}

// numbers that an issuer tries in vain count as refusals, whatever it asks, until nothing
// is looked up for it in that minute.
func TestAnIssuersTriesInVainCount(t *testing.T) {
	tv := newVault(t)
	tv.waitForReadModels(t)
	for name, ask := range namings(t, tv) {
		if name == "issueDocument" || name == "grantMandate" || name == "queryDocuments" { // which find or register everybody
			continue
		}
		tv.Clock.Advance(time.Minute)
		refused := 0
		for ; refused < 1000; refused++ {
			if err := ask(refused); slugOf(err) == access.ErrTooManyRefusals.Slug {
				break
			}
		}
		if want := max(60, access.IssuerQuota/100); refused != want {
			t.Errorf("%s is not answered after %d tries, want %d", name, refused, want)
		}
	}
}

// what an authentic source was refused about a person whom the vault knows is on record
// of them, and nothing names somebody whom it does not know.
func TestRefusalsOfASourceAreOnRecord(t *testing.T) {
	tv := newVault(t, func(r *registry.Registry) {
		org := organisation(t, r, homeAffairs)
		org.Attests = append(org.Attests, registry.CourtAppointment)
	})
	tv.household(t, 1)
	tv.household(t, 2)
	ana, ben := tv.person(t, 1), tv.person(t, 2)
	refusals := func(ask func() error, slug string) (named []domain.CitizenID) {
		t.Helper()
		tv.waitIdle(t)
		before := len(recorded[access.Refused](t, tv))
		if err := ask(); slugOf(err) != slug {
			t.Fatalf("answered %v, want %s", err, slug)
		}
		tv.waitIdle(t)
		for _, r := range recorded[access.Refused](t, tv)[before:] {
			if r.Consumer != homeAffairs || string(r.Reason) != slug {
				t.Errorf("%+v", r)
			}
			named = append(named, r.Citizen)
		}
		return named
	}
	ways := namings(t, tv)
	if got := refusals(func() error { return ways["correctDeath"](1) }, "citizenNotDeceased"); len(got) != 1 || got[0] != ana {
		t.Errorf("of %v", got)
	}
	if got := refusals(func() error { return ways["reportDeath"](999) }, "citizenNotFound"); len(got) != 1 || !got[0].IsZero() {
		t.Errorf("of %v", got)
	}
	if got := refusals(func() error { return ways["replaceSsin"](998) }, "citizenNotFound"); len(got) != 2 || !got[0].IsZero() || !got[1].IsZero() {
		t.Errorf("of %v", got)
	}
	tv.reportDeath(t, 2)
	grant := func() error {
		_, err := tv.grantMandate(t, issuer(homeAffairs), contract.MandateGrant{SSIN: ssin(1), RepresentativeSSIN: ssin(2), Kind: contract.MandateKindAppointedByCourt, Actions: []contract.MandateAction{contract.MandateActionRead}, Until: "2027-01-01"})
		return err
	}
	if got := refusals(grant, "mandateRefused"); len(got) != 2 || got[0] != ana || got[1] != ben {
		t.Errorf("of %v", got)
	}
}

// A number that replaces itself is refused before anybody is looked up.
func TestReplacingANumberByItselfTellsNothing(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	for _, n := range []int{1, 999} {
		body := contract.SSINReplacement{SSIN: ssin(n), ReplacedBy: ssin(n)}
		_, err := tv.ReplaceSSIN(tv.as(t, issuer(homeAffairs), "replaceSsin", body), contract.ReplaceSSINRequestObject{Params: contract.ReplaceSSINParams{IdempotencyKey: uuid.New()}, Body: &body})
		if slugOf(err) != citizen.ErrSameSSIN.Slug {
			t.Errorf("%d: %v", n, err)
		}
	}
}

// A citizen reads in their log for what an organisation looked them up, so it names only what
// the registry registers it for.
func TestALookUpNamesTheCallersOwnPurpose(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	for _, tc := range []struct {
		by     domain.Organisation
		issuer bool
		body   contract.CitizenGet
		slug   string
	}{
		{flanders, false, contract.CitizenGet{Purpose: "schoolAllowance", Procedure: "schoolEnrolmentAllowance"}, ""},
		{flanders, false, contract.CitizenGet{Purpose: "familyDiscount"}, errOthersPurpose.Slug},
		{flanders, false, contract.CitizenGet{Procedure: "publicJobApplication"}, errOthersPurpose.Slug},
		{homeAffairs, true, contract.CitizenGet{Purpose: "schoolAllowance"}, errOthersPurpose.Slug},
		{homeAffairs, true, contract.CitizenGet{}, ""},
	} {
		for _, n := range []int{1, 999} {
			by, want := consumer(tc.by), tc.slug
			if tc.issuer {
				by = issuer(tc.by)
			}
			if want == "" && n == 999 {
				want = "resourceNotFound"
			}
			tc.body.SSIN = ssin(n)
			if _, err := tv.lookUp(t, by, tc.body); slugOf(err) != want {
				t.Errorf("%+v of %d: %v", tc, n, err)
			}
		}
	}
}

// Documents that an issuer issues in a day are bounded, in all and to one citizen, known or not;
// what leaves nothing takes nothing.
func TestDocumentsAreBounded(t *testing.T) {
	tv := limitedVault(t, "documents.pair=2,documents.caller=5")
	ask := namings(t, tv)["issueDocument"]
	again := contract.DocumentIssue{SSIN: ssin(1), DocumentType: "householdComposition", Content: contract.Content(household), SourceReference: "one", ValidFrom: "2026-01-01"}
	for n := range 3 {
		if isNew, _, err := tv.issueAs(t, homeAffairs, uuid.New(), again); err != nil || isNew != (n == 0) {
			t.Fatalf("%d: %v, %v", n, isNew, err)
		}
	}
	if err := ask(1); err != nil {
		t.Fatal(err)
	}
	before := len(tv.log(t))
	wantBudget(t, ask(1), &acting.IssuedDocuments)
	if more := len(tv.log(t)) - before; more != 0 {
		t.Errorf("a refusal left %d events", more)
	}
	if err := tv.tryIssue(t, socialSecurity, contract.DocumentIssue{SSIN: ssin(1), DocumentType: "isiPlusCard", Content: contract.Content(childCard), ValidUntil: "2028-12-31"}); err != nil {
		t.Errorf("another issuer: %v", err)
	}
	for _, n := range []int{2, 2, 3} {
		if err := ask(n); err != nil {
			t.Fatal(err)
		}
	}
	wantBudget(t, ask(4), &acting.IssuedDocuments) // of one issuer
	tv.restart()
	wantBudget(t, ask(4), &acting.IssuedDocuments)
	tv.Clock.Advance(24 * time.Hour)
	if err := ask(1); err != nil {
		t.Errorf("the day after: %v", err)
	}
}
