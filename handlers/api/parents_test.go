package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/mandate"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

const (
	healthInsurance domain.Organisation = "0206653946" // issues ISI+ cards, and attests no parents
	justice         domain.Organisation = "0308357753" // attests whom courts appointed
)

// cardOf is an ISI+ card of a child that names parents.
func cardOf(kid int, parents ...int) contract.DocumentIssue {
	body := contract.DocumentIssue{SSIN: ssin(kid), DocumentType: "isiPlusCard", SourceReference: "card", ValidFrom: "2026-01-01", ValidUntil: "2028-12-31", Content: contract.Content(childCard)}
	for _, p := range parents {
		body.Parents = append(body.Parents, ssin(p))
	}
	return body
}

// bornOn returns a number with six digits of date in this century.
func bornOn(t testing.TB, date string) contract.SSIN {
	t.Helper()
	var base int64
	if _, err := fmt.Sscan("1"+date+"007", &base); err != nil {
		t.Fatal(err)
	}
	base -= 1_000_000_000
	number, err := domain.ParseSSIN(fmt.Sprintf("%09d%02d", base, 97-(2_000_000_000+base)%97))
	if err != nil {
		t.Fatal(err)
	}
	return contract.SSIN{SSIN: number}
}

// Parents are what the authentic source of parentage attests of a minor, and a refusal leaves
// nothing and nobody behind.
func TestF26ParentsAreAttested(t *testing.T) {
	tv := newVault(t)
	over := contract.MandateGrant{SSIN: ssin(1), RepresentativeSSIN: ssin(2), Kind: contract.MandateKindParentOfMinor, Actions: []contract.MandateAction{contract.MandateActionRead}, Until: "2040-01-01"}
	until := func(b contract.MandateGrant, d domain.Date) contract.MandateGrant { b.Until = d; return b }
	of := func(b contract.MandateGrant, n int) contract.MandateGrant { b.SSIN = ssin(n); return b }
	court := over
	court.Kind = contract.MandateKindAppointedByCourt
	for name, test := range map[string]struct {
		try  func() error
		slug string
	}{
		"F26 a card by an issuer without the right":    {func() error { _, _, err := tv.issueAs(t, healthInsurance, uuid.New(), cardOf(child(1), 2)); return err }, "parentageRightMissing"},
		"F26 a card of an adult by the number":         {func() error { _, _, err := tv.issueAs(t, socialSecurity, uuid.New(), cardOf(1, 2)); return err }, "citizenNotMinor"},
		"F26 a mandate by an issuer without the right": {func() error { _, err := tv.grantMandate(t, issuer(healthInsurance), of(over, child(1))); return err }, "parentageRightMissing"},
		"F26 a mandate over an adult":                  {func() error { _, err := tv.grantMandate(t, issuer(homeAffairs), until(over, "2030-01-01")); return err }, "citizenNotMinor"},
		"F26 a court's appointment without the right":  {func() error { _, err := tv.grantMandate(t, issuer(homeAffairs), court); return err }, "courtAppointmentRightMissing"},
		"F26 a death by who has no right to say so": {func() error {
			body := contract.DeathReport{SSIN: ssin(1), Date: "2026-06-14"}
			_, err := tv.ReportDeath(tv.as(t, issuer(socialSecurity), "reportDeath", body), contract.ReportDeathRequestObject{Params: contract.ReportDeathParams{IdempotencyKey: uuid.New()}, Body: &body})
			return err
		}, "deathRightMissing"},
		"F26 another number by who has no right to say so": {func() error {
			body := contract.SSINReplacement{SSIN: ssin(1), ReplacedBy: ssin(2)}
			_, err := tv.ReplaceSSIN(tv.as(t, issuer(socialSecurity), "replaceSsin", body), contract.ReplaceSSINRequestObject{Params: contract.ReplaceSSINParams{IdempotencyKey: uuid.New()}, Body: &body})
			return err
		}, "nationalNumberRightMissing"},
		"a document of who is not born yet": {func() error {
			body := cardOf(child(1), 2)
			body.SSIN = bornOn(t, "300101")
			_, _, err := tv.issueAs(t, socialSecurity, uuid.New(), body)
			return err
		}, "ssinNotBorn"},
		"a parent who is not born yet": {func() error {
			body := cardOf(child(1), 2)
			body.Parents = append(body.Parents, bornOn(t, "260616"))
			_, _, err := tv.issueAs(t, socialSecurity, uuid.New(), body)
			return err
		}, "ssinNotBorn"},
		"a mandate over who is not born yet": {func() error {
			body := of(over, child(1))
			body.SSIN = bornOn(t, "300101")
			_, err := tv.grantMandate(t, issuer(homeAffairs), body)
			return err
		}, "ssinNotBorn"},
		"a mandate of who is not born yet": {func() error {
			body := of(over, child(1))
			body.RepresentativeSSIN = bornOn(t, "300101")
			_, err := tv.grantMandate(t, issuer(homeAffairs), body)
			return err
		}, "ssinNotBorn"},
	} {
		if err := test.try(); slugOf(err) != test.slug {
			t.Errorf("%s: %v", name, err)
		}
		if d, m, c := len(recorded[document.Issued](t, tv)), len(recorded[mandate.Granted](t, tv)), len(recorded[citizen.Registered](t, tv)); d+m+c != 0 {
			t.Fatalf("%s: %d documents, %d mandates, %d people", name, d, m, c)
		}
	}
	t.Run("F26 never beyond the majority", func(t *testing.T) {
		if _, err := tv.grantMandate(t, issuer(homeAffairs), until(of(over, child(1)), "2040-01-01")); err != nil {
			t.Fatal(err)
		}
		tv.waitForReadModels(t)
		if all := tv.mandatesOf(t, tv.person(t, 2)); len(all) != 1 || all[0].Until != "2034-04-05" || all[0].State != contract.MandateStateAccepted {
			t.Fatalf("%+v", all)
		}
	})
	t.Run("F26 of who was born in a year the first day of it", func(t *testing.T) {
		body := cardOf(child(2), 3)
		body.SSIN, body.SourceReference = bornOn(t, "164000"), "bis" // a BIS number without day and month
		if _, _, err := tv.issueAs(t, socialSecurity, uuid.New(), body); err != nil {
			t.Fatal(err)
		}
		tv.waitForReadModels(t)
		if all := tv.mandatesOf(t, tv.person(t, 3)); len(all) != 1 || all[0].Until != "2034-01-01" {
			t.Fatalf("%+v", all)
		}
	})
	t.Run("F26 an issuer without the right issues without parents", func(t *testing.T) {
		if isNew, _, err := tv.issueAs(t, healthInsurance, uuid.New(), cardOf(child(1))); err != nil || !isNew {
			t.Fatal(err)
		}
	})
}

