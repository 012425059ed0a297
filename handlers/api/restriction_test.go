package api

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// restrict asks for a restriction of processing as somebody.
func (tv *testVault) restrict(t testing.TB, as edge.Caller, of domain.CitizenID, body contract.RestrictionAsk) (contract.Restriction, error) {
	t.Helper()
	answer, err := tv.RestrictProcessing(tv.as(t, as, "restrictProcessing", body), contract.RestrictProcessingRequestObject{
		CitizenID: of, Params: contract.RestrictProcessingParams{IdempotencyKey: uuid.New()}, Body: &body,
	})
	if err != nil {
		return contract.Restriction{}, err
	}
	return answer.(contract.RestrictProcessing201JSONResponse).Body, nil
}

func (tv *testVault) liftRestriction(t testing.TB, as edge.Caller, of domain.CitizenID, id domain.RestrictionID, informed domain.Date) error {
	t.Helper()
	body := contract.RestrictionLift{CitizenInformed: informed}
	_, err := tv.LiftRestriction(tv.as(t, as, "liftRestriction", body), contract.LiftRestrictionRequestObject{
		CitizenID: of, RestrictionID: id, Params: contract.LiftRestrictionParams{IdempotencyKey: uuid.New()}, Body: &body,
	})
	return err
}

var contested = contract.RestrictionAsk{Reason: "accuracyContested"}

// P-5: while processing is restricted no consumer and no issuer reads, by no path, and a
// consumer is answered as without a basis; the citizen sees their wallet.
func TestRestrictedProcessingStopsDisclosures(t *testing.T) {
	tv := newVault(t)
	id, who := tv.household(t, 1), tv.person(t, 1)
	me := citizenCaller(who)
	consent := tv.consentTo(t, who, contract.ConsentGrant{})
	underConsent := contract.AccessRequest{Purpose: "schoolAllowance", ConsentID: &consent}
	never := underConsent
	never.ConsentID = &domain.ConsentID{UUID: uuid.New()}
	r, err := tv.restrict(t, me, who, contested)
	if err != nil {
		t.Fatal(err)
	}
	_, withoutBasis := tv.read(t, consumer(flanders), id, uuid.New(), never)
	_, byLaw := tv.read(t, consumer(flanders), id, uuid.New(), allowance)
	_, byConsent := tv.read(t, consumer(flanders), id, uuid.New(), underConsent)
	_, evidence := tv.evidenceOf(t, flanders, contract.EvidenceQuery{
		SSIN: ssin(1), Purpose: "schoolAllowance", Procedure: "schoolEnrolmentAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010", CaseReference: "c",
		Needs: []contract.EvidenceNeed{{DocumentType: "householdComposition"}},
	})
	_, absent := tv.evidenceOf(t, flanders, contract.EvidenceQuery{
		SSIN: ssin(1), Purpose: "schoolAllowance", Procedure: "schoolEnrolmentAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010", CaseReference: "c",
		Needs: []contract.EvidenceNeed{{DocumentType: "isiPlusCard"}},
	})
	noBasis, _, _, _ := edge.Describe(withoutBasis, acting.ErrorAnswers)
	for name, err := range map[string]error{"by law": byLaw, "under a consent": byConsent, "evidence": evidence, "evidence of what is not held": absent} {
		answer, _, _, _ := edge.Describe(err, acting.ErrorAnswers)
		if !errors.Is(err, access.ErrRestricted) || asJSON(t, answer) != asJSON(t, noBasis) {
			t.Errorf("P-5 %s: %v, without a basis: %v", name, err, withoutBasis)
		}
	}
	validate := func(under domain.ConsentID) (contract.ValidateConsentResponseObject, error) {
		body := contract.ConsentValidation{DocumentID: &id, Purpose: "schoolAllowance", ConsentID: &under}
		return tv.ValidateConsent(tv.as(t, consumer(flanders), "validateConsent", body), contract.ValidateConsentRequestObject{Body: &body})
	}
	validated, err := validate(consent)
	none, failed := validate(*never.ConsentID)
	if err != nil || failed != nil || asJSON(t, validated) != asJSON(t, none) {
		t.Errorf("P-5 validating tells: %s (%v), without a basis %s (%v)", asJSON(t, validated), err, asJSON(t, none), failed)
	}
	if _, err := tv.show(t, issuer(homeAffairs), id); !errors.Is(err, access.ErrReadBackRestricted) {
		t.Errorf("P-5 the issuer: %v", err)
	}
	if w, _, err := tv.wallet(t, me, who, contract.GetWalletParams{}); err != nil || len(w.Items) != 1 || len(w.Items[0].Content) == 0 {
		t.Errorf("P-5 the citizen's own wallet: %+v", w)
	}
	tv.waitIdle(t)
	if n := len(recorded[access.Authorized](t, tv)); n != 0 {
		t.Errorf("P-5 %d accesses on record", n)
	}
	restricted := 0
	for _, refused := range recorded[access.Refused](t, tv) {
		if refused.Reason == access.Restricted && refused.Citizen == who {
			restricted++
		}
	}
	if restricted < 5 {
		t.Errorf("A-3 the citizen sees %d refusals by the restriction, want 5", restricted)
	}

	tv.Clock.Advance(time.Second)
	// A consent that is given afterwards counts.
	underConsent.ConsentID = new(tv.consentTo(t, who, contract.ConsentGrant{}))
	if got, err := tv.read(t, consumer(flanders), id, uuid.New(), underConsent); err != nil || len(got.Content) == 0 {
		t.Errorf("P-5 under a consent given since: %v", err)
	}
	if err := tv.liftRestriction(t, me, who, r.RestrictionID, ""); err != nil {
		t.Fatal(err)
	}
	if got, err := tv.read(t, consumer(flanders), id, uuid.New(), allowance); err != nil || len(got.Content) == 0 {
		t.Errorf("P-5 by law, after it was lifted: %v", err)
	}
}

