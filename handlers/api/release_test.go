package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/release"
	"coffre/eventstore"
	"coffre/eventstore/faulty"
	"coffre/eventstore/seal"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

func (tv *testVault) proposeRelease(t testing.TB, by edge.Caller, body contract.ReleasePropose) (contract.Release, error) {
	t.Helper()
	answer, err := tv.ProposeRelease(tv.as(t, by, "proposeRelease", body), contract.ProposeReleaseRequestObject{Params: contract.ProposeReleaseParams{IdempotencyKey: uuid.New()}, Body: &body})
	if err != nil {
		return contract.Release{}, err
	}
	return answer.(contract.ProposeRelease202JSONResponse).Body, nil
}

func (tv *testVault) approveReleaseOf(t testing.TB, by edge.Caller, id domain.ReleaseID, n int, key uuid.UUID) (contract.Release, error) {
	t.Helper()
	body := contract.ReleaseApprove{SSIN: ssin(n)}
	answer, err := tv.ApproveRelease(tv.as(t, by, "approveRelease", body), contract.ApproveReleaseRequestObject{ReleaseID: id, Params: contract.ApproveReleaseParams{IdempotencyKey: key}, Body: &body})
	if err != nil {
		return contract.Release{}, err
	}
	return answer.(contract.ApproveRelease200JSONResponse).Body, nil
}

func newLifeOf(n int) contract.ReleasePropose {
	return contract.ReleasePropose{SSIN: ssin(n), Kind: contract.ReleaseKindNewLife, LegalBasis: "legalObligation"}
}

// erased returns a vault with a person who was erased.
func erasedVault(t *testing.T) (*testVault, domain.CitizenID) {
	t.Helper()
	tv := newVault(t)
	tv.household(t, 1)
	tv.household(t, 2)
	ana := tv.person(t, 1)
	tv.waitIdle(t)
	tv.erase(t, ana, domain.DocumentID{})
	tv.waitIdle(t)
	return tv, ana
}

