package api

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/eventstore"
	"coffre/eventstore/faulty"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/wallet"
)

// replace reports that a person's number was replaced, and returns whether a merge was
// proposed.
func (tv *testVault) replace(t testing.TB, former, now int) bool {
	t.Helper()
	body := contract.SSINReplacement{SSIN: ssin(former), ReplacedBy: ssin(now)}
	answer, err := tv.ReplaceSSIN(tv.as(t, issuer(homeAffairs), "replaceSsin", body), contract.ReplaceSSINRequestObject{Params: contract.ReplaceSSINParams{IdempotencyKey: uuid.New()}, Body: &body})
	if err != nil {
		t.Fatal(err)
	}
	_, proposed := answer.(contract.ReplaceSSIN202Response)
	return proposed
}

// merge merges the persons with two numbers, of which the second survives, and returns both.
func (tv *testVault) merge(t testing.TB, former, survivor int) (domain.CitizenID, domain.CitizenID) {
	t.Helper()
	a, c := tv.person(t, former), tv.person(t, survivor)
	if !tv.replace(t, former, survivor) {
		t.Fatal("no merge was proposed")
	}
	all := tv.corrections(t, a)
	if _, err := tv.approveCorrection(t, second, a, all[len(all)-1].CorrectionID); err != nil {
		t.Fatal(err)
	}
	tv.waitForReadModels(t)
	return a, c
}

// held returns the documents in the wallet of a citizen, as they see it.
func (tv *testVault) held(t testing.TB, who, whose domain.CitizenID) (ids []domain.DocumentID) {
	t.Helper()
	w, _, err := tv.wallet(t, citizenCaller(who), whose, contract.GetWalletParams{})
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range w.Items {
		ids = append(ids, item.DocumentID)
	}
	return ids
}