// P-5: a basis that the registry says is for a ground of GDPR art. 18(2) counts all the same.
func TestRestrictedProcessingForLegalClaims(t *testing.T) {
	tv := newVault(t, func(r *registry.Registry) {
		for i, one := range organisation(t, r, flanders).Registrations {
			for j, b := range one.Bases {
				if b.Deliberation == allowance.Deliberation {
					organisation(t, r, flanders).Registrations[i].Bases[j].DespiteRestriction = registry.LegalClaims
				}
			}
		}
	})
	id, who := tv.household(t, 1), tv.person(t, 1)
	if _, err := tv.restrict(t, officer, who, contested); err != nil {
		t.Fatal(err)
	}
	if got, err := tv.read(t, consumer(flanders), id, uuid.New(), allowance); err != nil || len(got.Content) == 0 {
		t.Errorf("P-5 %v", err)
	}
}

// P-5 and A-1: a restriction that comes between the record of an access and its disclosure
// withholds it.
func TestRestrictionBetweenRecordAndDisclosure(t *testing.T) {
	tv := newVault(t)
	id, who := tv.household(t, 1), tv.person(t, 1)
	tv.afterAppend(t, func() {
		if _, err := tv.restrict(t, citizenCaller(who), who, contested); err != nil {
			t.Error(err)
		}
	})
	got, err := tv.read(t, consumer(flanders), id, uuid.New(), allowance)
	if !errors.Is(err, access.ErrRestricted) || got.Content != nil {
		t.Errorf("P-5 %v, %s", err, got.Content)
	}
	tv.Store.SetRule(nil)
	tv.waitIdle(t)
	if all := recorded[access.Disclosed](t, tv); len(all) != 1 || all[0].Outcome != access.Withheld {
		t.Errorf("A-1 %+v", all)
	}
}

// P-5: a restriction of one document stops that one; evidence does not say that it is not held.
func TestRestrictedDocument(t *testing.T) {
	tv := newVault(t)
	id, who := tv.household(t, 1), tv.person(t, 1)
	other := tv.household(t, 2)
	if _, err := tv.restrict(t, citizenCaller(who), who, contract.RestrictionAsk{Reason: "accuracyContested", DocumentID: &other}); slugOf(err) != "documentNotFound" {
		t.Errorf("P-5 somebody else's document: %v", err)
	}
	if _, err := tv.restrict(t, citizenCaller(who), who, contract.RestrictionAsk{Reason: "accuracyContested", DocumentID: &id}); err != nil {
		t.Fatal(err)
	}
	if _, err := tv.read(t, consumer(flanders), id, uuid.New(), allowance); !errors.Is(err, access.ErrRestricted) {
		t.Errorf("P-5 %v", err)
	}
	_, err := tv.evidenceOf(t, flanders, contract.EvidenceQuery{
		SSIN: ssin(1), Purpose: "schoolAllowance", Procedure: "schoolEnrolmentAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010", CaseReference: "c",
		Needs: []contract.EvidenceNeed{{DocumentType: "householdComposition"}},
	})
	if !errors.Is(err, access.ErrRestricted) {
		t.Errorf("P-5 evidence: %v", err)
	}
	if _, err := tv.read(t, consumer(flanders), other, uuid.New(), allowance); err != nil {
		t.Errorf("P-5 of somebody else: %v", err)
	}
}

