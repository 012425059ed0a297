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
	"coffre/eventstore/faulty"
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

// needing asks by law for one type of document of a person.
func needing(n int, t contract.DocumentTypeCode) contract.EvidenceQuery {
	return contract.EvidenceQuery{
		SSIN: ssin(n), Purpose: "schoolAllowance", Procedure: "schoolEnrolmentAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010", CaseReference: "c",
		Needs: []contract.EvidenceNeed{{DocumentType: t}},
	}
}

// P-5: while processing is restricted no consumer and no issuer reads, by no path, and a
// consumer is answered as if nothing were held; the citizen sees their wallet.
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
	for _, kind := range []contract.DocumentTypeCode{"householdComposition", "isiPlusCard"} { // held, and not
		got, err := tv.evidenceOf(t, flanders, needing(1, kind))
		unknown, failed := tv.evidenceOf(t, flanders, needing(999, kind))
		if err != nil || failed != nil || asJSON(t, got) != asJSON(t, unknown) {
			t.Errorf("P-5 evidence of %s: %s (%v), of somebody unknown %s (%v)", kind, asJSON(t, got), err, asJSON(t, unknown), failed)
		}
	}
	noBasis, _, _, _ := edge.Describe(withoutBasis, acting.ErrorAnswers)
	for name, err := range map[string]error{"by law": byLaw, "under a consent": byConsent} {
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
	told := 0
	for _, one := range recorded[access.Told](t, tv) {
		if one.Citizen == who && one.Answers[0].Presence == access.NotHeld {
			told++
		}
	}
	if told != 2 {
		t.Errorf("A-10 the citizen sees %d answers that nothing is held, want 2", told)
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

// P-5: whoever has a basis by law or a consent is answered for a citizen whose processing is
// restricted as for one who holds nothing: to the byte, with as much read of the store, at the
// same cost in refusals and quotas.
func TestRestrictionIsNotTold(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	tv.household(t, 2)
	tv.diploma(t, 3)
	restricted, nothing := tv.person(t, 1), tv.person(t, 3)
	consents := map[domain.CitizenID]domain.ConsentID{}
	for _, who := range []domain.CitizenID{restricted, nothing} {
		consents[who] = tv.consentTo(t, who, contract.ConsentGrant{DocumentTypes: []contract.DocumentTypeCode{"householdComposition"}})
	}
	if _, err := tv.restrict(t, citizenCaller(restricted), restricted, contested); err != nil {
		t.Fatal(err)
	}
	answer := func(err error, body any) string {
		if err != nil {
			p, _, _, _ := edge.Describe(err, acting.ErrorAnswers)
			return asJSON(t, p)
		}
		return asJSON(t, body)
	}
	for name, ask := range map[string]func(n int, who domain.CitizenID) string{
		"evidence by law": func(n int, _ domain.CitizenID) string {
			got, err := tv.evidenceOf(t, flanders, needing(n, "householdComposition"))
			return answer(err, got)
		},
		"presence by law": func(n int, _ domain.CitizenID) string {
			q := needing(n, "householdComposition")
			q.PresenceOnly = true
			got, err := tv.evidenceOf(t, flanders, q)
			return answer(err, got)
		},
		"evidence under a consent": func(n int, who domain.CitizenID) string {
			id := consents[who]
			got, err := tv.evidenceOf(t, flanders, contract.EvidenceQuery{
				SSIN: ssin(n), Purpose: "schoolAllowance", ConsentID: &id, Needs: []contract.EvidenceNeed{{DocumentType: "householdComposition"}},
			})
			return answer(err, got)
		},
		"validate by law": func(n int, _ domain.CitizenID) string {
			body := contract.ConsentValidation{SSIN: ssin(n), DocumentType: "householdComposition", Purpose: "schoolAllowance", Procedure: "schoolEnrolmentAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010"}
			got, err := tv.ValidateConsent(tv.as(t, consumer(flanders), "validateConsent", body), contract.ValidateConsentRequestObject{Body: &body})
			return answer(err, got)
		},
		"validate a consent": func(n int, who domain.CitizenID) string {
			id := consents[who]
			body := contract.ConsentValidation{SSIN: ssin(n), DocumentType: "householdComposition", Purpose: "schoolAllowance", ConsentID: &id}
			got, err := tv.ValidateConsent(tv.as(t, consumer(flanders), "validateConsent", body), contract.ValidateConsentRequestObject{Body: &body})
			return answer(err, got)
		},
		"documents of a consent": func(_ int, who domain.CitizenID) string {
			got, err := tv.consentDocuments(t, flanders, consents[who], contract.ListConsentDocumentsParams{})
			got.Self = ""
			return answer(err, got)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var said [2]string
			var reads [2]int
			for range 2 { // the first time something may be remembered
				for i, who := range []struct {
					n  int
					id domain.CitizenID
				}{{1, restricted}, {3, nothing}} {
					tv.waitIdle(t)
					counts := tv.countCalls()
					said[i] = ask(who.n, who.id)
					reads[i] = counts()[faulty.ReadStream]
				}
			}
			if said[0] != said[1] {
				t.Errorf("restricted %s\nnothing held %s", said[0], said[1])
			}
			if reads[0] != reads[1] {
				t.Errorf("of a restricted citizen %d streams are read, of one who holds nothing %d", reads[0], reads[1])
			}
		})
	}
	t.Run("it counts as no refusal", func(t *testing.T) {
		refusals := func() int {
			t.Helper()
			n, err := tv.Quotas.Refusals(t.Context(), flanders, tv.Clock.Now())
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := refusals()
		for range 3 {
			if _, err := tv.evidenceOf(t, flanders, needing(1, "householdComposition")); err != nil {
				t.Fatal(err)
			}
		}
		if n := refusals() - before; n != 0 {
			t.Errorf("%d refusals are counted", n)
		}
		uncovered := needing(1, "householdComposition")
		uncovered.Deliberation = "none/000"
		if _, err := tv.evidenceOf(t, flanders, uncovered); err == nil || refusals() == before {
			t.Errorf("a refusal is not counted, %v: this proves nothing", err)
		}
	})
}

// P-5: a restriction of one document stops that one; it is as one that is not there.
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
	if got, err := tv.evidenceOf(t, flanders, needing(1, "householdComposition")); err != nil || outcomesIn(got) != "notHeld" {
		t.Errorf("P-5 evidence: %+v, %v", got, err)
	}
	tv.waitIdle(t)
	if all := recorded[access.Refused](t, tv); len(all) != 2 || all[1].Reason != access.Restricted || all[1].Citizen != who || all[1].Type != "householdComposition" {
		t.Errorf("A-3 on record: %+v", all)
	}
	another := tv.household(t, 1)
	tv.waitForReadModels(t)
	if got, err := tv.evidenceOf(t, flanders, needing(1, "householdComposition")); err != nil || outcomesIn(got) != "held" || got.Items[0].DocumentID != another {
		t.Errorf("P-5 evidence where another is held: %+v, %v", got, err)
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