// F8: one person has two numbers, and documents under both. The source replaces one by the
// other, an officer decides, and there is one wallet, with nothing lost.
func TestF8TwoNumbersOnePerson(t *testing.T) {
	tv := newVault(t)
	first := contract.DocumentIssue{SSIN: ssin(1), DocumentType: "householdComposition", SourceReference: "bis", ValidFrom: "2026-01-01", Content: contract.Content(household)}
	_, receipt, err := tv.issueAs(t, homeAffairs, uuid.New(), first)
	if err != nil {
		t.Fatal(err)
	}
	old := receipt.DocumentID
	other := tv.issue(t, homeAffairs, contract.DocumentIssue{SSIN: ssin(2), DocumentType: "identityData", Content: contract.Content(identity)})
	card := tv.childCard(t, child(3), 1) // whose parent has the former number
	tv.waitForReadModels(t)
	a, c := tv.person(t, 1), tv.person(t, 2)
	agreed := tv.consentTo(t, a, discount)
	if _, err := tv.read(t, consumer(flanders), old, uuid.New(), allowance); err != nil {
		t.Fatal(err)
	}
	named := func(n int) domain.CitizenRef {
		got, err := tv.lookUp(t, consumer(flanders), contract.CitizenGet{SSIN: ssin(n)})
		if err != nil {
			t.Fatal(err)
		}
		return got.CitizenRef
	}
	refA, refC := named(1), named(2)
	pending, err := tv.requestErasureOf(t, citizenCaller(c), c, domain.DocumentID{}) // before there is a hold
	if err != nil {
		t.Fatal(err)
	}
	hold := tv.placeHold(t, a)

	if !tv.replace(t, 1, 2) {
		t.Fatal("no merge was proposed")
	}
	proposed := tv.corrections(t, a)
	if len(proposed) != 1 || proposed[0].Kind != contract.CorrectionKindMerge || proposed[0].SurvivingCitizenID != c || proposed[0].ProposedBy != contract.ActorRoleIssuer {
		t.Fatalf("%+v", proposed)
	}
	if got := tv.held(t, c, c); len(got) != 1 || got[0] != other {
		t.Fatalf("P-7 one person alone merged them: %v", got)
	}
	if _, err := tv.approveCorrection(t, second, a, proposed[0].CorrectionID); err != nil {
		t.Fatal(err)
	}
	tv.waitForReadModels(t)
	me := citizenCaller(c)

	t.Run("both numbers and both references lead to one person", func(t *testing.T) {
		for _, n := range []int{1, 2} {
			id, err := tv.Resolve(t.Context(), &edge.Call{Caller: consumer(flanders)}, ssin(n), nil)
			if err != nil || id != c {
				t.Errorf("number %d: %v, %v", n, id, err)
			}
		}
		for _, ref := range []domain.CitizenRef{refA, refC} {
			got, err := tv.evidenceOf(t, flanders, contract.EvidenceQuery{
				CitizenRef: &ref, Procedure: "schoolEnrolmentAllowance", Purpose: "schoolAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010",
				Needs: []contract.EvidenceNeed{{DocumentType: "householdComposition"}, {DocumentType: "identityData"}},
			})
			if err != nil || outcomesIn(got) != "held held" {
				t.Errorf("%q, %v", outcomesIn(got), err)
			}
		}
	})
	t.Run("one wallet", func(t *testing.T) {
		for _, whose := range []domain.CitizenID{c, a} {
			if got := tv.held(t, c, whose); len(got) != 3 || !slices.Contains(got, old) || !slices.Contains(got, other) || !slices.Contains(got, card) {
				t.Errorf("%v, want %v %v %v", got, old, other, card)
			}
		}
		for _, id := range []domain.DocumentID{old, other, card} {
			if _, err := tv.show(t, me, id); err != nil {
				t.Errorf("%v: %v", id, err)
			}
		}
		if got := tv.held(t, tv.person(t, child(3)), tv.person(t, child(3))); len(got) != 1 {
			t.Errorf("somebody else holds %v", got)
		}
	})
	t.Run("what is issued again is met, what is new is the survivor's", func(t *testing.T) {
		for _, n := range []int{1, 2} {
			again := first
			again.SSIN = ssin(n)
			isNew, receipt, err := tv.issueAs(t, homeAffairs, uuid.New(), again)
			if err != nil || isNew || receipt.DocumentID != old {
				t.Errorf("D-4 number %d: new %t, %v, %v", n, isNew, receipt.DocumentID, err)
			}
		}
		if _, err := tv.update(t, homeAffairs, old, `"1"`, household); err != nil && slugOf(err) != "contentUnchanged" {
			t.Errorf("its issuer: %v", err)
		}
	})
	t.Run("one access log", func(t *testing.T) {
		tv.waitIdle(t)
		page, err := tv.accessesOf(t, me, c, contract.GetAccessLogParams{})
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, item := range page.Items {
			if item.DocumentID == old && item.Organization == flanders {
				found++
			}
		}
		if found != 3 { // one before the merge, two by reference after it
			t.Errorf("%d accesses to the former document", found)
		}
	})
	t.Run("one consent, given by either, withdrawn by the survivor", func(t *testing.T) {
		under := contract.AccessRequest{Purpose: "familyDiscount", ConsentID: &agreed}
		if _, err := tv.read(t, consumer(railways), old, uuid.New(), under); err != nil {
			t.Fatal(err)
		}
		list, err := tv.ListConsents(tv.as(t, me, "listConsents", nil), contract.ListConsentsRequestObject{})
		if err != nil || len(list.(contract.ListConsents200JSONResponse).Items) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		if err := tv.withdraw(t, c, agreed); err != nil {
			t.Fatal(err)
		}
		if _, err := tv.read(t, consumer(railways), old, uuid.New(), under); slugOf(err) != "consentWithdrawn" {
			t.Errorf("withdrawn: %v", err)
		}
		anew := tv.consentTo(t, c, discount)
		if _, err := tv.read(t, consumer(railways), old, uuid.New(), contract.AccessRequest{Purpose: "familyDiscount", ConsentID: &anew}); err != nil {
			t.Errorf("C-2 the survivor's consent does not cover what they hold: %v", err)
		}
	})
	t.Run("one report", func(t *testing.T) {
		report, err := tv.reportOn(t, me, c, uuid.New())
		if err != nil || len(report.SSIN) != 2 || len(report.Documents) != 2 || len(report.Consents) != 2 || len(report.LegalHolds) != 1 || len(report.Mandates) != 1 {
			t.Errorf("%d numbers, %d documents, %d consents, %d holds, %d mandates, %v", len(report.SSIN), len(report.Documents), len(report.Consents), len(report.LegalHolds), len(report.Mandates), err)
		}
	})
	t.Run("a hold on either stops both", func(t *testing.T) {
		for _, one := range []domain.DocumentID{{}, old, other} {
			if _, err := tv.requestErasureOf(t, me, c, one); slugOf(err) != "legalHold" {
				t.Errorf("E-1 %v: %v", one, err)
			}
		}
		if err := tv.approve(t, second, pending); slugOf(err) != "legalHold" {
			t.Errorf("E-1 asked for before the merge: %v", err)
		}
		tv.liftHold(t, c, hold)
	})
	t.Run("erasing one forgets both", func(t *testing.T) {
		sealed := append(tv.sealedRecordsOf(t, a), tv.sealedRecordsOf(t, c)...)
		id := tv.erase(t, c, domain.DocumentID{})
		tv.waitIdle(t)
		if state := tv.erasureState(t, id); state != contract.ErasureStateKeysDestroyed {
			t.Fatalf("it is %s", state)
		}
		for _, r := range sealed {
			if err := tv.open(t, r); !errors.Is(err, eventstore.ErrErased) {
				t.Errorf("E-3 %s of %s opens, or: %v", r.Type, r.Stream, err)
			}
		}
		for _, n := range []int{1, 2} {
			if err := tv.tryIssue(t, homeAffairs, contract.DocumentIssue{SSIN: ssin(n), DocumentType: "householdComposition", Content: contract.Content(household)}); slugOf(err) != "citizenErased" {
				t.Errorf("E-4 number %d: %v", n, err)
			}
		}
		certificate, _ := tv.certificateOf(t, id)
		if certificate.UnreadableEvents < int64(len(sealed)) {
			t.Errorf("the certificate counts %d events of %d", certificate.UnreadableEvents, len(sealed))
		}
		var gone []domain.CitizenID
		for _, e := range recorded[citizen.KeyDestroyed](t, tv) {
			gone = append(gone, e.Citizen)
		}
		if !slices.Equal(gone, []domain.CitizenID{a, c}) {
			t.Errorf("on record as forgotten: %v", gone)
		}
		tv.waitForReadModels(t)
		for _, life := range []domain.CitizenID{a, c} {
			if err := tv.Wallets.Of(t.Context(), life, projections.Latest, func(h *wallet.Held) error { return errors.New("held") }); err != nil {
				t.Errorf("%v: %v", life, err)
			}
		}
	})
}

