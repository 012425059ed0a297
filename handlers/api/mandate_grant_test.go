package api

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/domain/mandate"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

func (tv *testVault) grantMandate(t testing.TB, who edge.Caller, body contract.MandateGrant) (contract.MandateReceipt, error) {
	t.Helper()
	answer, err := tv.GrantMandate(tv.as(t, who, "grantMandate", body), contract.GrantMandateRequestObject{Params: contract.GrantMandateParams{IdempotencyKey: uuid.New()}, Body: &body})
	if err != nil {
		return contract.MandateReceipt{}, err
	}
	return answer.(contract.GrantMandate201JSONResponse).Body, nil
}

// A citizen who names a representative learns nothing of that person, whatever is
// wrong with the mandate and wherever they look (rule A-6).
func TestMandateDoesNotTellWhomTheVaultKnows(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	tv.household(t, 2) // known
	tv.household(t, 3) // known, and dead
	tv.reportDeath(t, 3)
	me := citizenCaller(tv.person(t, 1))
	good := contract.MandateGrant{Kind: contract.MandateKindRepresentation, Actions: []contract.MandateAction{contract.MandateActionRead}, Until: "2027-01-01"}
	with := func(f func(*contract.MandateGrant)) contract.MandateGrant { b := good; f(&b); return b }
	for name, body := range map[string]contract.MandateGrant{
		"that has ended":           with(func(b *contract.MandateGrant) { b.Until = "2020-01-01" }),
		"with an action twice":     with(func(b *contract.MandateGrant) { b.Actions = append(b.Actions, contract.MandateActionRead) }),
		"that only a source gives": with(func(b *contract.MandateGrant) { b.Kind = contract.MandateKindParentOfMinor }),
		"that is good":             good,
	} {
		slugs := map[int]string{}
		for _, n := range []int{2, 3, 99} {
			body.RepresentativeSSIN = ssin(n)
			_, err := tv.grantMandate(t, me, body)
			slugs[n] = slugOf(err)
		}
		if slugs[2] != slugs[99] || slugs[3] != slugs[99] {
			t.Errorf("A-6 a mandate %s: %v", name, slugs)
		}
	}
	// Somebody whom the vault does not know has no mandate to give, whoever is named.
	for _, n := range []int{2, 99} {
		body := good
		body.RepresentativeSSIN = ssin(n)
		if _, err := tv.grantMandate(t, edge.Caller{Role: domain.RoleCitizen, Subject: "new"}, body); slugOf(err) != "mayNotGrantMandate" {
			t.Errorf("%d: %v", n, err)
		}
	}
	tv.waitForReadModels(t)
	answer, err := tv.ListMandates(tv.as(t, me, "listMandates", nil), contract.ListMandatesRequestObject{})
	if err != nil {
		t.Fatal(err)
	}
	listed := answer.(contract.ListMandates200JSONResponse).Items
	if len(listed) != 3 {
		t.Fatalf("A-6 of three mandates %d are listed", len(listed))
	}
	for _, m := range listed {
		if !m.RepresentativeCitizenID.IsZero() || m.State != contract.MandateStateGranted {
			t.Errorf("A-6 %+v", m)
		}
		end := contract.MandateEnd{}
		if _, err := tv.EndMandate(tv.as(t, me, "endMandate", end), contract.EndMandateRequestObject{MandateID: m.MandateID, Params: contract.EndMandateParams{IdempotencyKey: uuid.New()}, Body: &end}); err != nil {
			t.Errorf("M-1.7 %v", err)
		}
	}
}