func (tv *testVault) mandatesOf(t testing.TB, who domain.CitizenID) []contract.Mandate {
	t.Helper()
	answer, err := tv.ListMandates(tv.as(t, citizenCaller(who), "listMandates", nil), contract.ListMandatesRequestObject{})
	if err != nil {
		t.Fatal(err)
	}
	return answer.(contract.ListMandates200JSONResponse).Items
}

// wronged is a vault in which an earlier release took an organisation's word that person 2 is
// the parent of person 1, who is an adult by their number, and then a consent by that parent.
func wronged(t *testing.T) (tv *testVault, card domain.DocumentID, given domain.ConsentID) {
	tv = newVault(t)
	tv.household(t, 2)
	card = tv.issue(t, healthInsurance, contract.DocumentIssue{SSIN: ssin(1), DocumentType: "isiPlusCard", ValidUntil: "2028-12-31", Content: contract.Content(`{"name":"Canary Grown","birthDate":"1982-01-01"}`)})
	grown, stranger := tv.person(t, 1), tv.person(t, 2)
	grant := mandate.Grant{
		Mandate: domain.MandateID{UUID: uuid.New()}, Citizen: grown, Representative: stranger, Kind: mandate.ParentOfMinor,
		Scope: mandate.Scope{Actions: []mandate.Action{mandate.Read, mandate.Consent}}, Until: "2033-01-01", Born: "2015-01-01", Numbered: "2015-01-01",
		Attestors: []domain.Organisation{socialSecurity}, CitizenIs: citizen.Living, RepresentativeIs: citizen.Living,
		By: domain.Actor{Role: domain.RoleIssuer, Organisation: socialSecurity}, At: tv.Timestamp(),
	}
	if _, err := acting.Mandates.Transact(t.Context(), tv.Log, eventstore.Write{Stream: acting.MandateStream(grant.Mandate), Citizen: grown}, grant); err != nil {
		t.Fatal(err)
	}
	given = domain.ConsentID{UUID: uuid.New()}
	agree := consent.Grant{
		Consent: given, Citizen: grown, Terms: consent.Terms{Consumer: railways, Purpose: "ageVerification", Types: []domain.DocumentType{"isiPlusCard"}},
		Shown:      consent.Shown{Text: shownToAll.Text, Language: shownToAll.Language, Version: shownToAll.Version},
		Registered: shownToAll.Text, Registrations: tv.Words.Current().Registrations(railways), Standing: citizen.Living,
		Mandate: mandate.InForce{ID: grant.Mandate, Citizen: grown, Representative: stranger, Kind: grant.Kind, Scope: grant.Scope},
		By:      domain.Actor{Role: domain.RoleRepresentative, Citizen: stranger}, At: tv.Timestamp(),
	}
	if _, err := acting.Consents.Transact(t.Context(), tv.Log, eventstore.Write{Stream: acting.ConsentStream(given), Citizen: grown}, agree); err != nil {
		t.Fatal(err)
	}
	tv.waitForReadModels(t)
	return tv, card, given
}