// P-7: a merge is undone by two officers as it was made; each number leads to its own person
// again, with what was theirs.
func TestMergeIsUndone(t *testing.T) {
	tv := newVault(t)
	old := tv.household(t, 1)
	other := tv.household(t, 2)
	a, c := tv.merge(t, 1, 2)
	meanwhile := tv.issue(t, homeAffairs, contract.DocumentIssue{SSIN: ssin(1), DocumentType: "identityData", Content: contract.Content(identity)})
	undo, err := tv.proposeCorrection(t, officer, a, contract.CorrectionPropose{Kind: contract.CorrectionKindSeparation})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tv.approveCorrection(t, officer, a, undo.CorrectionID); slugOf(err) != "secondPersonNeeded" {
		t.Errorf("one person alone: %v", err)
	}
	if _, err := tv.approveCorrection(t, second, a, undo.CorrectionID); err != nil {
		t.Fatal(err)
	}
	tv.waitForReadModels(t)
	if got := tv.held(t, a, a); !slices.Equal(got, []domain.DocumentID{old}) {
		t.Errorf("the former holds %v", got)
	}
	if got := tv.held(t, c, c); len(got) != 2 || !slices.Contains(got, other) || !slices.Contains(got, meanwhile) {
		t.Errorf("the survivor holds %v", got)
	}
	if _, err := tv.show(t, citizenCaller(c), old); slugOf(err) != "resourceNotFound" {
		t.Errorf("the survivor sees what is not theirs: %v", err)
	}
	if _, err := tv.proposeCorrection(t, officer, a, contract.CorrectionPropose{Kind: contract.CorrectionKindSeparation}); slugOf(err) != "citizenNotMerged" {
		t.Errorf("twice: %v", err)
	}
	tv.merge(t, 1, 2) // and it may be merged again
	if got := tv.held(t, c, c); len(got) != 3 {
		t.Errorf("merged again, the survivor holds %v", got)
	}
}