// E-4: an erased person begins a new life when two officers say so, on a legal basis that is
// on record, and not before.
func TestNewLife(t *testing.T) {
	tv, ana := erasedVault(t)
	issue := contract.DocumentIssue{SSIN: ssin(1), DocumentType: "householdComposition", Content: contract.Content(household)}
	if err := tv.tryIssue(t, homeAffairs, issue); problemOf(err) != "citizenErased" {
		t.Fatalf("E-4 erased stays erased: %v", err)
	}
	for name, tc := range map[string]struct {
		by   edge.Caller
		body contract.ReleasePropose
		slug string
	}{
		"an issuer":              {issuer(flanders), newLifeOf(1), "mayNotRelease"},
		"an unknown legal basis": {officer, contract.ReleasePropose{SSIN: ssin(1), Kind: contract.ReleaseKindNewLife, LegalBasis: "because"}, "unknownLegalBasis"},
		"an end without moment":  {officer, contract.ReleasePropose{SSIN: ssin(1), Kind: contract.ReleaseKindEnd, LegalBasis: "legalObligation"}, "releaseKind"},
	} {
		if _, err := tv.proposeRelease(t, tc.by, tc.body); slugOf(err) != tc.slug {
			t.Errorf("E-4.1 %s: %v", name, err)
		}
	}
	proposed, err := tv.proposeRelease(t, officer, newLifeOf(1))
	if err != nil || proposed.State != contract.ReleaseStateProposed || !proposed.CitizenID.IsZero() {
		t.Fatal(err, proposed)
	}
	for name, tc := range map[string]struct {
		by   edge.Caller
		of   domain.ReleaseID
		n    int
		slug string
	}{
		"who proposed":    {officer, proposed.ReleaseID, 1, "secondPersonNeeded"},
		"another person":  {second, proposed.ReleaseID, 2, "releaseOfAnother"},
		"no such release": {second, domain.ReleaseID{UUID: uuid.New()}, 1, "resourceNotFound"},
	} {
		if _, err := tv.approveReleaseOf(t, tc.by, tc.of, tc.n, uuid.New()); problemOf(err) != tc.slug {
			t.Errorf("E-4.2 %s: %v", name, err)
		}
	}
	if err := tv.tryIssue(t, homeAffairs, issue); problemOf(err) != "citizenErased" {
		t.Errorf("E-4 a proposal is no release: %v", err)
	}
	key := uuid.New()
	done, err := tv.approveReleaseOf(t, second, proposed.ReleaseID, 1, key)
	if err != nil || done.State != contract.ReleaseStateCompleted || done.CitizenID.IsZero() || done.CitizenID == ana {
		t.Fatal(err, done)
	}
	for _, again := range []uuid.UUID{key, uuid.New()} {
		if repeated, err := tv.approveReleaseOf(t, second, proposed.ReleaseID, 1, again); err != nil || repeated.CitizenID != done.CitizenID {
			t.Errorf("E-4.4 again: %v, %v", repeated, err)
		}
	}
	shown, err := tv.GetRelease(tv.as(t, officer, "getRelease", nil), contract.GetReleaseRequestObject{ReleaseID: proposed.ReleaseID})
	if err != nil || contract.Release(shown.(contract.GetRelease200JSONResponse)).CitizenID != done.CitizenID {
		t.Error(shown, err)
	}
	registered := recorded[citizen.Registered](t, tv)
	if last := registered[len(registered)-1]; last.Citizen != done.CitizenID || !last.NewLife || last.Basis != "legalObligation" {
		t.Errorf("E-4 on record is %+v", last)
	}
	if err := tv.tryIssue(t, homeAffairs, issue); err != nil || tv.person(t, 1) != done.CitizenID {
		t.Errorf("E-4 the new life is issued to: %v", err)
	}

	// Erased a second time, the release of the first does not count again.
	tv.waitIdle(t)
	tv.erase(t, done.CitizenID, domain.DocumentID{})
	tv.waitIdle(t)
	if _, err := tv.approveReleaseOf(t, second, proposed.ReleaseID, 1, uuid.New()); err != nil {
		t.Error(err)
	}
	if err := tv.tryIssue(t, homeAffairs, issue); problemOf(err) != "citizenErased" {
		t.Errorf("E-4.4 a release is carried out twice: %v", err)
	}
}