// P-5: who may ask, lift and see; everybody else learns nothing.
func TestRestrictionsAreTheCitizensAndTheOfficers(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	tv.household(t, 2)
	who := tv.person(t, 1)
	me, stranger := citizenCaller(who), citizenCaller(tv.person(t, 2))
	if _, err := tv.restrict(t, stranger, who, contested); !errors.Is(err, edge.ErrNoResource) {
		t.Errorf("a stranger restricts: %v", err)
	}
	if _, err := tv.restrict(t, me, who, contract.RestrictionAsk{Reason: "canary"}); slugOf(err) != "unknownReason" {
		t.Errorf("a reason that the registry does not know: %v", err)
	}
	if _, err := tv.restrict(t, officer, domain.CitizenID{UUID: uuid.New()}, contested); !errors.Is(err, citizen.ErrUnknown) {
		t.Errorf("of nobody: %v", err)
	}
	r, err := tv.restrict(t, officer, who, contested)
	if err != nil {
		t.Fatal(err)
	}
	list := func(as edge.Caller) ([]contract.Restriction, error) {
		answer, err := tv.ListRestrictions(tv.as(t, as, "listRestrictions", nil), contract.ListRestrictionsRequestObject{CitizenID: who})
		if err != nil {
			return nil, err
		}
		return answer.(contract.ListRestrictions200JSONResponse).Items, nil
	}
	for _, as := range []edge.Caller{me, officer} {
		if all, err := list(as); err != nil || len(all) != 1 || all[0] != r || all[0].AskedBy != contract.ActorRole(domain.RolePrivacyOfficer) {
			t.Errorf("%s sees %+v, %v", as.Role, all, err)
		}
	}
	if _, err := list(stranger); !errors.Is(err, edge.ErrNoResource) {
		t.Errorf("a stranger lists: %v", err)
	}
	if err := tv.liftRestriction(t, me, who, r.RestrictionID, ""); !errors.Is(err, citizen.ErrNotYourRestriction) {
		t.Errorf("the citizen lifts an officer's: %v", err)
	}
	if err := tv.liftRestriction(t, stranger, who, r.RestrictionID, ""); !errors.Is(err, edge.ErrNoResource) {
		t.Errorf("a stranger lifts: %v", err)
	}
	if err := tv.liftRestriction(t, officer, who, r.RestrictionID, ""); !errors.Is(err, citizen.ErrNotInformed) {
		t.Errorf("an officer who told nobody: %v", err)
	}
	if err := tv.liftRestriction(t, officer, who, r.RestrictionID, "2026-06-15"); err != nil {
		t.Errorf("an officer: %v", err)
	}
	if all, err := list(me); err != nil || len(all) != 1 || all[0].LiftedAt.IsZero() {
		t.Errorf("after it was lifted: %+v, %v", all, err)
	}
}

// E-1: what is restricted is not erased until the restriction is lifted, and then it is.
func TestErasureWaitsForRestriction(t *testing.T) {
	tv := newVault(t)
	tv.diploma(t, 1)
	who := tv.person(t, 1)
	me := citizenCaller(who)
	r, err := tv.restrict(t, me, who, contested)
	if err != nil {
		t.Fatal(err)
	}
	_, err = tv.requestErasureOf(t, me, who, domain.DocumentID{})
	if slugOf(err) != citizen.ErrRestrictionStands.Slug {
		t.Errorf("E-1 %v", err)
	}
	if err := tv.liftRestriction(t, me, who, r.RestrictionID, ""); err != nil {
		t.Fatal(err)
	}
	if _, err = tv.requestErasureOf(t, me, who, domain.DocumentID{}); err != nil {
		t.Errorf("E-1 after it was lifted: %v", err)
	}
}

// E-1: a restriction that raced with the start of an erasure stops it before the first key,
// and lifting it lets the erasure go on.
func TestRestrictionThatRacedStopsTheErasure(t *testing.T) {
	tv := newVault(t)
	heard := tv.captureLog()
	tv.restart(func(s *settings) { s.Work.EraseAfter = time.Hour })
	tv.household(t, 1)
	who := tv.person(t, 1)
	id := tv.erase(t, who, domain.DocumentID{})
	heard.await(t, "an erasure waits until no process can hold a key")
	tv.stop()
	restriction := domain.RestrictionID{UUID: uuid.New()}
	raced := recordRaced{citizen.ProcessingRestricted{Citizen: who, Restriction: restriction, Reason: "accuracyContested", AskedBy: domain.RoleCitizen, At: noon}}
	if _, err := acting.Citizens.TransactReserved(t.Context(), tv.Log, eventstore.Write{Stream: acting.CitizenStream(who)}, raced); err != nil {
		t.Fatal(err)
	}
	tv.restart(func(s *settings) { s.Work.EraseAfter = 0 })
	heard.await(t, "a task waits for somebody")
	tv.waitIdle(t)
	if state := tv.erasureState(t, id); state != contract.ErasureStateStarted {
		t.Errorf("E-1 it is %s", state)
	}
	if err := tv.liftRestriction(t, officer, who, restriction, "2026-06-15"); err != nil {
		t.Fatal(err)
	}
	tv.waitIdle(t)
	if state := tv.erasureState(t, id); state != contract.ErasureStateKeysDestroyed {
		t.Errorf("E-1 the restriction was lifted, and it is %s", state)
	}
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
