package api

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/domain/mandate"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/work"
)

// proposeCorrection proposes a correction as an officer.
func (tv *testVault) proposeCorrection(t testing.TB, by edge.Caller, of domain.CitizenID, body contract.CorrectionPropose) (contract.Correction, error) {
	t.Helper()
	answer, err := tv.ProposeCorrection(tv.as(t, by, "proposeCorrection", body), contract.ProposeCorrectionRequestObject{
		CitizenID: of, Params: contract.ProposeCorrectionParams{IdempotencyKey: uuid.New()}, Body: &body,
	})
	if err != nil {
		return contract.Correction{}, err
	}
	return answer.(contract.ProposeCorrection202JSONResponse).Body, nil
}

// approveCorrection approves a correction.
func (tv *testVault) approveCorrection(t testing.TB, by edge.Caller, of domain.CitizenID, id domain.CorrectionID) (contract.Correction, error) {
	t.Helper()
	answer, err := tv.ApproveCorrection(tv.as(t, by, "approveCorrection", nil), contract.ApproveCorrectionRequestObject{
		CitizenID: of, CorrectionID: id, Params: contract.ApproveCorrectionParams{IdempotencyKey: uuid.New()},
	})
	if err != nil {
		return contract.Correction{}, err
	}
	return answer.(contract.ApproveCorrection200JSONResponse).Body, nil
}

// corrections lists those of a citizen.
func (tv *testVault) corrections(t testing.TB, of domain.CitizenID) []contract.Correction {
	t.Helper()
	answer, err := tv.ListCorrections(tv.as(t, officer, "listCorrections", nil), contract.ListCorrectionsRequestObject{CitizenID: of})
	if err != nil {
		t.Fatal(err)
	}
	return answer.(contract.ListCorrections200JSONResponse).Items
}

// P-6: a death that was reported in error is corrected by two persons. The person lives
// again; what the death ended stays ended, whether the vault had come to end it or not.
func TestDeathReportedInError(t *testing.T) {
	for name, ended := range map[string]bool{"what it ends was ended": true, "what it ends was not ended yet": false} {
		t.Run(name, func(t *testing.T) {
			tv := newVault(t)
			card := tv.childCard(t, child(1), 1)
			tv.household(t, 1)
			tv.waitForReadModels(t)
			ana, kid := tv.person(t, 1), tv.person(t, child(1))
			me := citizenCaller(ana)
			agreed := tv.consentTo(t, ana, discount)
			parent := tv.mandateOf(t, ana, kid)
			tv.reportDeath(t, 1)
			end := func() {
				if err := tv.WithdrawForDeath(t.Context(), agreed, work.Consequence{ID: uuid.New()}); err != nil {
					t.Fatal(err)
				}
				if err := tv.EndForDeath(t.Context(), parent, work.Consequence{ID: uuid.New()}); err != nil {
					t.Fatal(err)
				}
			}
			if ended {
				end()
			}
			if _, err := tv.grantAs(t, me, discount); err == nil {
				t.Fatalf("the dead consent: %v", err)
			}

			body := contract.DeathCorrection{SSIN: ssin(1), CaseReference: "quetzal 1"}
			if _, err := tv.CorrectDeath(tv.as(t, issuer(homeAffairs), "correctDeath", body), contract.CorrectDeathRequestObject{Params: contract.CorrectDeathParams{IdempotencyKey: uuid.New()}, Body: &body}); err != nil {
				t.Fatal(err)
			}
			if _, err := tv.CorrectDeath(tv.as(t, issuer(flanders), "correctDeath", body), contract.CorrectDeathRequestObject{Params: contract.CorrectDeathParams{IdempotencyKey: uuid.New()}, Body: &body}); slugOf(err) != "deathRightMissing" {
				t.Errorf("another issuer: %v", err)
			}
			listed := tv.corrections(t, ana)
			if len(listed) != 1 || listed[0].Kind != contract.CorrectionKindDeathInError || listed[0].State != contract.CorrectionStateProposed || listed[0].ProposedBy != contract.ActorRoleIssuer ||
				listed[0].Organization != homeAffairs || listed[0].CaseReference != "quetzal 1" {
				t.Fatalf("%+v", listed)
			}
			if tv.standingOf(t, ana) != citizen.Dead {
				t.Error("one person alone corrected it")
			}
			done, err := tv.approveCorrection(t, second, ana, listed[0].CorrectionID)
			if err != nil || done.State != contract.CorrectionStateCompleted {
				t.Fatalf("%+v, %v", done, err)
			}
			if tv.standingOf(t, ana) != citizen.Living {
				t.Error("still dead")
			}

			tv.waitForReadModels(t)
			if _, err := tv.read(t, consumer(railways), tv.household(t, 1), uuid.New(), contract.AccessRequest{Purpose: "familyDiscount", ConsentID: &agreed}); slugOf(err) != "consentWithdrawn" && slugOf(err) != "noBasis" {
				t.Errorf("the consent from before: %v", err)
			}
			if _, err := tv.show(t, me, card); slugOf(err) != "resourceNotFound" {
				t.Errorf("the mandate from before: %v", err)
			}

			tv.Clock.Advance(time.Minute)
			anew := tv.consentTo(t, ana, discount)
			again := tv.issue(t, socialSecurity, contract.DocumentIssue{SSIN: ssin(child(1)), DocumentType: "isiPlusCard", Content: contract.Content(childCard), Parents: []contract.SSIN{ssin(1)}})
			tv.waitForReadModels(t)
			if _, err := tv.show(t, me, again); err != nil {
				t.Errorf("a parent named anew: %v", err)
			}
			granted := recorded[mandate.Granted](t, tv)
			newer := granted[len(granted)-1].Mandate
			if newer == parent || len(granted) != 2 {
				t.Errorf("the mandate that ended for good was given anew: %d grants", len(granted))
			}
			end() // late
			if err := tv.WithdrawForDeath(t.Context(), anew, work.Consequence{ID: uuid.New()}); err != nil {
				t.Fatal(err)
			}
			if err := tv.EndForDeath(t.Context(), newer, work.Consequence{ID: uuid.New()}); err != nil {
				t.Fatal(err)
			}
			for _, w := range recorded[consent.Withdrawn](t, tv) {
				if w.Consent == anew {
					t.Error("a consent given anew was withdrawn for the former death")
				}
			}
			for _, e := range recorded[mandate.Ended](t, tv) {
				if e.Mandate == newer {
					t.Error("a mandate given anew ended for the former death")
				}
			}
			tv.reportDeath(t, 1)
			if tv.standingOf(t, ana) != citizen.Dead {
				t.Error("a death after a correction is not recorded")
			}
			for _, r := range tv.log(t) {
				if strings.Contains(string(r.Clear), "quetzal") {
					t.Errorf("%s holds a case in clear", r.Type)
				}
			}
		})
	}
}