// A mandate on record that contradicts the person's number allows nothing from now on, its
// end says why, and neither does a consent that was given under it.
func TestF26WhatWasTakenWrongBeforeSpeaksNoMore(t *testing.T) {
	tv, card, given := wronged(t)
	grown, stranger := tv.person(t, 1), tv.person(t, 2)
	byConsent := contract.AccessRequest{Purpose: "ageVerification", ConsentID: &given, Predicate: contract.AskedPredicate{Name: "ageOver18"}}
	for range 2 { // before its end is on record, and after
		if _, err := tv.read(t, consumer(railways), card, uuid.New(), byConsent); !errors.Is(err, consent.ErrNotByThem) {
			t.Errorf("C-1 a consumer reads under the consent: %v", err)
		}
		evidence := contract.EvidenceQuery{SSIN: ssin(1), Purpose: "ageVerification", ConsentID: &given, Needs: []contract.EvidenceNeed{{DocumentType: "householdComposition"}, {DocumentType: "isiPlusCard"}}}
		if _, err := tv.QueryEvidence(tv.as(t, consumer(railways), "queryEvidence", evidence), contract.QueryEvidenceRequestObject{Body: &evidence}); err == nil {
			t.Error("C-1 a consumer is told under the consent")
		}
		if got, _, err := tv.wallet(t, citizenCaller(stranger), stranger, contract.GetWalletParams{}); err != nil || slices.ContainsFunc(got.Items, func(i contract.WalletItem) bool { return i.HeldAs == contract.HeldAsRepresentative }) {
			t.Errorf("the wallet shows another's: %v", err)
		}
		for name, err := range tv.speakFor(t, stranger, grown, card, given) {
			if slugStatus(err) != 404 {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	ended := recorded[mandate.Ended](t, tv)
	if len(ended) != 1 || ended[0].Reason != mandate.NotMinor {
		t.Fatalf("M-1.11 ended: %+v", ended)
	}
	tv.waitForReadModels(t)
	if all := tv.mandatesOf(t, stranger); len(all) != 1 || all[0].State != contract.MandateStateEnded || all[0].Reason != mandate.NotMinor {
		t.Errorf("%+v", all)
	}
	if err := tv.withdraw(t, grown, given); err != nil {
		t.Errorf("C-6 the citizen withdraws what was given for them: %v", err)
	}
}

// speakFor tries everything that a citizen can do for another, and returns each answer.
func (tv *testVault) speakFor(t testing.TB, who, whom domain.CitizenID, card domain.DocumentID, given domain.ConsentID) map[string]error {
	t.Helper()
	me := citizenCaller(who)
	call := func(operation string) context.Context { return tv.as(t, me, operation, operation) }
	all := map[string]error{}
	_, _, all["wallet"] = tv.wallet(t, me, whom, contract.GetWalletParams{})
	_, all["document"] = tv.show(t, me, card)
	_, all["versions"] = tv.GetDocumentVersions(call("getDocumentVersions"), contract.GetDocumentVersionsRequestObject{DocumentID: card})
	_, all["accessLog"] = tv.accessesOf(t, me, whom, contract.GetAccessLogParams{})
	_, all["consents"] = tv.ListConsents(call("listConsents"), contract.ListConsentsRequestObject{Params: contract.ListConsentsParams{CitizenID: &whom}})
	_, all["consentRequests"] = tv.ListConsentRequests(call("listConsentRequests"), contract.ListConsentRequestsRequestObject{Params: contract.ListConsentRequestsParams{CitizenID: &whom}})
	_, all["consent"] = tv.consent(t, me, given)
	_, all["receipt"] = tv.receipt(t, me, given, contract.ReceiptFormatKantara)
	_, all["grantConsent"] = tv.grantAs(t, me, contract.ConsentGrant{CitizenID: &whom, Consumer: railways, Purpose: "ageVerification", DocumentTypes: []contract.DocumentTypeCode{"isiPlusCard"}})
	_, all["grantConsentRequest"] = tv.GrantConsentRequest(call("grantConsentRequest"), contract.GrantConsentRequestRequestObject{ConsentRequestID: given, Params: contract.GrantConsentRequestParams{IdempotencyKey: uuid.New()}, Body: &contract.GrantConsentRequestJSONRequestBody{ShownText: shownToAll}})
	_, all["refuseConsentRequest"] = tv.RefuseConsentRequest(call("refuseConsentRequest"), contract.RefuseConsentRequestRequestObject{ConsentRequestID: given, Params: contract.RefuseConsentRequestParams{IdempotencyKey: uuid.New()}})
	all["withdrawConsent"] = tv.withdraw(t, who, given)
	erasure := contract.ErasureRequest{CitizenID: whom, Scope: contract.ErasureScopeDocument, DocumentID: &card, Reason: "citizenRequest"}
	_, all["requestErasure"] = tv.RequestErasure(tv.as(t, me, "requestErasure", erasure), contract.RequestErasureRequestObject{Params: contract.RequestErasureParams{IdempotencyKey: uuid.New()}, Body: &erasure})
	restriction := contract.RestrictProcessingJSONRequestBody{Reason: "accuracyContested"}
	_, all["restrictProcessing"] = tv.RestrictProcessing(tv.as(t, me, "restrictProcessing", restriction), contract.RestrictProcessingRequestObject{CitizenID: whom, Params: contract.RestrictProcessingParams{IdempotencyKey: uuid.New()}, Body: &restriction})
	_, all["listRestrictions"] = tv.ListRestrictions(call("listRestrictions"), contract.ListRestrictionsRequestObject{CitizenID: whom})
	report := contract.SubjectAccessReportJSONRequestBody{}
	_, all["subjectAccessReport"] = tv.SubjectAccessReport(tv.as(t, me, "subjectAccessReport", report), contract.SubjectAccessReportRequestObject{CitizenID: whom, Params: contract.SubjectAccessReportParams{IdempotencyKey: uuid.New()}, Body: &report})
	return all
}

// What an organisation attested counts while it has the right in the registry: without it the
// parent reads nothing, and nothing is ended, for the registry may give the right again.
func TestF26AMandateSpeaksWhileItIsAttested(t *testing.T) {
	tv := newVault(t)
	card := tv.childCard(t, child(1), 2)
	parent := tv.person(t, 2)
	without := func(r *registry.Registry) { organisation(t, r, socialSecurity).Attests = nil }
	show := func() error { _, err := tv.show(t, citizenCaller(parent), card); return err }
	if err := show(); err != nil {
		t.Fatal(err)
	}
	tv.publish(t, without)
	if err := show(); slugOf(err) != "resourceNotFound" {
		t.Errorf("M-1.10 without the right: %v", err)
	}
	if all := tv.mandatesOf(t, parent); len(all) != 1 || all[0].State != contract.MandateStateExpired || all[0].Reason != mandate.NotAttested {
		t.Errorf("M-1.10 %+v", all)
	}
	tv.publish(t, func(r *registry.Registry) { organisation(t, r, socialSecurity).Retired = true })
	if err := show(); err != nil {
		t.Errorf("M-1.10 by who is retired: %v", err)
	}
	if n := len(recorded[mandate.Ended](t, tv)); n != 0 {
		t.Errorf("%d ended", n)
	}
}

// A registry from before there were rights lets nobody attest: parents do not speak, and the
// start and GET /registry say so.
func TestF26ARegistryWithoutRightsSaysSo(t *testing.T) {
	tv := newVault(t, func(r *registry.Registry) {
		for i := range r.Organisations {
			r.Organisations[i].Attests = nil
		}
		r.Settings = registry.Settings{}
	})
	var said bytes.Buffer
	tv.restart(func(s *settings) { s.Slog = slog.New(slog.NewTextHandler(&said, nil)) })
	for _, a := range registry.Attestations {
		if !strings.Contains(said.String(), string(a)) {
			t.Errorf("the start does not say that nobody attests %s: %s", a, said.String())
		}
	}
	if _, _, err := tv.issueAs(t, socialSecurity, uuid.New(), cardOf(child(1), 2)); slugOf(err) != "parentageRightMissing" {
		t.Error(err)
	}
	show := func() contract.Registry {
		answer, err := tv.GetRegistry(tv.as(t, citizenCaller(domain.CitizenID{}), "getRegistry", nil), contract.GetRegistryRequestObject{})
		if err != nil {
			t.Fatal(err)
		}
		return answer.(contract.GetRegistry200JSONResponse).Body
	}
	if r := show(); len(r.Unattested) != len(registry.Attestations) || r.MinorsDecideFrom != 18 {
		t.Errorf("%v, %d", r.Unattested, r.MinorsDecideFrom)
	}
	tv.publish(t)
	r := show()
	i := slices.IndexFunc(r.Organizations, func(o contract.RegistryOrganization) bool { return o.EnterpriseNumber == homeAffairs })
	if len(r.Unattested) != 0 || r.MinorsDecideFrom != 16 || i < 0 || len(r.Organizations[i].Attests) != 3 {
		t.Errorf("%v, %d, %+v", r.Unattested, r.MinorsDecideFrom, r.Organizations)
	}
}

// From the age in the registry a minor reads and decides alone, and until then the parents do.
func TestF26AMinorDecidesAloneFromAnAge(t *testing.T) {
	tv := newVault(t)
	card := tv.issue(t, socialSecurity, func() contract.DocumentIssue { b := cardOf(child(1)); b.ValidUntil = "2040-12-31"; return b }())
	parent := tv.parentOf(t, child(1), 2)
	kid := tv.person(t, child(1))
	own := contract.ConsentGrant{Consumer: railways, Purpose: "ageVerification", DocumentTypes: []contract.DocumentTypeCode{"isiPlusCard"}}
	friend := contract.MandateGrant{RepresentativeSSIN: ssin(2), Kind: contract.MandateKindRepresentation, Actions: []contract.MandateAction{contract.MandateActionRead}, Until: "2034-01-01"}
	forKid := own
	forKid.CitizenID = &kid
	tv.Clock.Advance(domainDays(t, noon, "2032-04-04"))
	given, err := tv.grantAs(t, citizenCaller(parent), forKid)
	if err != nil {
		t.Fatalf("M-1.12 the day before the parent consents: %v", err)
	}
	if _, err := tv.show(t, citizenCaller(parent), card); err != nil {
		t.Errorf("M-1.12 the day before the parent reads: %v", err)
	}
	if _, err := tv.show(t, citizenCaller(kid), card); err != nil {
		t.Errorf("a child reads what is theirs: %v", err)
	}
	if _, err := tv.grantAs(t, citizenCaller(kid), own); slugOf(err) != "minorDoesNotDecide" {
		t.Errorf("M-1.12 the day before the minor consents: %v", err)
	}
	if _, err := tv.grantMandate(t, citizenCaller(kid), friend); slugOf(err) != "minorDoesNotDecide" {
		t.Errorf("M-1.12 the day before the minor gives a mandate: %v", err)
	}
	if err := tv.withdraw(t, kid, given.ConsentID); err != nil {
		t.Errorf("C-6 a minor withdraws at any age: %v", err)
	}
	second, err := tv.grantAs(t, citizenCaller(parent), forKid)
	if err != nil {
		t.Fatal(err)
	}
	tv.Clock.Advance(domainDays(t, tv.Clock.Now(), "2032-04-05"))
	for name, err := range tv.speakFor(t, parent, kid, card, second.ConsentID) {
		if slugStatus(err) != 404 {
			t.Errorf("M-1.12 the parent of a minor who decides, %s: %v", name, err)
		}
	}
	if all := tv.mandatesOf(t, parent); len(all) != 1 || all[0].State != contract.MandateStateExpired || all[0].Reason != mandate.DecidesAlone {
		t.Errorf("M-1.12 %+v", all)
	}
	if _, err := tv.grantAs(t, citizenCaller(kid), own); err != nil {
		t.Errorf("M-1.12 the minor consents: %v", err)
	}
	if _, err := tv.grantMandate(t, citizenCaller(kid), friend); err != nil {
		t.Errorf("M-1.12 the minor gives a mandate: %v", err)
	}
	if _, err := tv.read(t, consumer(railways), card, uuid.New(), contract.AccessRequest{Purpose: "ageVerification", ConsentID: new(second.ConsentID), Predicate: contract.AskedPredicate{Name: "ageOver12"}}); err != nil {
		t.Errorf("what the parents consented to in their time stands: %v", err)
	}
	if n := len(recorded[mandate.Ended](t, tv)); n != 0 {
		t.Errorf("%d mandates ended: the age is a choice that may change", n)
	}
}

// A number that replaces the child's is the one by which the parents' power is judged.
func TestF26TheRuleFollowsAReplacedNumber(t *testing.T) {
	tv := newVault(t)
	card := tv.childCard(t, child(1), 2)
	parent := tv.person(t, 2)
	replace := func(from, to contract.SSIN) {
		t.Helper()
		body := contract.SSINReplacement{SSIN: from, ReplacedBy: to}
		if _, err := tv.ReplaceSSIN(tv.as(t, issuer(homeAffairs), "replaceSsin", body), contract.ReplaceSSINRequestObject{Params: contract.ReplaceSSINParams{IdempotencyKey: uuid.New()}, Body: &body}); err != nil {
			t.Fatal(err)
		}
	}
	replace(ssin(child(1)), bornOn(t, "150101"))
	if _, err := tv.show(t, citizenCaller(parent), card); err != nil {
		t.Errorf("of a minor still: %v", err)
	}
	replace(bornOn(t, "150101"), bornOn(t, "080101"))
	if _, err := tv.show(t, citizenCaller(parent), card); slugOf(err) != "resourceNotFound" {
		t.Errorf("M-1.11 of an adult by the number of today: %v", err)
	}
	if ended := recorded[mandate.Ended](t, tv); len(ended) != 1 || ended[0].Reason != mandate.NotMinor {
		t.Errorf("M-1.11 %+v", ended)
	}
}

// Whom a court appointed speaks at once, by the word of who may attest it, until that source
// ends it.
func TestF26WhomACourtAppointed(t *testing.T) {
	tv := newVault(t)
	home := tv.household(t, 1)
	body := contract.MandateGrant{SSIN: ssin(1), RepresentativeSSIN: ssin(2), Kind: contract.MandateKindAppointedByCourt, Actions: []contract.MandateAction{contract.MandateActionRead}, Until: "2028-01-01"}
	receipt, err := tv.grantMandate(t, issuer(justice), body)
	if err != nil || receipt.State != contract.MandateStateAccepted {
		t.Fatal(receipt, err)
	}
	tv.waitForReadModels(t)
	protected, guardian := tv.person(t, 1), tv.person(t, 2)
	if _, err := tv.show(t, citizenCaller(guardian), home); err != nil {
		t.Fatal(err)
	}
	end := func(who edge.Caller, reason domain.ReasonCode) error {
		body := contract.MandateEnd{Reason: reason}
		_, err := tv.EndMandate(tv.as(t, who, "endMandate", body), contract.EndMandateRequestObject{MandateID: receipt.MandateID, Params: contract.EndMandateParams{IdempotencyKey: uuid.New()}, Body: &body})
		return err
	}
	for _, who := range []domain.CitizenID{protected, guardian} {
		if err := end(citizenCaller(who), ""); slugOf(err) != "courtMandate" {
			t.Errorf("M-1.10 a citizen ends it: %v", err)
		}
	}
	if err := end(issuer(homeAffairs), mandate.Decision); slugOf(err) != "mandateNotFound" {
		t.Errorf("M-1.7 another source ends it: %v", err)
	}
	if err := end(issuer(justice), mandate.Decision); err != nil {
		t.Fatal(err)
	}
	if _, err := tv.show(t, citizenCaller(guardian), home); slugOf(err) != "resourceNotFound" {
		t.Errorf("M-1.7 after its end: %v", err)
	}
}