// E-4: the memory of an erasure ends when two officers say so, at the moment they said; what
// was remembered is gone then.
func TestSuppressionEnds(t *testing.T) {
	tv, ana := erasedVault(t)
	issue := contract.DocumentIssue{SSIN: ssin(1), DocumentType: "householdComposition", Content: contract.Content(household)}
	body := contract.ReleasePropose{SSIN: ssin(1), Kind: contract.ReleaseKindEnd, LegalBasis: "legalObligation", Until: new(tv.Clock.Now().Add(time.Hour))}
	proposed, err := tv.proposeRelease(t, officer, body)
	if err == nil {
		_, err = tv.approveReleaseOf(t, second, proposed.ReleaseID, 1, uuid.New())
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := tv.tryIssue(t, homeAffairs, issue); problemOf(err) != "citizenErased" {
		t.Errorf("E-4 before its end: %v", err)
	}
	tv.Clock.Advance(time.Hour)
	if err := tv.Keys.PurgeSuppressions(t.Context()); err != nil {
		t.Fatal(err)
	}
	tv.Clock.Advance(-time.Hour) // what is gone does not come back with the clock
	if _, remembered, err := tv.Keys.Suppressed(t.Context(), ssin(1).SSIN); err != nil || remembered {
		t.Errorf("E-4 still remembered: %v", err)
	}
	if err := tv.tryIssue(t, homeAffairs, issue); err != nil || tv.person(t, 1) == ana {
		t.Errorf("E-4 after its end: %v", err)
	}
	// Of somebody who was never erased, the proposal tells nothing and the approval says so.
	for _, n := range []int{2, 99} {
		proposed, err := tv.proposeRelease(t, officer, newLifeOf(n))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tv.approveReleaseOf(t, second, proposed.ReleaseID, n, uuid.New()); problemOf(err) != "citizenNotErased" {
			t.Errorf("%d: %v", n, err)
		}
	}
	late, err := tv.proposeRelease(t, officer, body)
	if err != nil {
		t.Fatal(err)
	}
	tv.Clock.Advance(release.Lifetime + time.Second)
	if _, err := tv.approveReleaseOf(t, second, late.ReleaseID, 1, uuid.New()); problemOf(err) != "releaseLapsed" {
		t.Errorf("E-4.3 %v", err)
	}
}

// E-4: whatever append of an approval fails, and however, approving again carries it out:
// one new life, on record.
func TestReleaseGoesOnAfterACrash(t *testing.T) {
	for n := 1; ; n++ {
		fired := false
		for _, fault := range []faulty.Fault{{Before: eventstore.ErrUnavailable}, {After: eventstore.ErrOutcomeUnknown}} {
			t.Run(fmt.Sprint(n, fault), func(t *testing.T) {
				tv, ana := erasedVault(t)
				proposed, err := tv.proposeRelease(t, officer, newLifeOf(1))
				if err != nil {
					t.Fatal(err)
				}
				tv.waitIdle(t)
				tv.Store.SetRule(func(c faulty.Call) faulty.Fault {
					if c.Method == faulty.Append && c.N == n {
						fired = true
						return fault
					}
					return faulty.Fault{}
				})
				_, err = tv.approveReleaseOf(t, second, proposed.ReleaseID, 1, uuid.New())
				tv.Store.SetRule(nil)
				if fault.Before != nil && fired == (err == nil) { // an unknown outcome is settled by event ids
					t.Errorf("fault %t, answered %v", fired, err)
				}
				done, err := tv.approveReleaseOf(t, second, proposed.ReleaseID, 1, uuid.New())
				if err != nil || done.State != contract.ReleaseStateCompleted || done.CitizenID == ana || done.CitizenID != tv.person(t, 1) {
					t.Fatal(err, done)
				}
				lives := 0
				for _, r := range recorded[citizen.Registered](t, tv) {
					if r.Citizen == done.CitizenID && r.NewLife {
						lives++
					}
				}
				if completed := recorded[release.Completed](t, tv); lives != 1 || len(completed) != 1 || completed[0].Citizen != done.CitizenID {
					t.Errorf("E-4.4 %d lives, %+v", lives, completed)
				}
			})
		}
		if !fired {
			if n < 4 {
				t.Errorf("only %d appends", n-1)
			}
			return
		}
	}
}

// E-4: two lives of one person have no value in common in the raw log: no id, no name, no
// tag, no reference, no ciphertext, though both logged in with the same token and hold the
// same documents with the same files and consents.
func TestTwoLivesShareNothing(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 2)
	login := "the same login in both lives"
	live := func() (citizen domain.CitizenID, records []eventstore.Record) {
		before := len(tv.log(t))
		body := contract.DocumentIssue{SSIN: ssin(1), DocumentType: "householdComposition", SourceReference: "the same reference", Content: contract.Content(household),
			Attachments: []domain.AttachmentID{tv.upload(t, homeAffairs, aPDF)}}
		id := tv.issue(t, homeAffairs, body)
		ana := tv.person(t, 1)
		me := edge.Caller{Role: domain.RoleCitizen, Citizen: ana, Subject: login}
		tv.waitIdle(t)
		consented, err := tv.grantAs(t, me, contract.ConsentGrant{Consumer: flanders, Purpose: "schoolAllowance", DocumentTypes: []contract.DocumentTypeCode{"householdComposition"},
			ShownText: shownToAll})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tv.read(t, consumer(flanders), id, uuid.New(), contract.AccessRequest{Purpose: "schoolAllowance", ConsentID: new(consented.ConsentID)}); err != nil {
			t.Fatal(err)
		}
		if _, err := tv.read(t, consumer(flanders), id, uuid.New(), allowance); err != nil {
			t.Fatal(err)
		}
		if _, err := tv.grantMandate(t, me, contract.MandateGrant{
			Kind: contract.MandateKindRepresentation, Actions: []contract.MandateAction{contract.MandateActionRead}, Until: "2027-01-01", RepresentativeSSIN: ssin(2),
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := tv.reportOn(t, me, ana, uuid.New()); err != nil {
			t.Fatal(err)
		}
		erasure, err := tv.requestErasureOf(t, me, ana, domain.DocumentID{})
		if err == nil {
			err = tv.approve(t, officer, erasure)
		}
		if err != nil {
			t.Fatal(err)
		}
		tv.waitIdle(t)
		return ana, tv.log(t)[before:]
	}
	first, ofFirst := live()
	// What the release itself records stands between the lives, and names the second alone.
	between := len(tv.log(t))
	proposed, err := tv.proposeRelease(t, officer, newLifeOf(1))
	if err == nil {
		_, err = tv.approveReleaseOf(t, second, proposed.ReleaseID, 1, uuid.New())
	}
	if err != nil {
		t.Fatal(err)
	}
	released := tv.log(t)[between:]
	other, ofSecond := live()
	if first == other || len(ofFirst) < 14 || len(ofSecond) < 13 {
		t.Fatalf("%d and %d events", len(ofFirst), len(ofSecond))
	}
	// Others who act, and the person who was to represent both, are the same in both lives.
	bob := tv.person(t, 2).String()
	allowed := map[string]bool{bob: true, "citizen-" + bob + "@0": true}
	for _, name := range []string{officer.Subject, second.Subject, "clerk"} {
		allowed[tv.Keys.Audit().Subject(name)] = true
	}
	values := func(records []eventstore.Record) map[string]bool {
		all := map[string]bool{}
		for _, r := range records {
			all[string(r.Stream)], all[r.ID.String()] = true, true
			for _, part := range [][]byte{r.Clear, r.Meta} {
				identifying(t, part, all)
			}
			if key, sealed := seal.KeyID(r.Sealed); sealed {
				all[key.String()] = true
			}
			for i := 0; i+16 <= len(r.Sealed); i++ {
				all[string(r.Sealed[i:i+16])] = true
			}
		}
		return all
	}
	ofOne, ofOther := values(ofFirst), values(append(released, ofSecond...))
	common := 0
	for v := range ofOther {
		if ofOne[v] && !allowed[v] {
			t.Errorf("E-4 both lives have %.60q", v)
		}
		if ofOne[v] {
			common++
		}
	}
	if common == 0 {
		t.Error("not even those who are the same in both lives were found: this test looks at nothing")
	}
	for _, r := range append(released, ofSecond...) {
		for _, part := range [][]byte{r.Clear, r.Meta, r.Sealed} {
			if bytes.Contains(part, []byte(first.String())) || bytes.Contains(part, first.UUID[:]) {
				t.Errorf("E-4 %s names the former life", r.Type)
			}
		}
	}
}

// identifying adds every string in JSON that could tell one person from another: all but
// words of the registry, codes, days and times, which many share.
func identifying(t *testing.T, text []byte, all map[string]bool) {
	t.Helper()
	if len(text) == 0 {
		return
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		case string:
			if _, err := time.Parse(time.RFC3339, v); err != nil && len(v) >= 16 && !isWord(v) {
				all[v] = true
			}
		}
	}
	walk(v)
}

// isWord reports whether a text has letters only, as codes of the registry do.
func isWord(s string) bool {
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}