// P-6: two officers may do it as well; nobody decides what they proposed.
func TestTwoOfficersCorrect(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	ana := tv.person(t, 1)
	wrong := contract.CorrectionPropose{Kind: contract.CorrectionKindDeathInError}
	if _, err := tv.proposeCorrection(t, officer, ana, wrong); slugOf(err) != "citizenNotDeceased" {
		t.Errorf("of somebody living: %v", err)
	}
	if _, err := tv.proposeCorrection(t, officer, domain.CitizenID{UUID: uuid.New()}, wrong); slugOf(err) != "citizenNotFound" {
		t.Errorf("of nobody: %v", err)
	}
	tv.reportDeath(t, 1)
	proposed, err := tv.proposeCorrection(t, officer, ana, wrong)
	if err != nil || proposed.State != contract.CorrectionStateProposed || proposed.ProposedBy != contract.ActorRolePrivacyOfficer {
		t.Fatal(proposed, err)
	}
	if _, err := tv.approveCorrection(t, officer, ana, proposed.CorrectionID); slugOf(err) != "secondPersonNeeded" {
		t.Errorf("who proposed it: %v", err)
	}
	if _, err := tv.approveCorrection(t, second, ana, domain.CorrectionID{UUID: uuid.New()}); slugOf(err) != "correctionNotFound" {
		t.Errorf("another: %v", err)
	}
	tv.Clock.Advance(31 * 24 * time.Hour)
	if _, err := tv.approveCorrection(t, second, ana, proposed.CorrectionID); slugOf(err) != "correctionLapsed" {
		t.Errorf("too late: %v", err)
	}
	if listed := tv.corrections(t, ana); len(listed) != 1 || listed[0].State != contract.CorrectionStateLapsed {
		t.Errorf("%+v", listed)
	}
	if proposed, err = tv.proposeCorrection(t, officer, ana, wrong); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if done, err := tv.approveCorrection(t, second, ana, proposed.CorrectionID); err != nil || done.State != contract.CorrectionStateCompleted {
			t.Fatal(done, err)
		}
	}
	if n := len(recorded[citizen.DeathCorrected](t, tv)); n != 1 {
		t.Errorf("%d corrections on record", n)
	}
}

// standingOf returns how a citizen stands.
func (tv *testVault) standingOf(t testing.TB, id domain.CitizenID) citizen.Standing {
	t.Helper()
	p, err := tv.LoadPerson(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return p.Standing
}