// P-7: whatever append of an approval fails, and however, approving again merges both once,
// and until then neither is merged.
func TestMergeGoesOnAfterACrash(t *testing.T) {
	for n := 1; n <= 2; n++ {
		for _, fault := range []faulty.Fault{{Before: eventstore.ErrUnavailable}, {After: eventstore.ErrOutcomeUnknown}} {
			tv := newVault(t)
			tv.household(t, 1)
			tv.household(t, 2)
			a, c := tv.person(t, 1), tv.person(t, 2)
			proposed, err := tv.proposeCorrection(t, officer, a, contract.CorrectionPropose{Kind: contract.CorrectionKindMerge, SurvivingCitizenID: &c})
			if err != nil {
				t.Fatal(err)
			}
			tv.waitIdle(t)
			tv.Store.SetRule(func(call faulty.Call) faulty.Fault {
				if call.Method == faulty.Append && call.N == n {
					return fault
				}
				return faulty.Fault{}
			})
			_, err = tv.approveCorrection(t, second, a, proposed.CorrectionID)
			tv.Store.SetRule(nil)
			if (err != nil) != (fault.Before != nil) { // an unknown outcome is settled by event ids
				t.Errorf("append %d: %v", n, err)
			}
			if merged := len(recorded[citizen.MergedInto](t, tv)) > 0; merged != (fault.Before == nil) {
				t.Errorf("append %d: merged %t", n, merged)
			}
			if done, err := tv.approveCorrection(t, second, a, proposed.CorrectionID); err != nil || done.State != contract.CorrectionStateCompleted {
				t.Fatal(done, err)
			}
			if a, c := len(recorded[citizen.MergedInto](t, tv)), len(recorded[citizen.Merged](t, tv)); a != 1 || c != 1 {
				t.Errorf("append %d: %d and %d on record", n, a, c)
			}
			if p, err := tv.LoadPerson(t.Context(), a); err != nil || p.ID != c || len(p.Lives) != 2 {
				t.Errorf("append %d: %+v, %v", n, p, err)
			}
		}
	}
}

// M-1.12: a minor by the number of today decides nothing alone, under whichever of their lives;
// and who is an adult by it has no parent who speaks for them, whichever life a mandate names.
func TestAgeOfAMergedPersonIsThatOfTheSurvivor(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	tv.childCard(t, child(2))
	a, c := tv.merge(t, 1, child(2))
	for _, whose := range []*domain.CitizenID{nil, &a, &c} {
		body := discount
		body.CitizenID = whose
		if _, err := tv.grantAs(t, citizenCaller(c), body); slugOf(err) != "minorDoesNotDecide" {
			t.Errorf("a minor decides: %v", err)
		}
	}

	card := tv.childCard(t, child(3), 4)
	tv.household(t, 5)
	if _, err := tv.show(t, citizenCaller(tv.person(t, 4)), card); err != nil {
		t.Fatal(err)
	}
	tv.merge(t, child(3), 5)
	if _, err := tv.show(t, citizenCaller(tv.person(t, 4)), card); slugOf(err) != "resourceNotFound" {
		t.Errorf("a parent speaks for an adult: %v", err)
	}
}