// A refused mandate registers nobody: an issuer cannot fill the vault with people by granting
// mandates that it may not grant.
func TestRefusedMandateRegistersNobody(t *testing.T) {
	tv := newVault(t)
	body := contract.MandateGrant{SSIN: ssin(child(1)), RepresentativeSSIN: ssin(2), Kind: contract.MandateKindParentOfMinor, Actions: []contract.MandateAction{contract.MandateActionRead}, Until: "2034-04-05"}
	for name, test := range map[string]struct {
		by   domain.Organisation
		slug string
		body contract.MandateGrant
	}{
		"by another than the source": {flanders, "parentageRightMissing", body},
		"that has ended":             {homeAffairs, "citizenNotMinor", func() contract.MandateGrant { b := body; b.Until = "2020-01-01"; return b }()},
		"over oneself":               {homeAffairs, "mandateToSelf", func() contract.MandateGrant { b := body; b.RepresentativeSSIN = b.SSIN; return b }()},
	} {
		if _, err := tv.grantMandate(t, issuer(test.by), test.body); slugOf(err) != test.slug {
			t.Errorf("%s: %v", name, err)
		}
		if n := len(recorded[citizen.Registered](t, tv)); n != 0 {
			t.Errorf("M-1.4 a mandate %s: %d people registered", name, n)
		}
	}
	if _, err := tv.grantMandate(t, issuer(homeAffairs), body); err != nil || len(recorded[mandate.Granted](t, tv)) != 1 {
		t.Error(err)
	}
}

// parentOf records, by the word of Home Affairs, that one person is the other's parent, who may
// read and consent about some types or all, and returns the parent.
func (tv *testVault) parentOf(t testing.TB, kid, parent int, types ...domain.DocumentType) domain.CitizenID {
	t.Helper()
	body := contract.MandateGrant{SSIN: ssin(kid), RepresentativeSSIN: ssin(parent), Kind: contract.MandateKindParentOfMinor, DocumentTypes: types,
		Actions: []contract.MandateAction{contract.MandateActionRead, contract.MandateActionConsent}, Until: "2034-04-05"}
	if _, err := tv.grantMandate(t, issuer(homeAffairs), body); err != nil {
		t.Fatal(err)
	}
	tv.waitForReadModels(t)
	return tv.person(t, parent)
}

// M-1.8, M-1.11: a source names a child by a number that was replaced, and the number of today
// decides. The source is told neither that nor a death or an erasure, and no mandate is made.
func TestSourceIsNotToldWhyAMandateIsRefused(t *testing.T) {
	tv := newVault(t)
	tv.childCard(t, child(1))
	tv.childCard(t, child(2))
	tv.household(t, 3)
	tv.household(t, 4)
	if tv.replace(t, child(1), 5) { // the number of an adult
		t.Fatal("a merge was proposed")
	}
	tv.reportDeath(t, child(2))
	tv.reportDeath(t, 4)
	tv.household(t, 6)
	tv.erase(t, tv.person(t, 6), domain.DocumentID{})
	tv.waitIdle(t)
	before := len(recorded[document.Issued](t, tv))

	pairs := map[string][2]int{"an adult by the number of today": {child(1), 3}, "a dead child": {child(2), 3}, "a dead parent": {child(9), 4}, "an erased parent": {child(9), 6}}
	answers := make(map[string]bool)
	for name, pair := range pairs {
		over := contract.MandateGrant{SSIN: ssin(pair[0]), RepresentativeSSIN: ssin(pair[1]), Kind: contract.MandateKindParentOfMinor, Actions: []contract.MandateAction{contract.MandateActionRead}, Until: "2034-04-05"}
		_, err := tv.grantMandate(t, issuer(homeAffairs), over)
		if slugOf(err) != "mandateRefused" {
			t.Errorf("M-1.8 M-1.11 a mandate with %s: %v", name, err)
		}
		answers[fmt.Sprint(err)] = true
		_, _, err = tv.issueAs(t, socialSecurity, uuid.New(), cardOf(pair[0], pair[1]))
		if slugOf(err) != "mandateRefused" {
			t.Errorf("M-1.8 M-1.11 a card that names %s: %v", name, err)
		}
		answers[fmt.Sprint(err)] = true
	}
	if len(answers) != 1 {
		t.Errorf("M-1.8 the refusals differ: %v", answers)
	}
	if d, m := len(recorded[document.Issued](t, tv))-before, len(recorded[mandate.Granted](t, tv)); d+m != 0 {
		t.Errorf("%d documents, %d mandates", d, m)
	}
}
